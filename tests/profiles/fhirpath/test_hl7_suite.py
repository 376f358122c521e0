"""HL7's FHIRPath suite for R4, case by case, against the compiler.

https://github.com/FHIR/fhir-test-cases
"""

import functools
import xml.etree.ElementTree as ET
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fhir_server.json import parse_json
from fhir_server.rest.xml import parse_xml
from profiles.fhirpath import Element, FhirPathError, compile_expression
from profiles.fhirpath.comparison import equal, equivalent
from profiles.fhirpath.element import plain, type_name
from profiles.fhirpath.evaluation import truth
from profiles.fhirpath.quantity import Quantity
from profiles.fhirpath.temporal import Temporal
from tests.profiles.fhirpath.known_differences import KNOWN_DIFFERENCES
from tests.reference import ROOT, reference

SUITE = "fhir-test-cases/r4/fhirpath/tests-fhir-r4.xml"


def cases() -> list[Any]:
    """Every test of the suite, by its name; a name used twice has a number for the second."""
    path = ROOT / SUITE
    if not path.exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason=f"reference data missing: {path}"))]
    seen: dict[str, int] = {}
    found = []
    for test in ET.parse(path).getroot().iter("test"):
        name = test.attrib["name"]
        seen[name] = seen.get(name, 0) + 1
        name = name if seen[name] == 1 else f"{name}-{seen[name]}"
        mark = pytest.mark.xfail(reason=KNOWN_DIFFERENCES[name], strict=True) if name in KNOWN_DIFFERENCES else ()
        found.append(pytest.param(test, id=name, marks=mark))
    return found


@functools.cache
def resource(name: str) -> dict[str, Any]:
    folder = Path(reference("fhir-test-cases/r4"))
    for path in (folder / name, folder / "examples" / name):
        for candidate in (path, path.with_suffix(".json")):
            if candidate.exists():
                data = candidate.read_bytes()
                return parse_json(data) if candidate.suffix == ".json" else parse_xml(data)
    pytest.skip(f"reference data has no {name}")


def expected(output: ET.Element) -> Any:
    text = output.text or ""
    match output.attrib.get("type"):
        case "boolean":
            return text == "true"
        case "integer":
            return int(text)
        case "decimal":
            return Decimal(text)
        case "Quantity":
            return Quantity.parse(text)
        case _ if text.startswith("@"):
            kind = "Time" if text.startswith("@T") else "DateTime" if "T" in text else "Date"
            return Temporal.parse(text[1:], kind)
        case None:
            return text
        case _:
            return text


SYSTEM_NAMES = {
    "date": "Date",
    "dateTime": "DateTime",
    "boolean": "Boolean",
    "integer": "Integer",
    "decimal": "Decimal",
    "string": "String",
}


def agrees(item: Any, output: ET.Element) -> bool:
    wanted, kind = expected(output), output.attrib.get("type")
    if kind is None and isinstance(item, Decimal):
        wanted = Decimal(str(wanted))
        return item == wanted and item.as_tuple().exponent == wanted.as_tuple().exponent
    if kind is None and isinstance(item, Temporal):
        return isinstance(wanted, Temporal) and str(item) == str(wanted)
    if kind is None:
        return str(item).lower() == str(wanted)
    if isinstance(item, Element):
        return type_name(item).name == kind and equal([item], [wanted]) is True
    return type_name(item).name == SYSTEM_NAMES.get(kind, kind) and equivalent([item], [wanted])


@pytest.mark.parametrize("test", cases())
def test_hl7_suite(test: ET.Element) -> None:
    """The expression gives what HL7 expects, or fails where HL7 expects it to."""
    node = test.find("expression")
    assert node is not None
    expression, invalid = node.text or "", node.attrib.get("invalid")
    context = resource(test.attrib["inputfile"]) if test.attrib.get("inputfile") else {"resourceType": "Patient"}

    def run() -> list[Any]:
        return compile_expression(expression, on=context["resourceType"], strict=True).items(context)

    if invalid:
        with pytest.raises(FhirPathError):
            run()
        return
    items, outputs = run(), test.findall("output")
    if test.attrib.get("predicate") == "true":
        items = [truth(items) is True]
    assert len(items) == len(outputs), items
    if test.attrib.get("ordered") == "false":
        outputs = sorted(outputs, key=lambda o: str(o.text))
        items = sorted(items, key=lambda i: str(plain(i)))
    for item, output in zip(items, outputs, strict=True):
        assert agrees(item, output), (item, output.attrib, output.text)
