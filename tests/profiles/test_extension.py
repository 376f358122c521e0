from typing import Any

import pytest

from profiles.extension import misplaced, with_extensions
from profiles.fhirpath.element import root

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "extension": [{"url": "http://example.org/a", "extension": [{"url": "part"}, {"url": "http://example.org/b"}]}],
    "_birthDate": {"extension": [{"url": "http://example.org/c"}]},
    "name": [
        {"given": ["Ann", "Bo"], "_given": [None, {"extension": [{"url": "http://example.org/d"}]}]},
        {"family": "Ash"},
    ],
    "contact": [{"modifierExtension": [{"url": "urn:oid:1.2"}]}],
    "deceasedBoolean": True,
    "_deceasedBoolean": {"extension": [{"url": "http://example.org/e"}]},
}


def test_every_extension_is_found_with_its_place() -> None:
    assert {found.value["url"]: found.path() for found in with_extensions(root(PATIENT))} == {
        "http://example.org/a": "Patient.extension[0]",
        "http://example.org/b": "Patient.extension[0].extension[1]",
        "http://example.org/c": "Patient.birthDate.extension[0]",
        "http://example.org/d": "Patient.name[0].given[1].extension[0]",
        "urn:oid:1.2": "Patient.contact[0].modifierExtension[0]",
        "http://example.org/e": "Patient.deceased.extension[0]",
    }


@pytest.mark.parametrize(
    ("url", "contexts", "answer"),
    [
        ("http://example.org/a", (), False),
        ("http://example.org/a", (("element", "Patient"),), False),
        ("http://example.org/a", (("element", "DomainResource"),), False),
        ("http://example.org/a", (("element", "Observation"),), True),
        ("http://example.org/a", (("element", "Observation"), ("element", "Patient")), False),
        ("http://example.org/b", (("extension", "http://example.org/a"),), False),
        ("http://example.org/b", (("extension", "http://example.org/c"),), True),
        ("http://example.org/c", (("element", "Patient.birthDate"),), False),
        ("http://example.org/c", (("element", "Patient"),), True),
        ("http://example.org/c", (("element", "date"),), False),
        ("http://example.org/c", (("element", "Element"),), False),
        ("http://example.org/d", (("element", "HumanName.given"),), False),
        ("http://example.org/d", (("element", "Patient.name.given"),), False),
        ("urn:oid:1.2", (("element", "Patient.contact"),), False),
        ("http://example.org/e", (("element", "Patient.deceased[x]"),), False),
        ("http://example.org/d", (("fhirpath", "Patient.name.given"),), False),
        ("http://example.org/c", (("fhirpath", "Patient.name.given"),), True),
    ],
)
def test_an_extension_stands_where_its_contexts_allow_it(
    url: str, contexts: tuple[tuple[str, str], ...], answer: bool
) -> None:
    extension = next(found for found in with_extensions(root(PATIENT)) if found.value["url"] == url)
    assert misplaced(extension, contexts) is answer
