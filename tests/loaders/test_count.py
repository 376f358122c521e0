"""The comparison of files with a server.

https://hl7.org/fhir/R4/http.html#trules
"""

import asyncio
import json

import pytest

from fhir_server.interactions.links import LINK, REFERENCE
from fhir_server.json import dump_json
from fhir_server.settings import Settings
from loaders.bundles import parts_of
from loaders.count import Stored, compare, expected, links
from loaders.database import Database
from loaders.unit import Unit
from tests.loaders.loading import context

BASE = "http://localhost/fhir"
PATIENT = {"resourceType": "Patient", "id": "one"}
DOCUMENT = {
    "resourceType": "DocumentReference",
    "id": "d",
    "identifier": [{"system": "urn:oid:1.2", "value": "urn:uuid:3d0b7c0e-0000-4000-8000-000000000000"}],
    "status": "current",
    "subject": {"reference": "Patient/one/_history/1"},
    "author": [{"reference": "#a"}, {"reference": f"{BASE}/Patient/two"}, {"reference": "http://x.example/Patient/3"}],
    "custodian": {"reference": "Organization?identifier=1"},
    "content": [{"attachment": {"url": "urn:uuid:1"}}],
    "contained": [{"resourceType": "Practitioner", "id": "a", "extension": [{"url": "http://x.example/e", "valueReference": {"reference": "urn:uuid:2"}}]}],
}  # fmt: skip


def held(*resources):
    stored = Stored()
    for resource in resources:
        stored.add(resource["resourceType"], resource["id"], dump_json(resource), BASE)
    return stored


def store(url, *resources):
    async def work():
        async with context(url) as opened:
            for resource in resources:
                await Database(opened).store([Unit("", "test", tuple(parts_of(resource)))])

    asyncio.run(work())


def test_links_are_told_from_strings_and_from_each_other():
    found = list(links(DOCUMENT))
    assert (REFERENCE, "urn:uuid:2") in found
    assert (LINK, "urn:uuid:1") in found
    assert (LINK, "urn:oid:1.2") in found
    assert not [text for _, text in found if "3d0b7c0e" in text]


def test_the_audit_trail_of_the_server_is_nothing_that_was_loaded():
    entity = [{"what": {"reference": "Patient/gone"}}]
    theirs = {"resourceType": "AuditEvent", "id": "theirs", "source": {"site": "elsewhere"}, "entity": entity}
    own = {"resourceType": "AuditEvent", "id": "own", "source": {"site": BASE}, "entity": entity}
    stored = held(theirs, own)
    assert dict(stored.counts) == {"AuditEvent": 1}
    assert dict(stored.dangling()) == {"Patient/gone": 1}


def test_what_is_left_and_what_dangles_is_counted():
    stored = held(PATIENT, DOCUMENT)
    assert dict(stored.counts) == {"Patient": 1, "DocumentReference": 1}
    assert dict(stored.references) == {"Patient/one": 1, "Patient/two": 1}
    assert dict(stored.dangling()) == {"Patient/two": 1}
    assert (stored.conditional, stored.urn_references, stored.urn_links, stored.urn_strings) == (1, 1, 1, 1)


@pytest.mark.parametrize(
    ("entries", "count"),
    [
        ([{"method": "POST", "url": "Patient"}] * 2, 2),
        ([{"method": "POST", "url": "Patient", "ifNoneExist": "a=1"}] * 2, 1),
        ([{"method": "PUT", "url": "Patient/1"}, {"method": "PUT", "url": "Patient/2"}], 2),
        ([{"method": "PUT", "url": "Patient/1"}] * 2, 1),
        ([{"method": "PUT", "url": "Patient?a=1"}] * 2, 1),
        ([{"method": "DELETE", "url": "Patient/1"}, {"method": "GET", "url": "Patient"}], 0),
    ],
)
def test_what_files_make_is_counted_once(tmp_path, entries, count):
    entries = [{"resource": {"resourceType": "Patient"}, "request": request} for request in entries]
    (tmp_path / "a.json").write_text(json.dumps({"resourceType": "Bundle", "type": "batch", "entry": entries}))
    assert expected([tmp_path], 64)["Patient"] == count


def test_the_comparison_is_printed_and_ends_with_a_code(tmp_path, database_url, capsys):
    settings = Settings(database_url=database_url)
    (tmp_path / "a.json").write_text(json.dumps(PATIENT))
    assert compare([tmp_path], settings) == 1
    assert "Patient                                  1         0  -1" in capsys.readouterr().out
    store(database_url, PATIENT)
    assert compare([tmp_path], settings) == 0
    assert "references 0, of which 0 dangle" in capsys.readouterr().out
    store(
        database_url, {"resourceType": "Basic", "id": "b", "code": {"text": "x"}, "subject": {"reference": "Patient/2"}}
    )
    assert compare([tmp_path], settings) == 1
    assert "Patient/2 (1)" in capsys.readouterr().out
    assert compare([tmp_path / "nothing"], settings) == 2
