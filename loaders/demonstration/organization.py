"""The hospital, its departments, a neighbourhood clinic and a health insurance.

https://hl7.org/fhir/R4/organization.html
"""

from collections.abc import Iterator
from dataclasses import dataclass

from loaders.demonstration.datatypes import HL7, Code, Element, Resource, concept, email, identifier, narrative, phone
from loaders.demonstration.datatypes import reference as refer

HOSPITAL = "organization-yildizkiyi-hospital"
CLINIC = "organization-kuzeyruzgar-clinic"
INSURANCE = "organization-marti-insurance"
NAMES = {
    HOSPITAL: "Yıldızkıyı Demonstration Hospital",
    CLINIC: "Kuzeyrüzgar Neighbourhood Clinic",
    INSURANCE: "Martı Health Insurance",
}
DEPARTMENT: Code = ("dept", "Hospital Department")
PROVIDER: Code = ("prov", "Healthcare Provider")
INSURER: Code = ("ins", "Insurance Company")


@dataclass(frozen=True, slots=True)
class Department:
    """A department: what it practises (SNOMED CT), its service type and category (HL7), its size.

    `weekdays` are the days on which each of its clinicians sees patients by appointment, Monday being 0; none means
    that it has no consulting hours. One clinician is there for each `panel` patients of the hospital, and at least `least`.
    """

    slug: str
    name: str
    turkish: str
    specialty: Code
    service_type: Code | None
    category: Code
    floor: int
    weekdays: tuple[tuple[int, ...], ...] = ()
    least: int = 1
    panel: int = 1500
    parent: str = HOSPITAL

    @property
    def id(self) -> str:
        return f"organization-{self.slug}"


GENERAL: Code = ("17", "General Practice")
SPECIALIST: Code = ("27", "Specialist Medical")
DAILY = ((0, 1, 2, 3, 4),)
ODD, EVEN, MID = (0, 2, 4), (1, 3), (1, 2, 3)

DEPARTMENTS: tuple[Department, ...] = (
    Department(
        "general-practice",
        "General Practice",
        "Genel Dahiliye",
        ("394814009", "General practice"),
        ("124", "General Practice"),
        GENERAL,
        0,
        DAILY,
        least=2,
        panel=500,
    ),
    Department(
        "neighbourhood-practice",
        "Kuzeyrüzgar Family Practice",
        "Kuzeyrüzgar Aile Hekimliği",
        ("419772000", "Family practice"),
        ("124", "General Practice"),
        GENERAL,
        0,
        DAILY,
        panel=1500,
        parent=CLINIC,
    ),
    Department(
        "paediatrics",
        "Paediatrics",
        "Çocuk Sağlığı",
        ("394537008", "Pediatric specialty"),
        ("200", "Paediatric Medicine"),
        ("29", "Specialist Paediatric"),
        1,
        DAILY,
        least=2,
        panel=600,
    ),
    Department(
        "cardiology",
        "Cardiology",
        "Kardiyoloji",
        ("394579002", "Cardiology"),
        ("165", "Cardiology"),
        SPECIALIST,
        2,
        (ODD, EVEN),
    ),
    Department(
        "endocrinology",
        "Endocrinology",
        "Endokrinoloji",
        ("394583002", "Endocrinology"),
        ("169", "Endocrinology"),
        SPECIALIST,
        2,
        (MID,),
    ),
    Department(
        "pulmonology",
        "Pulmonary Medicine",
        "Göğüs Hastalıkları",
        ("418112009", "Pulmonary medicine"),
        ("430", "Respiratory"),
        SPECIALIST,
        3,
        (EVEN, ODD),
    ),
    Department(
        "gastroenterology",
        "Gastroenterology",
        "Gastroenteroloji",
        ("394584008", "Gastroenterology"),
        ("170", "Gastroenterology & Hepatology"),
        SPECIALIST,
        3,
        (EVEN,),
    ),
    Department(
        "dermatology",
        "Dermatology",
        "Dermatoloji",
        ("394582007", "Dermatology"),
        ("168", "Dermatology"),
        SPECIALIST,
        1,
        (EVEN, ODD),
    ),
    Department(
        "obstetrics-gynaecology",
        "Obstetrics and Gynaecology",
        "Kadın Hastalıkları ve Doğum",
        ("394585009", "Obstetrics and gynecology"),
        ("186", "Obstetrics & Gynaecology"),
        ("28", "Specialist Obstetrics & Gynecology"),
        4,
        (ODD, MID),
    ),
    Department(
        "orthopaedics",
        "Orthopaedics and Trauma",
        "Ortopedi ve Travmatoloji",
        ("394801008", "Surgery-Trauma and orthopedics"),
        ("218", "Orthopaedic Surgery"),
        ("31", "Specialist Surgical"),
        4,
        (MID, ODD),
    ),
    Department(
        "neurology", "Neurology", "Nöroloji", ("394591006", "Neurology"), ("177", "Neurology"), SPECIALIST, 5, (EVEN,)
    ),
    Department(
        "psychiatry",
        "Psychiatry",
        "Psikiyatri",
        ("394587001", "Psychiatry"),
        ("141", "Psychiatry (Requires Referral)"),
        ("22", "Mental Health"),
        5,
        (ODD,),
    ),
    Department(
        "emergency",
        "Emergency Department",
        "Acil Servis",
        ("394576009", "Surgical-Accident & emergency"),
        ("117", "Emergency Medical"),
        ("14", "Emergency Department"),
        0,
    ),
    Department(
        "surgery",
        "General Surgery",
        "Genel Cerrahi",
        ("394609007", "Surgery-general"),
        None,
        ("31", "Specialist Surgical"),
        6,
    ),
    Department(
        "laboratory",
        "Clinical Laboratory",
        "Klinik Laboratuvar",
        ("394915009", "General pathology"),
        ("158", "Pathology - Clinical Chemistry"),
        ("26", "Specialist Clinical Pathology"),
        -1,
    ),
)
BY_SLUG = {department.slug: department for department in DEPARTMENTS}
LABORATORY = BY_SLUG["laboratory"].id


def organizations() -> Iterator[Resource]:
    """The Organizations, each after the one it is part of."""
    yield _organization(HOSPITAL, NAMES[HOSPITAL], "Yıldızkıyı Gösteri Hastanesi", PROVIDER, 1000)
    yield _organization(CLINIC, NAMES[CLINIC], "Kuzeyrüzgar Semt Polikliniği", PROVIDER, 2000)
    yield _organization(INSURANCE, NAMES[INSURANCE], "Martı Sağlık Sigortası", INSURER, 3000)
    for number, department in enumerate(DEPARTMENTS):
        resource = _organization(department.id, department.name, department.turkish, DEPARTMENT, 1001 + number)
        resource["partOf"] = refer(f"Organization/{department.parent}", NAMES[department.parent])
        yield resource


def _organization(logical_id: str, name: str, alias: str, kind: Code, line: int) -> Resource:
    return {
        "resourceType": "Organization",
        "id": logical_id,
        "text": narrative(name, f"{alias}: {kind[1]}"),
        "identifier": [identifier("organization", f"ORG-{line}")],
        "active": True,
        "type": [concept(f"{HL7}organization-type", kind)],
        "name": name,
        "alias": [alias],
        "telecom": [phone(100_0000 + line), email(logical_id.removeprefix("organization-"))],
        "address": [address(f"Fener Caddesi {line % 97}", "Sahil")],
    }


def address(line: str, district: str, use: str = "work") -> Element:
    """An Address in the invented town of Yıldızkıyı; its postal code is one that no town has."""
    return {
        "use": use,
        "type": "both",
        "text": f"{line}, {district}, 00000 Yıldızkıyı",
        "line": [line],
        "city": "Yıldızkıyı",
        "district": district,
        "postalCode": "00000",
        "country": "TR",
    }
