"""Laboratory panels: what they measure, the results and the DiagnosticReports.

https://hl7.org/fhir/R4/diagnosticreport.html
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from random import Random

from loaders.demonstration.condition import Disease
from loaders.demonstration.datatypes import HL7, LOINC, Code, Element, Resource, concept, decimal, quantity
from loaders.demonstration.datatypes import reference as refer
from loaders.demonstration.observation import Occasion, Unit, interpretation, observation
from loaders.demonstration.organization import LABORATORY

LABORATORY_CATEGORY: Code = ("laboratory", "Laboratory")
TURNAROUND = timedelta(hours=3)
MMOL: Unit = ("mmol/L", "mmol/L")
MG: Unit = ("mg/dL", "mg/dL")
THOUSAND: Unit = ("10*3/uL", "10*3/uL")


@dataclass(frozen=True, slots=True)
class Measure:
    """A laboratory measure: LOINC code, unit, decimals, the usual value and its spread, the reference range.

    `women` has the usual value and range where those differ.
    """

    code: Code
    unit: Unit
    digits: int
    usual: float
    spread: float
    low: str | None
    high: str | None
    women: tuple[float, str, str] | None = None


@dataclass(frozen=True, slots=True)
class Panel:
    """What is measured from one sample."""

    slug: str
    code: Code
    measures: tuple[Measure, ...]


PANELS: dict[str, Panel] = {
    panel.slug: panel
    for panel in (
        Panel(
            "metabolic",
            ("51990-0", "Basic metabolic panel - Blood"),
            (
                Measure(("2345-7", "Glucose [Mass/volume] in Serum or Plasma"), MG, 0, 88, 7, "70", "99"),
                Measure(("3094-0", "Urea nitrogen [Mass/volume] in Serum or Plasma"), MG, 0, 14, 4, "7", "20"),
                Measure(("2160-0", "Creatinine [Mass/volume] in Serum or Plasma"), MG, 2, 0.9, 0.2, "0.60", "1.20"),
                Measure(("2951-2", "Sodium [Moles/volume] in Serum or Plasma"), MMOL, 0, 140, 3, "136", "145"),
                Measure(("2823-3", "Potassium [Moles/volume] in Serum or Plasma"), MMOL, 1, 4.2, 0.4, "3.5", "5.1"),
            ),
        ),
        Panel(
            "lipids",
            ("57698-3", "Lipid panel with direct LDL - Serum or Plasma"),
            (
                Measure(("2093-3", "Cholesterol [Mass/volume] in Serum or Plasma"), MG, 0, 176, 15, None, "200"),
                Measure(("2571-8", "Triglyceride [Mass/volume] in Serum or Plasma"), MG, 0, 110, 25, None, "150"),
                Measure(
                    ("18262-6", "Cholesterol in LDL [Mass/volume] in Serum or Plasma by Direct assay"),
                    *(MG, 0, 98, 10, None, "130"),
                ),
                Measure(("2085-9", "Cholesterol in HDL [Mass/volume] in Serum or Plasma"), MG, 0, 52, 8, "40", None),
            ),
        ),
        Panel(
            "diabetes",
            ("4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood"),
            (Measure(("4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood"), ("%", "%"), 1, 5.3, 0.2, "4.0", "5.6"),),
        ),
        Panel(
            "blood-count",
            ("58410-2", "CBC panel - Blood by Automated count"),
            (
                Measure(
                    ("718-7", "Hemoglobin [Mass/volume] in Blood"),
                    ("g/dL", "g/dL"),
                    *(1, 15.2, 0.8, "13.5", "17.5", (13.7, "12.0", "15.5")),
                ),
                Measure(
                    ("4544-3", "Hematocrit [Volume Fraction] of Blood by Automated count"),
                    ("%", "%"),
                    *(1, 45.5, 2.4, "41.0", "53.0", (41.0, "36.0", "46.0")),
                ),
                Measure(
                    ("6690-2", "Leukocytes [#/volume] in Blood by Automated count"),
                    *(THOUSAND, 1, 7.0, 1.8, "4.5", "11.0"),
                ),
                Measure(
                    ("777-3", "Platelets [#/volume] in Blood by Automated count"),
                    *(THOUSAND, 0, 250, 60, "150", "400"),
                ),
            ),
        ),
        Panel(
            "thyroid",
            ("3016-3", "Thyrotropin [Units/volume] in Serum or Plasma"),
            (
                Measure(
                    ("3016-3", "Thyrotropin [Units/volume] in Serum or Plasma"),
                    ("m[IU]/L", "m[IU]/L"),
                    *(2, 1.9, 0.6, "0.40", "4.00"),
                ),
            ),
        ),
        Panel(
            "coagulation",
            ("6301-6", "INR in Platelet poor plasma by Coagulation assay"),
            (
                Measure(
                    ("6301-6", "INR in Platelet poor plasma by Coagulation assay"),
                    ("{INR}", "{INR}"),
                    *(1, 1.0, 0.1, "0.9", "1.1"),
                ),
            ),
        ),
    )
}
# What a disease makes of a measure: before treatment, and when treatment has done what it can.
EFFECTS: dict[tuple[str, str], tuple[float, float]] = {
    ("type-2-diabetes", "4548-4"): (8.6, 6.9),
    ("type-2-diabetes", "2345-7"): (188, 128),
    ("hyperlipidaemia", "2093-3"): (262, 188),
    ("hyperlipidaemia", "18262-6"): (172, 104),
    ("hyperlipidaemia", "2571-8"): (205, 142),
    ("coronary-heart-disease", "2093-3"): (248, 172),
    ("coronary-heart-disease", "18262-6"): (160, 84),
    ("hypothyroidism", "3016-3"): (9.4, 2.3),
    ("atrial-fibrillation", "6301-6"): (1.1, 2.5),
    ("iron-deficiency-anaemia", "718-7"): (9.8, 12.9),
    ("iron-deficiency-anaemia", "4544-3"): (30.5, 38.9),
    ("pregnancy", "718-7"): (12.6, 11.8),
    ("pregnancy", "4544-3"): (37.8, 35.6),
    ("pneumonia", "6690-2"): (15.2, 15.2),
    ("appendicitis", "6690-2"): (14.1, 14.1),
}


def laboratory(
    occasion: Occasion, panel: Panel, gender: str, diseases: tuple[Disease, ...], progress: float, random: Random
) -> Iterator[Resource]:
    """The results of one panel and then the report that refers to them.

    The occasion's time is when the sample was taken; `progress` from 0 to 1 says how far treatment has worked.
    """
    issued = (occasion.when + TURNAROUND).isoformat()
    results = []
    for measure in panel.measures:
        effect = _effect(diseases, measure)
        resource = _result(occasion, measure, gender, effect, progress + random.uniform(-0.08, 0.08), random)
        resource["issued"] = issued
        results.append(refer(f"Observation/{resource['id']}", measure.code[1]))
        yield resource
    yield {
        "resourceType": "DiagnosticReport",
        "id": f"report-{occasion.key}-{panel.slug}",
        "status": "final",
        "category": [concept(f"{HL7}v2-0074", ("LAB", "Laboratory"))],
        "code": concept(LOINC, panel.code),
        "subject": refer(occasion.patient),
        "encounter": refer(occasion.encounter),
        "effectiveDateTime": occasion.when.isoformat(),
        "issued": issued,
        "performer": [refer(f"Organization/{LABORATORY}")],
        "result": results,
    }


def _effect(diseases: tuple[Disease, ...], measure: Measure) -> tuple[float, float] | None:
    for disease in diseases:
        effect = EFFECTS.get((disease.slug, measure.code[0]))
        if effect is not None:
            return effect
    return None


def _result(
    occasion: Occasion,
    measure: Measure,
    gender: str,
    effect: tuple[float, float] | None,
    progress: float,
    random: Random,
) -> Resource:
    usual, low, high = measure.usual, measure.low, measure.high
    if measure.women and gender == "female":
        usual, low, high = measure.women
    aim = usual if effect is None else effect[0] + (effect[1] - effect[0]) * min(max(progress, 0.0), 1.0)
    value = decimal(aim + random.uniform(-1, 1) * measure.spread, measure.digits)
    resource = observation(occasion, measure.code, LABORATORY_CATEGORY)
    resource["valueQuantity"] = quantity(value, *measure.unit)
    resource["interpretation"] = [interpretation(judged(value, low, high))]
    resource["referenceRange"] = [_range(measure.unit, low, high)]
    return resource


def judged(value: Decimal, low: str | None, high: str | None) -> str:
    """L below the range, H above it, else N; the limits belong to the range."""
    if low is not None and value < Decimal(low):
        return "L"
    if high is not None and value > Decimal(high):
        return "H"
    return "N"


def _range(unit: Unit, low: str | None, high: str | None) -> Element:
    element: Element = {}
    if low is not None:
        element["low"] = quantity(Decimal(low), *unit)
    if high is not None:
        element["high"] = quantity(Decimal(high), *unit)
    element["type"] = concept(f"{HL7}referencerange-meaning", ("normal", "Normal Range"))
    element["text"] = f"{low} - {high}" if low and high else (f"at least {low}" if low else f"at most {high}")
    return element
