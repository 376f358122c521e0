"""Which files there are, in which form, and in which order they are loaded.

https://hl7.org/fhir/R4/http.html#trules
"""

import gzip
import json

import pytest

from loaders import source
from loaders.source import Stage, files, opened, survey, tasks

PLAIN = {"resourceType": "Bundle", "type": "transaction", "entry": []}


def entry(reference="Organization/1", **request):
    resource = {"resourceType": "Patient", "managingOrganization": {"reference": reference}}
    return {"resource": resource, "request": {"method": "POST", "url": "Patient", **request}}


def test_folders_are_searched_for_names_we_know_in_order(tmp_path):
    for name in ("b.json", "a.ndjson.gz", "c/d.XML", "c/e.jsonl", "notes.txt", "c/f.json.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.json").mkdir()
    found = [path.relative_to(tmp_path).as_posix() for path in files([tmp_path])]
    assert found == ["a.ndjson.gz", "b.json", "c/d.XML", "c/e.jsonl", "c/f.json.gz"]
    assert list(files([tmp_path / "notes.txt"])) == [tmp_path / "notes.txt"]


@pytest.mark.parametrize("name", ["a.json", "a.json.gz", "misnamed.json"])
def test_gzip_is_known_by_its_first_bytes(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(gzip.compress(b"{}") if name != "a.json" else b"{}")
    with opened(path) as stream:
        assert stream.read() == b"{}"


@pytest.mark.parametrize(
    ("entries", "stage"),
    [
        ([entry()], Stage.REST),
        ([entry(ifNoneExist="identifier=x|1")], Stage.CRITERIA),
        ([{"request": {"method": "PUT", "url": "Patient?identifier=x|1"}}], Stage.CRITERIA),
        ([entry("Organization?identifier=x|1")], Stage.REFERENCES),
        ([entry("Organization?identifier=x|1", ifNoneExist="identifier=y|2")], Stage.CRITERIA_AND_REFERENCES),
        ([entry("http://x.example/Organization/1?a=b"), {"x": "is it? no"}], Stage.REST),
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_criteria_decide_the_order(tmp_path, entries, stage, indent):
    path = tmp_path / "bundle.json"
    path.write_text(json.dumps({**PLAIN, "entry": entries}, indent=indent))
    found = survey(path)
    assert (found.stage, found.form, found.bundle) == (stage, "json", True)
    assert found.size == path.stat().st_size


def test_criteria_are_found_in_xml(tmp_path):
    path = tmp_path / "bundle.xml"
    path.write_text('<Bundle xmlns="http://hl7.org/fhir"><x><reference value="Patient?identifier=1"/></x></Bundle>')
    assert (survey(path).stage, survey(path).bundle) == (Stage.REFERENCES, True)
    path.write_text('<Bundle xmlns="http://hl7.org/fhir"><x><ifNoneExist value="identifier=1"/></x></Bundle>')
    assert survey(path).stage == Stage.CRITERIA


@pytest.mark.parametrize("shift", range(-60, 5, 4))
def test_criteria_are_found_across_the_blocks_in_which_a_file_is_read(tmp_path, monkeypatch, shift):
    monkeypatch.setattr(source, "BLOCK", 1000)
    path = tmp_path / "bundle.json"
    path.write_text(" " * (1000 + shift) + json.dumps({**PLAIN, "entry": [entry("Organization?identifier=x|1")]}))
    assert survey(path).stage == Stage.REFERENCES


@pytest.mark.parametrize(
    ("text", "form"),
    [('{"a":1}\n{"b":2}\n', "ndjson"), ('{\n  "a": 1\n}', "json"), ("<Patient/>", "xml"), ("", "json"), ("{}", "json")],
)
def test_a_name_that_tells_nothing_leaves_it_to_the_content(tmp_path, text, form):
    path = tmp_path / "export"
    path.write_text(text)
    assert survey(path).form == form


def test_small_resources_go_together_bundles_alone_and_ndjson_in_runs(tmp_path):
    for n in range(source.GROUP_FILES + 1):
        (tmp_path / f"{n:03}.json").write_text('{"resourceType":"Patient"}')
    (tmp_path / "bundle.json").write_text(json.dumps(PLAIN))
    (tmp_path / "lines.ndjson").write_text("{}\n" * 501)
    found = list(tasks(survey(path) for path in files([tmp_path])))
    assert [(len(task.files), task.line) for task in found] == [
        (source.GROUP_FILES, 0),
        (1, 0),
        (1, 1),
        (1, 501),
        (1, 0),
    ]
    assert sum(task.weight for task in found) == sum(path.stat().st_size for path in tmp_path.iterdir())
