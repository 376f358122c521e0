"""The hospital's formulary, and what is prescribed and dispensed from it.

https://hl7.org/fhir/R4/medication.html, https://hl7.org/fhir/R4/medicationrequest.html and
https://hl7.org/fhir/R4/medicationdispense.html
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from loaders.demonstration.datatypes import (
    ATC,
    HL7,
    RXNORM,
    SNOMED,
    UCUM,
    Code,
    Element,
    Resource,
    coding,
    concept,
    identifier,
    period,
    quantity,
)
from loaders.demonstration.datatypes import reference as refer
from loaders.demonstration.practitioner import Clinician

TABLET: Code = ("385055001", "Tablet")
CAPSULE: Code = ("385049006", "Capsule")
SUSPENSION: Code = ("", "Oral suspension")
CREAM: Code = ("385099005", "Cream")
INHALER: Code = ("", "Metered dose inhaler")

ORAL: Code = ("26643006", "Oral route")
TOPICAL: Code = ("6064005", "Topical route")
INHALED: Code = ("447694001", "Respiratory tract route")
ROUTES = {TABLET: ORAL, CAPSULE: ORAL, SUSPENSION: ORAL, CREAM: TOPICAL, INHALER: INHALED}
# UCUM has no unit for a tablet or a puff; an annotation of 1 is its way to say it.
DOSE_UNITS = {
    TABLET: ("tablet", "{tbl}"),
    CAPSULE: ("capsule", "{capsule}"),
    SUSPENSION: ("mL", "mL"),
    CREAM: ("application", "{application}"),
    INHALER: ("puff", "{puff}"),
}


OUTPATIENT: Code = ("outpatient", "Outpatient")
INPATIENT: Code = ("inpatient", "Inpatient")


@dataclass(frozen=True, slots=True)
class Drug:
    """A product of the formulary and how it is usually taken.

    `atc` is the substance's ATC code, `rxnorm` the clinical drug's RxNorm code where it is known, `strength` the
    amount of the substance per unit of dose with its UCUM unit, `dose` units are taken `times` a day, or only when
    needed; `days` is how long one supply lasts, `chronic` whether it is then continued.
    """

    slug: str
    name: str
    atc: Code
    rxnorm: Code | None
    form: Code
    strength: tuple[str, str]
    dose: str = "1"
    times: int = 1
    days: int = 90
    chronic: bool = True
    as_needed: bool = False
    penicillin: bool = False

    @property
    def medication(self) -> str:
        return f"Medication/medication-{self.slug}"


DRUGS: tuple[Drug, ...] = (
    Drug(
        "amlodipine-5",
        "Amlodipine 5 mg tablet",
        ("C08CA01", "amlodipine"),
        ("197361", "Amlodipine 5 MG Oral Tablet"),
        TABLET,
        ("5", "mg"),
    ),
    Drug(
        "lisinopril-10",
        "Lisinopril 10 mg tablet",
        ("C09AA03", "lisinopril"),
        ("314076", "lisinopril 10 MG Oral Tablet"),
        TABLET,
        ("10", "mg"),
    ),
    Drug(
        "metformin-500",
        "Metformin 500 mg prolonged-release tablet",
        ("A10BA02", "metformin"),
        ("860975", "24 HR metformin hydrochloride 500 MG Extended Release Oral Tablet"),
        TABLET,
        ("500", "mg"),
        dose="2",
    ),
    Drug(
        "simvastatin-20",
        "Simvastatin 20 mg tablet",
        ("C10AA01", "simvastatin"),
        ("312961", "Simvastatin 20 MG Oral Tablet"),
        TABLET,
        ("20", "mg"),
    ),
    Drug(
        "clopidogrel-75",
        "Clopidogrel 75 mg tablet",
        ("B01AC04", "clopidogrel"),
        ("309362", "Clopidogrel 75 MG Oral Tablet"),
        TABLET,
        ("75", "mg"),
    ),
    Drug(
        "warfarin-5",
        "Warfarin 5 mg tablet",
        ("B01AA03", "warfarin"),
        ("855332", "Warfarin Sodium 5 MG Oral Tablet"),
        TABLET,
        ("5", "mg"),
    ),
    Drug(
        "levothyroxine-75",
        "Levothyroxine 75 microgram tablet",
        ("H03AA01", "levothyroxine sodium"),
        ("966222", "Levothyroxine Sodium 0.075 MG Oral Tablet"),
        TABLET,
        ("75", "ug"),
    ),
    Drug(
        "salbutamol-90",
        "Salbutamol 90 microgram inhaler",
        ("R03AC02", "salbutamol"),
        ("2123111", "NDA020503 200 ACTUAT Albuterol 0.09 MG/ACTUAT Metered Dose Inhaler"),
        INHALER,
        ("90", "ug"),
        dose="2",
        times=4,
        days=25,
        as_needed=True,
    ),
    Drug(
        "fluticasone-44",
        "Fluticasone 44 microgram inhaler",
        ("R03BA05", "fluticasone"),
        ("895994", "120 ACTUAT Fluticasone propionate 0.044 MG/ACTUAT Metered Dose Inhaler"),
        INHALER,
        ("44", "ug"),
        dose="2",
        times=2,
        days=30,
    ),
    Drug("sertraline-50", "Sertraline 50 mg tablet", ("N06AB06", "sertraline"), None, TABLET, ("50", "mg")),
    Drug(
        "sumatriptan-50",
        "Sumatriptan 50 mg tablet",
        ("N02CC01", "sumatriptan"),
        None,
        TABLET,
        ("50", "mg"),
        days=6,
        as_needed=True,
    ),
    Drug("omeprazole-20", "Omeprazole 20 mg capsule", ("A02BC01", "omeprazole"), None, CAPSULE, ("20", "mg")),
    Drug(
        "alendronate-10",
        "Alendronic acid 10 mg tablet",
        ("M05BA04", "alendronic acid"),
        ("904419", "Alendronic acid 10 MG Oral Tablet"),
        TABLET,
        ("10", "mg"),
    ),
    Drug(
        "allopurinol-100",
        "Allopurinol 100 mg tablet",
        ("M04AA01", "allopurinol"),
        ("197319", "Allopurinol 100 MG Oral Tablet"),
        TABLET,
        ("100", "mg"),
    ),
    Drug(
        "ferrous-sulfate-325",
        "Ferrous sulfate 325 mg tablet",
        ("B03AA07", "ferrous sulfate"),
        ("310325", "ferrous sulfate 325 MG Oral Tablet"),
        TABLET,
        ("325", "mg"),
    ),
    Drug(
        "hydrocortisone-cream",
        "Hydrocortisone 1 % cream",
        ("D07AA02", "hydrocortisone"),
        ("106258", "Hydrocortisone 10 MG/ML Topical Cream"),
        CREAM,
        ("10", "mg"),
        times=2,
        days=14,
        chronic=False,
    ),
    Drug(
        "paracetamol-325",
        "Paracetamol 325 mg tablet",
        ("N02BE01", "paracetamol"),
        ("313782", "Acetaminophen 325 MG Oral Tablet"),
        TABLET,
        ("325", "mg"),
        dose="2",
        times=4,
        days=5,
        chronic=False,
        as_needed=True,
    ),
    Drug(
        "ibuprofen-200",
        "Ibuprofen 200 mg tablet",
        ("M01AE01", "ibuprofen"),
        ("310965", "Ibuprofen 200 MG Oral Tablet"),
        TABLET,
        ("200", "mg"),
        times=3,
        days=7,
        chronic=False,
        as_needed=True,
    ),
    Drug(
        "amoxicillin-500",
        "Amoxicillin 500 mg tablet",
        ("J01CA04", "amoxicillin"),
        ("308192", "Amoxicillin 500 MG Oral Tablet"),
        TABLET,
        ("500", "mg"),
        times=3,
        days=7,
        chronic=False,
        penicillin=True,
    ),
    Drug(
        "amoxicillin-suspension",
        "Amoxicillin 50 mg/mL oral suspension",
        ("J01CA04", "amoxicillin"),
        None,
        SUSPENSION,
        ("50", "mg"),
        dose="5",
        times=3,
        days=7,
        chronic=False,
        penicillin=True,
    ),
    Drug(
        "penicillin-v-500",
        "Penicillin V 500 mg tablet",
        ("J01CE02", "phenoxymethylpenicillin"),
        ("834102", "Penicillin V Potassium 500 MG Oral Tablet"),
        TABLET,
        ("500", "mg"),
        times=2,
        days=10,
        chronic=False,
        penicillin=True,
    ),
    Drug(
        "azithromycin-suspension",
        "Azithromycin 40 mg/mL oral suspension",
        ("J01FA10", "azithromycin"),
        None,
        SUSPENSION,
        ("40", "mg"),
        dose="4.0",
        days=3,
        chronic=False,
    ),
    Drug(
        "azithromycin-500",
        "Azithromycin 500 mg tablet",
        ("J01FA10", "azithromycin"),
        None,
        TABLET,
        ("500", "mg"),
        days=3,
        chronic=False,
    ),
    Drug(
        "nitrofurantoin-100",
        "Nitrofurantoin 100 mg capsule",
        ("J01XE01", "nitrofurantoin"),
        None,
        CAPSULE,
        ("100", "mg"),
        times=2,
        days=5,
        chronic=False,
    ),
)
BY_SLUG = {drug.slug: drug for drug in DRUGS}


def chosen(slug: str, penicillin_allergy: bool) -> Drug:
    """The drug of that name, or azithromycin in the same form where an allergy forbids a penicillin."""
    drug = BY_SLUG[slug]
    if drug.penicillin and penicillin_allergy:
        return BY_SLUG["azithromycin-suspension" if drug.form is SUSPENSION else "azithromycin-500"]
    return drug


def medications() -> Iterator[Resource]:
    """The formulary."""
    for drug in DRUGS:
        codes = [coding(ATC, drug.atc)] if drug.rxnorm is None else [coding(RXNORM, drug.rxnorm), coding(ATC, drug.atc)]
        amount, unit = drug.strength
        yield {
            "resourceType": "Medication",
            "id": drug.medication.removeprefix("Medication/"),
            "identifier": [identifier("medication", drug.slug)],
            "code": {"coding": codes, "text": drug.name},
            "status": "active",
            "form": _form(drug.form),
            "ingredient": [
                {
                    "itemCodeableConcept": concept(ATC, drug.atc),
                    "isActive": True,
                    "strength": {
                        "numerator": quantity(Decimal(amount), unit),
                        "denominator": quantity(1, *DOSE_UNITS[drug.form]),
                    },
                }
            ],
        }


def _form(form: Code) -> Element:
    return concept(SNOMED, form) if form[0] else {"text": form[1]}


@dataclass(frozen=True, slots=True)
class Prescription:
    """One prescription: when, by whom, for which patient, encounter and condition (references), taken until when.

    `ended` says that it is over; a chronic one that is not goes on.
    """

    id: str
    drug: Drug
    patient: str
    encounter: str
    condition: str
    requester: Clinician
    authored: datetime
    category: Code
    ended: str | None = None


def medication_request(prescription: Prescription) -> Resource:
    drug = prescription.drug
    # What is taken for good has no last day; the rest must be fetched within a month.
    expiry = None if drug.chronic else (prescription.authored + timedelta(days=30)).date()
    supply: Element = {
        "validityPeriod": period(prescription.authored.date(), expiry),
        "quantity": _supply(drug),
    }
    if not drug.as_needed:
        supply["expectedSupplyDuration"] = quantity(drug.days, "day", "d")
    return {
        "resourceType": "MedicationRequest",
        "id": prescription.id,
        "status": prescription.ended or "active",
        "intent": "order",
        "category": [concept(f"{HL7}medicationrequest-category", prescription.category)],
        "medicationReference": refer(drug.medication, drug.name),
        "subject": refer(prescription.patient),
        "encounter": refer(prescription.encounter),
        "authoredOn": prescription.authored.isoformat(),
        "requester": refer(prescription.requester.practitioner, prescription.requester.display),
        "reasonReference": [refer(prescription.condition)],
        "courseOfTherapyType": concept(
            f"{HL7}medicationrequest-course-of-therapy",
            ("continuous", "Continuous long term therapy")
            if drug.chronic
            else ("acute", "Short course (acute) therapy"),
        ),
        "dosageInstruction": [dosage(drug)],
        "dispenseRequest": supply,
        "substitution": {"allowedBoolean": not drug.as_needed},
    }


def dosage(drug: Drug) -> Element:
    """How the drug is taken: a sentence, a timing, a route, a dose in UCUM."""
    unit, code = DOSE_UNITS[drug.form]
    often = {1: "once", 2: "twice"}.get(drug.times, f"{drug.times} times")
    how = f"{drug.dose} {unit}{'s' if drug.dose not in ('1', '1.0') and unit != 'mL' else ''}"
    element: Element = {
        "sequence": 1,
        "text": f"{how} {often} a day{' if needed' if drug.as_needed else ''}",
        "timing": {"repeat": {"frequency": drug.times, "period": 1, "periodUnit": "d"}},
        "asNeededBoolean": drug.as_needed,
        "route": concept(SNOMED, ROUTES[drug.form]),
        "doseAndRate": [
            {
                "type": concept(f"{HL7}dose-rate-type", ("ordered", "Ordered")),
                "doseQuantity": {"value": Decimal(drug.dose), "unit": unit, "system": UCUM, "code": code},
            }
        ],
    }
    if not drug.chronic:
        element["timing"]["repeat"]["boundsDuration"] = quantity(drug.days, "day", "d")
    return element


def _supply(drug: Drug) -> Element:
    return quantity(Decimal(drug.dose) * drug.times * drug.days, *DOSE_UNITS[drug.form])


def medication_dispense(prescription: Prescription, number: int, when: datetime, pharmacist: Clinician) -> Resource:
    """The hand-over of one supply, `number` counting from 0."""
    drug = prescription.drug
    return {
        "resourceType": "MedicationDispense",
        "id": f"{prescription.id.replace('prescription', 'dispense')}-{number + 1}",
        "status": "completed",
        "category": concept("http://terminology.hl7.org/fhir/CodeSystem/medicationdispense-category", OUTPATIENT),
        "medicationReference": refer(drug.medication, drug.name),
        "subject": refer(prescription.patient),
        "context": refer(prescription.encounter),
        "performer": [{"actor": refer(pharmacist.practitioner, pharmacist.display)}],
        "authorizingPrescription": [refer(f"MedicationRequest/{prescription.id}")],
        "quantity": _supply(drug),
        "daysSupply": quantity(drug.days, "day", "d"),
        "whenPrepared": (when - timedelta(minutes=20)).isoformat(),
        "whenHandedOver": when.isoformat(),
        "dosageInstruction": [dosage(drug)],
    }
