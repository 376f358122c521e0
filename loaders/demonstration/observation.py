"""Vital signs along the curves that bodies and treatment take, and what people say of themselves.

https://hl7.org/fhir/R4/observation.html and https://hl7.org/fhir/R4/observation-vitalsigns.html
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from random import Random

from loaders.demonstration.datatypes import (
    HL7,
    LOINC,
    SNOMED,
    STRUCTURE,
    Code,
    Element,
    Resource,
    concept,
    decimal,
    quantity,
)
from loaders.demonstration.datatypes import reference as refer

Unit = tuple[str, str]  # as printed, and in UCUM
PRESSURE: Unit = ("mmHg", "mm[Hg]")


@dataclass(frozen=True, slots=True)
class Sign:
    """A vital sign: LOINC code, unit, decimals, and the profile it keeps."""

    code: Code
    unit: Unit
    digits: int
    profile: str


PULSE = Sign(("8867-4", "Heart rate"), ("beats/minute", "/min"), 0, "heartrate")
BREATHING = Sign(("9279-1", "Respiratory rate"), ("breaths/minute", "/min"), 0, "resprate")
TEMPERATURE = Sign(("8310-5", "Body temperature"), ("°C", "Cel"), 1, "bodytemp")
SATURATION = Sign(("2708-6", "Oxygen saturation in Arterial blood"), ("%", "%"), 0, "oxygensat")
WEIGHT = Sign(("29463-7", "Body weight"), ("kg", "kg"), 1, "bodyweight")
HEIGHT = Sign(("8302-2", "Body height"), ("cm", "cm"), 1, "bodyheight")
MASS_INDEX = Sign(("39156-5", "Body mass index (BMI) [Ratio]"), ("kg/m2", "kg/m2"), 1, "bmi")
BLOOD_PRESSURE: Code = ("85354-9", "Blood pressure panel with all children optional")
SYSTOLIC: Code = ("8480-6", "Systolic blood pressure")
DIASTOLIC: Code = ("8462-4", "Diastolic blood pressure")

VITAL: Code = ("vital-signs", "Vital Signs")
SOCIAL: Code = ("social-history", "Social History")
SURVEY: Code = ("survey", "Survey")
FEVERS = {"pneumonia", "acute-bronchitis", "otitis-media", "streptococcal-sore-throat", "appendicitis"}
INTERPRETATIONS = {"N": "Normal", "H": "High", "L": "Low"}

SMOKING: Code = ("72166-2", "Tobacco smoking status")
SMOKING_STATUS: tuple[Code, ...] = (
    ("266919005", "Never smoked tobacco"),
    ("8517006", "Ex-smoker"),
    ("449868002", "Smokes tobacco daily"),
)
PHQ9: Code = ("44261-6", "Patient Health Questionnaire 9 item (PHQ-9) total score [Reported]")

# Age in years, height in cm and weight in kg halfway between the ordinary extremes, for both sexes together.
GROWTH = (
    (0.0, 50.0, 3.4),
    (0.5, 66.5, 7.5),
    (1.0, 75.0, 9.6),
    (2.0, 87.0, 12.3),
    (4.0, 103.0, 16.5),
    (6.0, 116.0, 20.8),
    (8.0, 128.0, 26.0),
    (10.0, 138.0, 32.5),
    (12.0, 149.0, 41.0),
    (14.0, 160.0, 50.5),
    (16.0, 167.0, 58.0),
    (18.0, 170.0, 64.0),
)
GROWN = GROWTH[-1][0]


@dataclass(frozen=True, slots=True)
class Occasion:
    """When, where and on whom something is observed: the key its ids carry, references, a performer."""

    key: str
    patient: str
    encounter: str
    performer: str
    when: datetime


@dataclass(frozen=True, slots=True)
class Body:
    """What stays the same about one person: factors to the growth curves, grown size (cm, kg), blood pressure, pulse."""

    tall: float
    heavy: float
    height: float
    weight: float
    systolic: float
    pulse: float


def body(random: Random, gender: str, age: int) -> Body:
    """A body of that gender, its pressure rising with age."""
    height = min(max(random.gauss(163, 6) if gender == "female" else random.gauss(176, 7), 148), 198)
    index = min(max(random.gauss(26, 3.5), 18.5), 38)
    factor = min(max(random.gauss(1, 0.04), 0.92), 1.08)
    weight = index * (height / 100) ** 2
    systolic = random.gauss(114, 6) + max(0, age - 30) * 0.3
    return Body(factor, factor**2.2, height, weight, systolic, random.gauss(72, 6))


def size(person: Body, birth: date, day: date) -> tuple[float, float]:
    """Height in cm and weight in kg on that day."""
    age = (day - birth).days / 365.25
    if age >= GROWN:
        return person.height, person.weight
    row = bisect_right(GROWTH, age, key=lambda point: point[0]) - 1
    (start, height, weight), (end, later_height, later_weight) = GROWTH[row], GROWTH[row + 1]
    share = (age - start) / (end - start)
    return (
        (height + (later_height - height) * share) * person.tall,
        (weight + (later_weight - weight) * share) * person.heavy,
    )


def vital_signs(
    occasion: Occasion, person: Body, birth: date, slugs: frozenset[str], progress: float, random: Random
) -> Iterator[Resource]:
    """What is measured at a visit of someone who has those diseases; `progress` is how far treatment has worked."""
    age = (occasion.when.date() - birth).days / 365.25
    height, weight = size(person, birth, occasion.when.date())
    weight *= random.uniform(0.99, 1.01)
    feverish = bool(slugs & FEVERS)
    if age >= 3:
        yield _blood_pressure(occasion, person, age, "hypertension" in slugs, progress, random)
    yield _vital_sign(occasion, PULSE, _pulse(person, age, feverish, random))
    yield _vital_sign(occasion, WEIGHT, weight)
    if age < GROWN or progress in (0.0, 1.0):
        yield _vital_sign(occasion, HEIGHT, height)
        if age >= 2:
            yield _vital_sign(occasion, MASS_INDEX, weight / (height / 100) ** 2)
    if feverish or age < GROWN:
        yield _vital_sign(occasion, TEMPERATURE, random.gauss(38.3, 0.3) if feverish else random.gauss(36.6, 0.15))
    if slugs & {"asthma", "copd", "pneumonia"}:
        low = bool(slugs & {"copd", "pneumonia"})
        yield _vital_sign(occasion, BREATHING, random.randint(18, 24) if low else random.randint(13, 18))
        yield _vital_sign(occasion, SATURATION, random.randint(90, 94) if low else random.randint(96, 99))


def _pulse(person: Body, age: float, feverish: bool, random: Random) -> float:
    rest = person.pulse if age >= GROWN else 130 - (130 - person.pulse) * age / GROWN
    return min(max(rest + random.gauss(0, 3) + (12 if feverish else 0), 50), 170)


def _blood_pressure(
    occasion: Occasion, person: Body, age: float, hypertensive: bool, progress: float, random: Random
) -> Resource:
    systolic = person.systolic if age >= GROWN else 88 + (min(person.systolic, 120) - 88) * age / GROWN
    if hypertensive:
        # Treatment brings it down from about 155 to about 132.
        systolic = max(systolic, 128) + 26 * (1 - progress) + 2
    systolic = min(max(systolic + random.gauss(0, 3), 80), 185)
    diastolic = min(max(systolic * 0.62 + random.gauss(0, 2), 45), 112)
    resource = observation(occasion, BLOOD_PRESSURE, VITAL, "bp")
    resource["component"] = [
        {"code": concept(LOINC, SYSTOLIC), "valueQuantity": quantity(decimal(systolic, 0), *PRESSURE)},
        {"code": concept(LOINC, DIASTOLIC), "valueQuantity": quantity(decimal(diastolic, 0), *PRESSURE)},
    ]
    if age >= GROWN:
        resource["interpretation"] = [interpretation("H" if systolic >= 140 or diastolic >= 90 else "N")]
    return resource


def _vital_sign(occasion: Occasion, sign: Sign, value: float) -> Resource:
    resource = observation(occasion, sign.code, VITAL, sign.profile)
    resource["valueQuantity"] = quantity(decimal(value, sign.digits), *sign.unit)
    return resource


def smoking_status(occasion: Occasion, random: Random) -> Resource:
    resource = observation(occasion, SMOKING, SOCIAL)
    status = random.choices(SMOKING_STATUS, (60, 25, 15))[0]
    resource["valueCodeableConcept"] = concept(SNOMED, status)
    return resource


def depression_score(occasion: Occasion, progress: float, random: Random) -> Resource:
    """A PHQ-9 sum between 0 and 27 that gets better under treatment."""
    resource = observation(occasion, PHQ9, SURVEY)
    resource["valueInteger"] = min(max(round(17 - 10 * progress + random.gauss(0, 2)), 0), 27)
    return resource


def observation(occasion: Occasion, code: Code, category: Code, profile: str | None = None) -> Resource:
    """A final Observation that still lacks its value; `profile` is the name of one of FHIR's own."""
    resource: Resource = {"resourceType": "Observation", "id": f"observation-{occasion.key}-{code[0]}"}
    if profile:
        resource["meta"] = {"profile": [f"{STRUCTURE}{profile}"]}
    resource |= {
        "status": "final",
        "category": [concept(f"{HL7}observation-category", category)],
        "code": concept(LOINC, code),
        "subject": refer(occasion.patient),
        "encounter": refer(occasion.encounter),
        "effectiveDateTime": occasion.when.isoformat(),
        "performer": [refer(occasion.performer)],
    }
    return resource


def interpretation(code: str) -> Element:
    """N, H or L."""
    return concept(f"{HL7}v3-ObservationInterpretation", (code, INTERPRETATIONS[code]))
