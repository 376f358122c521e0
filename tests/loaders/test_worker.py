"""Tasks become units, named so that they are known again.

https://hl7.org/fhir/R4/bundle.html
"""

import gzip
import json

import pytest

from loaders.unit import Task
from loaders.worker import ENTRIES, check_level, remaining, units_of

PATIENT = b'{"resourceType":"Patient","id":"a"}'


def units(*files, **more):
    return list(units_of(Task(files, 0, **more), 64))


def test_a_unit_is_named_by_place_and_content(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(PATIENT)
    (first,) = units(path)
    assert first == units(path)[0]
    path.write_bytes(PATIENT + b" ")
    assert units(path)[0].name != first.name


def test_long_batches_and_runs_of_lines_are_cut_into_units_with_names_of_their_own(tmp_path):
    count = ENTRIES * 2 + 1
    entry = {"resource": {"resourceType": "Patient"}, "request": {"method": "POST", "url": "Patient"}}
    path = tmp_path / "batch.json.gz"
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": [entry] * count}
    path.write_bytes(gzip.compress(json.dumps(bundle).encode()))
    for found in (units(path), units(path, data=(PATIENT + b"\n") * count, line=501)):
        assert [len(unit.parts) for unit in found] == [ENTRIES, ENTRIES, 1]
        assert len({unit.name for unit in found}) == 3
        assert [part.ordinal for unit in found for part in unit.parts] == list(range(count))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the body is empty"),
        (b"{", "line 1"),
        (b"<Patient", "XML"),
        (b'{"a":1}', "resourceType"),
        (gzip.compress(PATIENT)[:-5], "cannot be read"),
        (b"\x1f\x8b\x08\x00nonsense", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_refused_part(tmp_path, content, words):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    ((part,),) = [unit.parts for unit in units(path)]
    assert words in str(part.refusal)


def test_a_file_that_went_away_is_a_refused_part(tmp_path):
    (unit,) = units(tmp_path / "gone.json")
    assert "cannot be read" in str(unit.parts[0].refusal)


def test_the_manifest_of_an_export_holds_nothing(tmp_path):
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"transactionTime": "2026-01-01T00:00:00Z", "request": "x", "output": [], "error": []}))
    assert units(path) == []


def test_what_remains_of_a_unit_is_what_was_refused(tmp_path):
    (unit,) = units(tmp_path, data=PATIENT + b"\n" + PATIENT, line=1)
    assert remaining(unit, {}) is unit
    assert remaining(unit, {unit.name: ()}) is None
    assert [part.place for part in remaining(unit, {unit.name: (1,)}).parts] == ["line 2"]


@pytest.mark.parametrize("level", ["", "structure", "base", "profiles", "none"])
def test_levels_of_validation_are_known_by_name(level):
    check_level(level)


def test_a_level_that_there_is_not_is_named_with_those_that_there_are():
    with pytest.raises(ValueError, match="there are structure, base, profiles, none"):
        check_level("strict")
