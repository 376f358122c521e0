"""Copies of the data have ids of their own and are linked inside as the data is."""

import json
import re

from bench.data import Load, copies, fresh, growing, hospital, load_of, synthea
from bench.parity import sent
from tests.reference import reference

NAMED = (
    b'{"entry":[{"fullUrl":"urn:uuid:0b297cb4-76f4-4951-83c9-7311e21f09a6","resource":{"resourceType":"Patient"},'
    b'"request":{"method":"POST","url":"Patient"}},{"resource":{"resourceType":"Observation","subject":'
    b'{"reference":"urn:uuid:0b297cb4-76f4-4951-83c9-7311e21f09a6"}},"request":{"method": "POST","url":"Observation"}}]}'
)


def test_a_copy_is_linked_as_its_original_under_other_ids():
    copy = json.loads(fresh(NAMED, 1))
    assert copy["entry"][0]["fullUrl"] == copy["entry"][1]["resource"]["subject"]["reference"]
    assert copy["entry"][0]["fullUrl"] not in NAMED.decode()
    assert fresh(NAMED, 1) == fresh(NAMED, 1) != fresh(NAMED, 2)


def test_entries_are_counted_whatever_the_white_space():
    assert load_of(NAMED) == Load(NAMED, 2)
    assert sent([load_of(NAMED)])["Observation"] == 1


def references(bundle: bytes) -> set[str]:
    return set(re.findall(r'"reference":"([A-Z]\w+/[^"]+)"', bundle.decode()))


def test_a_copy_of_the_hospital_refers_to_nothing_of_the_original():
    loads = hospital(2)
    original, copied = (b"".join(part) for part in ([o.body for o in loads], [fresh(o.body, 2) for o in loads]))
    stored = set(re.findall(r'"url":"([A-Z]\w+/[^"]+)"', copied.decode()))
    assert references(copied) <= stored
    assert not references(copied) & references(original)
    assert len(copied) > len(original)


def test_nine_copies_make_ten_times_as_much():
    small = growing(1)
    assert [one.entries for one in copies(small, 9)] == [small.entries] * 9


def test_the_bundles_of_synthea_that_are_copied_stand_alone():
    folder = reference("synthea/bulk-data-server-100")
    assert folder.is_dir()
    for load in growing(5).rest:
        stated = {entry["fullUrl"] for entry in json.loads(load.body)["entry"]}
        assert set(re.findall(r'"reference": ?"(urn:uuid:[^"]+)"', load.body.decode())) <= stated
        assert "?identifier=" not in load.body.decode()


def test_patients_with_criteria_go_before_those_that_make_the_criteria_ambiguous():
    reference("synthea/fhir-data-pipes-hiv-79")
    few, many = synthea(3), synthea(103)
    assert few is not None
    assert many is not None
    assert (few.first, few.later) == ((), ())
    assert [len(part) for part in (many.first, many.rest)] == [2, 3]
    assert all(b"?identifier=" in load.body for load in many.rest)
    assert not any(b"?identifier=" in load.body for load in (*many.later, *few.rest))
