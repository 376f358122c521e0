"""The diseases people of the demonstration hospital have, who gets them, and the Conditions they become.

https://hl7.org/fhir/R4/condition.html
"""

from dataclasses import dataclass
from datetime import date, datetime
from random import Random

from loaders.demonstration.datatypes import HL7, ICD10, SNOMED, Code, Resource, coding, concept
from loaders.demonstration.datatypes import reference as refer
from loaders.demonstration.practitioner import Clinician

AMBULATORY: Code = ("AMB", "ambulatory")
EMERGENCY: Code = ("EMER", "emergency")
INPATIENT: Code = ("IMP", "inpatient encounter")


@dataclass(frozen=True, slots=True)
class Disease:
    """A disease and everything that follows from it.

    It is had between the `ages` (completed years, both included) by that `gender` or any, by the share `prevalence`
    of those people in the town. An acute one is over after `days`. `drugs` come from the formulary, `children` in their place
    before the age of 12; `panels` are the laboratory panels by which it is followed; `specialty` is the department it
    is referred to; `setting` is the class of the encounter at which it is treated, `stay` the nights spent there on
    the department `ward`. What has a term, but is not over, began `within` so many days.
    """

    slug: str
    snomed: Code
    icd10: Code
    ages: tuple[int, int]
    prevalence: float
    gender: str | None = None
    days: int | None = None
    drugs: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    panels: tuple[str, ...] = ()
    specialty: str | None = None
    setting: Code = AMBULATORY
    stay: int = 0
    ward: str = "emergency"
    procedure: Code | None = None
    within: int | None = None

    @property
    def chronic(self) -> bool:
        return self.days is None


DISEASES: tuple[Disease, ...] = (
    Disease(
        "hypertension",
        ("59621000", "Essential hypertension"),
        ("I10", "Essential (primary) hypertension"),
        (35, 99),
        0.28,
        drugs=("lisinopril-10", "amlodipine-5"),
        panels=("metabolic",),
        specialty="cardiology",
    ),
    Disease(
        "type-2-diabetes",
        ("44054006", "Diabetes mellitus type 2"),
        ("E11.9", "Type 2 diabetes mellitus without complications"),
        (35, 99),
        0.14,
        drugs=("metformin-500",),
        panels=("diabetes", "metabolic"),
        specialty="endocrinology",
    ),
    Disease(
        "hyperlipidaemia",
        ("55822004", "Hyperlipidemia"),
        ("E78.5", "Hyperlipidaemia, unspecified"),
        (35, 99),
        0.2,
        drugs=("simvastatin-20",),
        panels=("lipids",),
    ),
    Disease(
        "coronary-heart-disease",
        ("53741008", "Coronary arteriosclerosis"),
        ("I25.1", "Atherosclerotic heart disease"),
        (55, 99),
        0.1,
        drugs=("clopidogrel-75", "simvastatin-20"),
        panels=("lipids",),
        specialty="cardiology",
        procedure=("40701008", "Echocardiography"),
    ),
    Disease(
        "atrial-fibrillation",
        ("49436004", "Atrial fibrillation"),
        ("I48.9", "Atrial fibrillation and atrial flutter, unspecified"),
        (60, 99),
        0.07,
        drugs=("warfarin-5",),
        panels=("coagulation",),
        specialty="cardiology",
        procedure=("29303009", "Electrocardiographic procedure"),
    ),
    Disease(
        "asthma",
        ("195967001", "Asthma"),
        ("J45.9", "Asthma, unspecified"),
        (4, 60),
        0.08,
        drugs=("salbutamol-90", "fluticasone-44"),
        specialty="pulmonology",
        procedure=("127783003", "Spirometry"),
    ),
    Disease(
        "copd",
        ("13645005", "Chronic obstructive lung disease"),
        ("J44.9", "Chronic obstructive pulmonary disease, unspecified"),
        (55, 99),
        0.07,
        drugs=("salbutamol-90",),
        specialty="pulmonology",
        procedure=("127783003", "Spirometry"),
    ),
    Disease(
        "hypothyroidism",
        ("40930008", "Hypothyroidism"),
        ("E03.9", "Hypothyroidism, unspecified"),
        (25, 99),
        0.06,
        drugs=("levothyroxine-75",),
        panels=("thyroid",),
        specialty="endocrinology",
    ),
    Disease(
        "depression",
        ("35489007", "Depressive disorder"),
        ("F32.9", "Depressive episode, unspecified"),
        (18, 85),
        0.07,
        drugs=("sertraline-50",),
        specialty="psychiatry",
    ),
    Disease(
        "migraine",
        ("37796009", "Migraine"),
        ("G43.9", "Migraine, unspecified"),
        (18, 60),
        0.08,
        drugs=("sumatriptan-50",),
        specialty="neurology",
    ),
    Disease(
        "gastro-oesophageal-reflux",
        ("235595009", "Gastroesophageal reflux disease"),
        ("K21.9", "Gastro-oesophageal reflux disease without oesophagitis"),
        (25, 90),
        0.08,
        drugs=("omeprazole-20",),
        specialty="gastroenterology",
    ),
    Disease(
        "knee-osteoarthritis",
        ("239873007", "Osteoarthritis of knee"),
        ("M17.9", "Gonarthrosis, unspecified"),
        (50, 99),
        0.12,
        drugs=("paracetamol-325",),
        specialty="orthopaedics",
    ),
    Disease(
        "osteoporosis",
        ("64859006", "Osteoporosis"),
        ("M81.9", "Osteoporosis, unspecified"),
        (60, 99),
        0.15,
        gender="female",
        drugs=("alendronate-10",),
        procedure=("312681000", "Bone density scan"),
    ),
    Disease("gout", ("90560007", "Gout"), ("M10.9", "Gout, unspecified"), (40, 90), 0.04, drugs=("allopurinol-100",)),
    Disease(
        "iron-deficiency-anaemia",
        ("87522002", "Iron deficiency anemia"),
        ("D50.9", "Iron deficiency anaemia, unspecified"),
        (16, 50),
        0.1,
        gender="female",
        drugs=("ferrous-sulfate-325",),
        panels=("blood-count",),
    ),
    Disease(
        "atopic-dermatitis",
        ("24079001", "Atopic dermatitis"),
        ("L20.9", "Atopic dermatitis, unspecified"),
        (1, 30),
        0.1,
        drugs=("hydrocortisone-cream",),
        specialty="dermatology",
    ),
    Disease(
        "pregnancy",
        ("72892002", "Normal pregnancy"),
        ("Z34.9", "Supervision of normal pregnancy, unspecified"),
        (20, 40),
        0.06,
        gender="female",
        panels=("blood-count",),
        specialty="obstetrics-gynaecology",
        within=220,
    ),
    Disease(
        "otitis-media",
        ("65363002", "Otitis media"),
        ("H66.9", "Otitis media, unspecified"),
        (1, 9),
        0.3,
        days=10,
        children=("amoxicillin-suspension",),
    ),
    Disease(
        "streptococcal-sore-throat",
        ("43878008", "Streptococcal sore throat"),
        ("J02.0", "Streptococcal pharyngitis"),
        (5, 40),
        0.15,
        days=10,
        drugs=("penicillin-v-500",),
        children=("amoxicillin-suspension",),
    ),
    Disease(
        "acute-bronchitis",
        ("10509002", "Acute bronchitis"),
        ("J20.9", "Acute bronchitis, unspecified"),
        (12, 90),
        0.2,
        days=18,
        drugs=("paracetamol-325",),
    ),
    Disease(
        "cystitis",
        ("38822007", "Cystitis"),
        ("N30.9", "Cystitis, unspecified"),
        (18, 80),
        0.15,
        gender="female",
        days=7,
        drugs=("nitrofurantoin-100",),
    ),
    Disease(
        "ankle-sprain",
        ("44465007", "Sprain of ankle"),
        ("S93.4", "Sprain and strain of ankle"),
        (12, 60),
        0.08,
        days=28,
        drugs=("ibuprofen-200",),
    ),
    Disease(
        "forearm-fracture",
        ("65966004", "Fracture of forearm"),
        ("S52.9", "Fracture of forearm, part unspecified"),
        (12, 75),
        0.06,
        days=45,
        drugs=("paracetamol-325",),
        specialty="orthopaedics",
        setting=EMERGENCY,
        procedure=("274474001", "Bone immobilization"),
    ),
    Disease(
        "appendicitis",
        ("85189001", "Acute appendicitis"),
        ("K35.8", "Acute appendicitis, other and unspecified"),
        (12, 45),
        0.06,
        days=12,
        drugs=("paracetamol-325",),
        panels=("blood-count",),
        setting=INPATIENT,
        stay=3,
        ward="surgery",
        procedure=("80146002", "Appendectomy"),
    ),
    Disease(
        "pneumonia",
        ("233604007", "Pneumonia"),
        ("J18.9", "Pneumonia, unspecified"),
        (50, 95),
        0.12,
        days=16,
        drugs=("amoxicillin-500",),
        panels=("blood-count",),
        setting=INPATIENT,
        stay=5,
        ward="pulmonology",
        procedure=("399208008", "Plain chest X-ray"),
    ),
)
# Much of what might be had beside a pregnancy would be treated otherwise than we treat it.
ALONE = "pregnancy"
# Whoever comes to a hospital is not a sample of the town.
SICKER = 1.5
# Who has the first is not said to have the second as well, because one contains or mimics the other.
EXCLUDES = {"copd": "asthma", "coronary-heart-disease": "hyperlipidaemia"}


def diseases(random: Random, age: int, gender: str) -> tuple[Disease, ...]:
    """What a person of this age and gender has or lately had."""
    drawn = [
        disease
        for disease in DISEASES
        if disease.ages[0] <= age <= disease.ages[1]
        and disease.gender in (None, gender)
        and random.random() < disease.prevalence * SICKER
    ]
    if any(disease.slug == ALONE for disease in drawn):
        return tuple(disease for disease in drawn if disease.slug == ALONE)
    excluded = {EXCLUDES.get(disease.slug) for disease in drawn}
    return tuple(disease for disease in drawn if disease.slug not in excluded)


@dataclass(frozen=True, slots=True)
class Course:
    """One person's course of a disease: onset, when it was recorded and by whom, and when it was over."""

    id: str
    disease: Disease
    onset: date
    recorded: datetime
    recorder: Clinician
    abatement: date | None

    @property
    def condition(self) -> str:
        return f"Condition/{self.id}"


def condition(course: Course, patient: str, encounter: str) -> Resource:
    """The Condition: a problem of the list when chronic, else the diagnosis of its encounter."""
    category = (
        ("problem-list-item", "Problem List Item")
        if course.disease.chronic
        else ("encounter-diagnosis", "Encounter Diagnosis")
    )
    resource: Resource = {
        "resourceType": "Condition",
        "id": course.id,
        "clinicalStatus": concept(
            f"{HL7}condition-clinical", ("resolved", "Resolved") if course.abatement else ("active", "Active")
        ),
        "verificationStatus": concept(f"{HL7}condition-ver-status", ("confirmed", "Confirmed")),
        "category": [concept(f"{HL7}condition-category", category)],
        "code": {
            "coding": [coding(SNOMED, course.disease.snomed), coding(ICD10, course.disease.icd10)],
            "text": course.disease.snomed[1],
        },
        "subject": refer(patient),
        "encounter": refer(encounter),
        "onsetDateTime": course.onset.isoformat(),
    }
    if course.abatement:
        resource["abatementDateTime"] = course.abatement.isoformat()
    resource["recordedDate"] = course.recorded.isoformat()
    resource["recorder"] = refer(course.recorder.practitioner, course.recorder.display)
    return resource
