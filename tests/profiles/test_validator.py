import copy
import gzip
import itertools
import json
import tarfile
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.json import parse_json
from profiles.definitions import r4
from profiles.issue import LIMIT, Issue
from profiles.validator import Validator
from tests.profiles.mutations import BASE, STRUCTURE, VALID, Mutation, changed, observation, patient
from tests.reference import reference

VALIDATOR = Validator(r4())
CORE = "hl7.fhir.r4.core-4.0.1.tgz"
LEVELS = ("structure", "base")
# What the definitions of the core package are warned of, and why that is right.
WARNED = {
    "sdf-0": "names of profiles and extensions such as 'reviewer' begin with a small letter",
    "vsd-0": "names of value sets of HL7 version 2 begin with a small letter",
    "csd-0": "names of code systems of HL7 version 2 begin with a small letter",
    "spd-0": "names of search parameters are their codes",
    "cpb-0": "the name of the messaging example begins with a small letter",
    "SearchParameter.base": "ten search parameters on extensions have no base",
    "SearchParameter.id": "questionnaireresponse-extensions-QuestionnaireResponse-item-subject has 71 characters",
}
# Examples in HL7's packages that are not valid R4, and why.
INVALID_EXAMPLES = {
    "us_core_311.tgz:DiagnosticReport-cardiology-report.json": "the hash 'EQH/..AgME' is no base64",
    "us_core_610.tgz:validation-oo.json": "OperationOutcomes without issues",
    "us_core_800.tgz:validation-oo.json": "OperationOutcomes without issues",
    "ips_v110.tgz:validation-oo.json": "OperationOutcomes without issues",
}


def errors(resource: Any, level: Any = "base") -> list[Issue]:
    return [issue for issue in VALIDATOR.validate(resource, level) if issue.severity == "error"]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("resource", VALID, ids=lambda resource: resource.__name__)
def test_a_valid_resource_has_no_issues_and_is_recognized_at_once(resource, level):
    assert VALIDATOR.validate(resource(), level) == []
    assert VALIDATOR._is_right(resource(), level)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("mutation", STRUCTURE, ids=lambda mutation: mutation.name)
def test_a_broken_structure_is_refused_where_it_is_broken(mutation: Mutation, level):
    found = errors(mutation.mutant(), level)
    assert (mutation.at, mutation.code) in [(issue.location, issue.code) for issue in found]


@pytest.mark.parametrize("mutation", BASE, ids=lambda mutation: mutation.name)
def test_a_broken_rule_is_refused_at_level_base_alone(mutation: Mutation):
    found = errors(mutation.mutant(), "base")
    assert [(issue.location, issue.code) for issue in found] == [(mutation.at, mutation.code)]
    assert errors(mutation.mutant(), "structure") == []


@pytest.mark.parametrize("mutation", [m for m in BASE if m.code == "invariant"], ids=lambda mutation: mutation.name)
def test_a_broken_invariant_is_named(mutation: Mutation):
    key = mutation.name.partition(":")[0].split()[0]
    assert [issue.key for issue in errors(mutation.mutant())] == [key]


@pytest.mark.parametrize(
    ("keys", "value", "text"),
    [
        (("brithDate",), "1974-12-25", "Patient has no element 'brithDate'; did you mean 'birthDate'?"),
        (("resourceType",), "Pateint", "'Pateint' is not a resource type of R4; did you mean 'Patient'?"),
        (("deceased",), True, "'deceased' is written with its type in its name: deceasedBoolean, deceasedDateTime"),
        (("name",), {"family": "X"}, "'name' repeats: an array is expected, not an object"),
        (("active",), "true", "'true' is a string; a boolean is a JSON boolean"),
        (("telecom", 0, "rank"), Decimal("1.0"), "1.0 is a number; a positiveInt is a JSON number without a point or exponent"),
        (("birthDate",), "1974-02-30", "'1974-02-30' is no date: 1974-02-30 does not exist"),
        (("gender",), "femal", "'femal' is not in the required value set http://hl7.org/fhir/ValueSet/administrative-gender; did you mean 'female'?"),
        (("deceasedDateTime",), "2015", "deceased[x] is there 2 times, as deceasedBoolean, deceasedDateTime; one of them is allowed"),
    ],
)  # fmt: skip
def test_an_issue_says_what_to_do(keys, value, text):
    assert text in [issue.text for issue in errors(changed(patient(), keys, value))]


def test_all_issues_are_reported_in_the_order_of_the_resource():
    broken = {"resourceType": "Patient", "link": [{}], "birthDate": "x", "gender": "x", "nmae": 1, "name": []}
    assert [issue.location for issue in errors(broken)] == [
        "Patient.nmae",
        "Patient.link[0]",
        "Patient.link[0].other",
        "Patient.link[0].type",
        "Patient.birthDate",
        "Patient.gender",
        "Patient.name",
    ]


def test_the_list_of_issues_ends_with_a_note_when_it_gets_too_long():
    issues = VALIDATOR.validate({"resourceType": "Patient", "name": [{}] * 1000})
    assert len(issues) == LIMIT + 1
    assert issues[-1] == Issue(
        "information", "informational", "only the first 100 issues are listed; there are more", "Patient"
    )


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("value", [None, True, 1, "Patient", [], [patient()], {}], ids=str)
def test_what_is_no_resource_is_refused(value, level):
    assert len(errors(value, level)) == 1


@pytest.mark.parametrize("level", LEVELS)
def test_a_depth_bomb_is_refused(level):
    bomb: Any = {"url": "http://example.org/x", "valueCode": "x"}
    for _ in range(5000):
        bomb = {"url": "http://example.org/x", "extension": [bomb]}
    assert errors({"resourceType": "Patient", "extension": [bomb]}, level)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("name", 0, "_given"), [None, {"id": "g2"}]),
        (("name", 0, "_given"), [{"id": "g1"}]),
        (("name", 0), {"given": ["Quilla", None], "_given": [None, {"extension": [{"url": "http://example.org/x", "valueCode": "x"}]}]}),
        (("name", 0), {"_given": [{"extension": [{"url": "http://example.org/x", "valueCode": "x"}]}]}),
        (("_gender",), {"id": "g"}),
        (("_deceasedBoolean",), {"extension": [{"url": "http://example.org/x", "valueCode": "x"}]}),
        (("link", 0), {"other": {"display": "x"}, "_type": {"extension": [{"url": "http://example.org/x", "valueCode": "x"}]}}),
        (("birthDate",), "1974"),
        (("birthDate",), "2000-02-29"),
        (("managingOrganization",), {"reference": "#o1", "identifier": {"value": "1"}, "type": "Organization"}),
        (("link", 0, "other"), {"identifier": {"value": "1"}}),
        (("identifier", 0, "period"), {"start": "2020", "end": "2020-05"}),
        (("maritalStatus",), {"text": "unknown"}),
    ],
)  # fmt: skip
def test_what_is_rare_and_right_is_accepted(keys, value):
    assert VALIDATOR.validate(changed(patient(), keys, value)) == []


def test_numbers_of_every_form_are_decimals():
    for text in ("6", "6.30", "-0.0000001", "1E2", "1e-10", "100000000000000000000"):
        content = json.dumps(observation(), default=str).replace('"6.30"', text).encode()
        assert VALIDATOR.validate(parse_json(content.replace(b'"3.1"', b"3.1"))) == []


def test_a_warning_alone_is_told():
    issues = VALIDATOR.validate({"resourceType": "ValueSet", "status": "draft", "name": "small letters"})
    assert [(issue.severity, issue.key, issue.location) for issue in issues] == [("warning", "vsd-0", "ValueSet")]


def test_threads_do_not_see_the_contained_resources_of_each_other():
    basic = {"resourceType": "Basic", "id": "b", "code": {"text": "x"}, "subject": {"reference": "#"}}
    lost = changed(patient(), ("contained",), [basic])
    found: list[list[str]] = []

    def look() -> None:
        found.extend([issue.key for issue in VALIDATOR.validate(one)] for _ in range(100) for one in (patient(), lost))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found.count([]) == found.count(["ref-1"]) == 400


def warned(issue: Issue) -> bool:
    return issue.severity == "warning" and (issue.key or issue.location) in WARNED


def surprises(resource: dict[str, Any], level: Any) -> list[Issue]:
    return [issue for issue in VALIDATOR.validate(resource, level) if not warned(issue)]


@pytest.mark.parametrize("level", LEVELS)
def test_a_sample_of_the_definitions_of_the_core_package_is_valid(level):
    sample = [resource for _, resource in itertools.islice(packaged(CORE), 0, None, 60)]
    assert len(sample) == 77
    assert not {one["id"]: found for one in sample if (found := surprises(one, level))}


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
def test_all_definitions_of_the_core_package_are_valid(level):
    count = 0
    for name, resource in packaged(CORE):
        count += 1
        assert not surprises(resource, level), name
    assert count == 4581


@pytest.mark.slow
@pytest.mark.parametrize("package", ["us_core_311.tgz", "us_core_610.tgz", "us_core_800.tgz", "ips_v110.tgz"])
def test_all_resources_and_examples_of_other_packages_are_valid(package):
    invalid = {f"{package}:{name}" for name, resource in packaged(package) if errors(resource)}
    assert invalid == {name for name in INVALID_EXAMPLES if name.startswith(package)}


def packaged(package: str) -> Iterator[tuple[str, dict[str, Any]]]:
    with tarfile.open(reference(f"packages/{package}")) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.name.endswith(".json") else None
            content = json.loads(file.read(), parse_float=Decimal) if file else None
            if isinstance(content, dict) and "resourceType" in content:
                yield Path(member.name).name, content


def synthea() -> list[Path]:
    return sorted(reference("synthea").glob("*/*.json.gz"))


@pytest.mark.parametrize("level", LEVELS)
def test_a_sample_of_synthetic_patients_is_valid(level):
    for path in synthea()[::60]:
        assert VALIDATOR.validate(parse_json(gzip.decompress(path.read_bytes())), level) == []


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
def test_all_synthetic_patients_are_valid(level):
    for path in synthea():
        assert VALIDATOR.validate(parse_json(gzip.decompress(path.read_bytes())), level) == [], path.name


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
)
WORDS = st.sampled_from(
    ["#o1", "#", "2020-01-01", "Patient/1", "Practitioner/1", "http://example.org", "female", "x y", " "]
)
NAMES = st.sampled_from(
    "id extension url valueString _valueString valueCode name given _given contained resourceType reference coding code "
    "system value period start end low high text div status item type contact".split()
)
VALUES = st.recursive(
    SCALARS | WORDS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=6
)


def places(value: Any, here: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in members:
        yield (*here, key)
        yield from places(member, (*here, key))


@st.composite
def mutants(draw: st.DrawFn) -> dict[str, Any]:
    resource = draw(st.sampled_from(VALID))()
    for _ in range(draw(st.integers(1, 3))):
        keys = draw(st.sampled_from(list(places(resource)) or [("resourceType",)]))
        match draw(st.integers(0, 3)):
            case 0 if len(keys) > 1 or isinstance(keys[-1], str):
                holder: Any = resource
                for key in keys[:-1]:
                    holder = holder[key]
                del holder[keys[-1]]
            case 1:
                resource = changed(
                    resource, (*keys[:-1], draw(NAMES)) if isinstance(keys[-1], str) else keys, draw(VALUES)
                )
            case _:
                resource = changed(resource, keys, draw(VALUES))
    return resource


@settings(max_examples=400, deadline=None)
@given(mutants() | VALUES)
def test_no_json_makes_it_raise_and_what_is_recognized_at_once_has_no_issues(resource):
    before = copy.deepcopy(resource)
    for level in LEVELS:
        issues = VALIDATOR.validate(resource, level)
        assert all(issue.text and issue.code and issue.severity for issue in issues)
        if isinstance(resource, dict) and VALIDATOR._is_right(resource, level):
            assert VALIDATOR._examine(resource, level) == []
    assert resource == before


@pytest.mark.parametrize("url", [None, 5, 1.5, True, "", "relative", [], ["http://e.example/x"], {}])
@pytest.mark.parametrize("level", LEVELS)
def test_an_extension_whose_url_is_no_uri_gets_an_issue(url, level):
    resource = {"resourceType": "Patient", "extension": [{"url": url, "valueCode": "blue"}]}
    issues = VALIDATOR.validate(resource, level)
    assert bool(issues) == (url != "relative" or level != "structure")


Json = dict[str, Any]


def patient_with_contained(count: int, reference: str) -> Json:
    return {
        "resourceType": "Patient",
        "contained": [{"resourceType": "Practitioner", "id": f"a{n}", "active": True} for n in range(count)],
        "generalPractitioner": [{"reference": f"{reference}{n}"} for n in range(count)],
    }


def large(kind: str, count: int) -> Json:
    """A resource of so many elements that makes the most work."""
    match kind:
        case "names":
            return {"resourceType": "Patient", "name": [{"given": ["a", "b"], "family": "x"}] * (count // 4), "bad": 1}
        case "extensions":
            return {"resourceType": "Patient", "extension": [{"url": "x:y", "valueCode": "a"}] * (count // 3), "bad": 1}
        case "unknown elements":
            return {"resourceType": "Patient", **{f"nam{n}": 1 for n in range(count)}}
        case "references":
            return patient_with_contained(count // 6, "#b")
        case "entries":
            entry = {"fullUrl": "urn:uuid:1", "resource": {"resourceType": "Patient", "active": True}}
            return {"resourceType": "Bundle", "type": "collection", "entry": [entry] * (count // 5)}
        case "items":
            items = [{"linkId": "1", "type": "string", "text": "a"} for _ in range(count // 4)]
            return {"resourceType": "Questionnaire", "status": "active", "item": items}
        case _:
            codes = [{"code": f"x{n}", "display": "a"} for n in range(count // 3)]
            concepts = {"status": "active", "content": "complete", "concept": codes}
            return {"resourceType": "CodeSystem", **concepts, "bad": 1}


@pytest.mark.parametrize(
    "kind", ["names", "extensions", "unknown elements", "references", "entries", "items", "concepts"]
)
def test_a_large_resource_takes_time_by_its_size(kind: str) -> None:
    VALIDATOR.validate(large(kind, 100))
    resource = large(kind, 20_000)
    begun = time.process_time()
    assert 1 <= len(VALIDATOR.validate(resource)) <= LIMIT + 1
    # 5 to 20 us an element; the rest is room for a busy machine, and far from what grows by the square.
    assert time.process_time() - begun < 2.0
