"""Units in the database: what is refused leaves the rest alone, and what is on record is never done twice.

https://hl7.org/fhir/R4/http.html#batch
"""

import asyncio

import psycopg
import pytest

from fhir_server.store.packed import unpacked
from loaders.bundles import parts_of, request_of
from loaders.database import Database, done_units, independent, latest_load
from loaders.unit import Part, Unit
from loaders.worker import remaining
from tests.loaders.loading import context, counts, query

IDENTIFIED = {"system": "https://example.org/ids", "value": "1"}


def patient(**more):
    return {"resourceType": "Patient", **more}


def invalid():
    return patient(id="bad", birthDate="yesterday")


def organization(value, **more):
    return {"resourceType": "Organization", "name": value, "identifier": [{**IDENTIFIED, "value": value}], **more}


def unless(resource, criteria):
    return {
        "resource": resource,
        "request": {"method": "POST", "url": resource["resourceType"], "ifNoneExist": criteria},
    }


def singles(*entries):
    return tuple(Part(n, f"line {n + 1}", (entry,)) for n, entry in enumerate(entries))


def unit(*parts, name="u"):
    return Unit(name, "file", tuple(parts))


def run(url, *units, load=None, done=None):
    async def work():
        async with context(url) as opened:
            target = Database(opened, load, done)
            return [outcome for one in units for outcome in await target.store([one])]

    return asyncio.run(work())


def on_record(url, load):
    async def work():
        async with context(url) as opened:
            return await done_units(opened, load)

    return asyncio.run(work())


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([request_of(patient(id="a")), request_of(patient(id="b"))], True),
        ([request_of(patient(id="a")), request_of(patient(id="a"))], False),
        ([request_of(patient()), request_of(patient())], True),
        ([unless(organization("1"), "identifier=s|1"), unless(organization("2"), "identifier=s|2")], True),
        ([unless(organization("1"), "name=1"), unless(organization("2"), "name=2")], False),
        ([unless(organization("1"), "identifier=https://example.org/ids|2"), request_of(organization("2"))], True),
        (
            [
                unless(organization("2"), "identifier=https://example.org/ids|2"),
                request_of(organization("2")),
            ],
            False,
        ),
        ([unless(organization("1"), "identifier=s|1"), request_of(patient(id="a"))], False),
        (
            [request_of(patient(managingOrganization={"reference": "Organization?name=x"})), request_of(patient())],
            False,
        ),
        ([{"request": {"method": "DELETE", "url": "Patient/a"}}, request_of(patient())], False),
        ([{**request_of(patient(id="a")), "request": {"method": "PUT", "url": "Patient?name=x"}}], False),
        ([{**request_of(patient()), "request": {"method": "PUT", "url": "Patient/a", "ifMatch": 'W/"1"'}}], False),
    ],
)
def test_entries_are_stored_together_only_where_none_can_concern_another(entries, expected):
    assert independent(singles(*entries)) is expected


def test_a_transaction_is_never_stored_together_with_others():
    assert not independent(parts_of({"resourceType": "Bundle", "type": "transaction", "entry": []}))


@pytest.mark.parametrize("again", [False, True])
def test_what_is_not_valid_is_refused_alone_with_its_place(database_url, again):
    entries = [request_of(patient(id="a")), request_of(invalid()), request_of(patient(id="c"))]
    if again:  # the same id twice, so that each entry goes by itself
        entries.append(request_of(patient(id="c", active=True)))
    (outcome,) = run(database_url, unit(*singles(*entries)))
    assert (outcome.stored, outcome.failed) == (len(entries) - 1, (1,))
    (failure,) = outcome.failures
    assert (failure.file, failure.place, failure.status) == ("file", "line 2", 400)
    assert "yesterday" in failure.diagnostics
    assert failure.expression == ("Patient.birthDate",)
    assert counts(database_url) == {"Patient": 2}


def test_a_transaction_with_one_bad_entry_is_refused_whole(database_url):
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {"resource": patient(), "request": {"method": "POST", "url": "Patient"}},
            {"resource": invalid(), "request": {"method": "POST", "url": "Patient"}},
        ],
    }
    good = request_of(organization("x", id="o"))
    (outcome,) = run(database_url, unit(*parts_of(bundle), Part(1, "", (good,))))
    assert (outcome.stored, outcome.failed) == (1, (0,))
    assert outcome.failures[0].place == "Bundle.entry[1]"
    assert counts(database_url) == {"Organization": 1}


def test_creates_by_criteria_find_what_is_there_and_what_came_before(database_url):
    entries = [unless(organization(value), f"identifier=https://example.org/ids|{value}") for value in "aabc"]
    run(database_url, unit(*singles(*entries)))
    run(database_url, unit(*singles(*entries[2:])))
    assert counts(database_url) == {"Organization": 3}


def test_conditional_references_of_a_transaction_are_resolved(database_url):
    run(database_url, unit(*singles(request_of(organization("1", id="one")))))
    refers = patient(managingOrganization={"reference": "Organization?identifier=https://example.org/ids|1"})
    entry = {"fullUrl": "urn:uuid:1", "resource": refers, "request": {"method": "POST", "url": "Patient"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    (outcome,) = run(database_url, unit(*parts_of(bundle)))
    assert outcome.failures == ()
    ((content,),) = query(database_url, "SELECT content FROM version v JOIN resource r USING (pk) WHERE r.id <> 'one'")
    assert b'"reference":"Organization/one"' in unpacked(content)


def test_a_unit_on_record_is_not_done_again(database_url):
    one = unit(*singles(request_of(patient())))
    assert [outcome.stored for outcome in run(database_url, one, load="l-1")] == [1]
    assert run(database_url, one, load="l-1") == []
    assert [outcome.stored for outcome in run(database_url, one, load="l-2")] == [1]
    assert counts(database_url) == {"Patient": 2}


def test_only_what_was_refused_is_tried_again(database_url):
    refers = patient(managingOrganization={"reference": "Organization?identifier=https://example.org/ids|1"})
    entry = {"resource": refers, "request": {"method": "POST", "url": "Patient"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    whole = unit(Part(0, "line 1", (request_of(patient()),)), *parts_of(bundle, 1, "line 2"))
    (outcome,) = run(database_url, whole, load="l-1")
    assert (outcome.stored, outcome.failed) == (1, (1,))
    done = on_record(database_url, "l-1")
    assert done == {"u": (1,)}
    run(database_url, unit(*singles(request_of(organization("1", id="one")))))
    again = remaining(whole, done)
    assert [part.ordinal for part in again.parts] == [1]
    (outcome,) = run(database_url, again, load="l-1", done=done)
    assert (outcome.stored, outcome.failed) == (1, ())
    assert on_record(database_url, "l-1") == {"u": ()}
    assert run(database_url, again, load="l-1", done=done) == []
    assert remaining(whole, on_record(database_url, "l-1")) is None
    assert counts(database_url) == {"Patient": 2, "Organization": 1}


def test_the_last_load_of_the_same_paths_is_found(database_url):
    async def latest(digest):
        async with context(database_url) as opened:
            return await latest_load(opened, digest)

    assert asyncio.run(latest("abc")) is None
    for load in ("abc-20260101T000000Z", "abc-20260202T000000Z", "abcd-20260303T000000Z"):
        run(database_url, unit(*singles(request_of(patient()))), load=load)
    assert asyncio.run(latest("abc")) == "abc-20260202T000000Z"


def test_two_who_do_the_same_unit_at_the_same_time_do_it_once(database_url):
    async def work():
        async with context(database_url) as opened:
            targets = [Database(opened, "l-1") for _ in range(2)]
            one = unit(*singles(*[request_of(patient()) for _ in range(50)]))
            return await asyncio.gather(*[target.store([one]) for target in targets])

    outcomes = asyncio.run(work())
    assert sorted(len(found) for found in outcomes) == [0, 1]
    assert counts(database_url) == {"Patient": 50}


def test_the_record_of_another_tenant_cannot_be_seen(database_url):
    run(database_url, unit(*singles(request_of(patient()))), load="l-1")
    with psycopg.connect(database_url, options="-c search_path=mediconnect -c role=mediconnect_server") as conn:
        seen = []
        for tenant in ("1", "2", ""):
            conn.execute("SELECT set_config('mediconnect.tenant', %s, false)", (tenant,))
            seen.append(conn.execute("SELECT count(*) FROM load_unit").fetchone()[0])
    assert seen == [1, 0, 0]
