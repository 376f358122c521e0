"""People, visits and times as the pages name them, and whom somebody may open."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from fhir_server.app import context_of, pool_of
from fhir_server.interactions.change import Change
from fhir_server.interactions.write import change
from fhir_server.people import StoredPeople, kind_of, name_of, period_of
from fhir_server.rest.guard import Authority, guarded
from fhir_server.settings import Settings
from smart_auth.people import EncounterChoice
from tests.bearing import AUDIENCE, CONFIGURATION, verifier

NAMES = [
    ({"name": [{"family": "Muster", "given": ["Zoe", "Ann"]}]}, "Zoe Ann Muster"),
    ({"name": [{"use": "usual", "text": "Zo"}, {"use": "official", "text": "Zoe Muster"}]}, "Zoe Muster"),
    ({"name": [{"use": "old", "text": "Zoe Beispiel"}, {"text": "Zoe Muster"}]}, "Zoe Muster"),
    ({"name": [{"use": "official"}, {"given": ["Zoe"]}]}, "Zoe"),
    ({"name": []}, ""),
    ({}, ""),
]


@pytest.mark.parametrize(("resource", "name"), NAMES, ids=str)
def test_a_person_is_called_by_the_official_name(resource, name):
    assert name_of(resource) == name


def test_a_visit_is_called_what_it_was():
    assert kind_of({"type": [{"text": "Check-up"}], "class": {"display": "ambulatory"}}) == "Check-up"
    assert kind_of({"class": {"code": "AMB", "display": "ambulatory"}}) == "ambulatory"
    assert kind_of({}) == "Visit"
    assert period_of({"period": {"start": "2026-03-04T10:00:00Z", "end": "2026-03-04T11:00:00Z"}}) == "2026-03-04"
    assert period_of({"period": {"start": "2026-03-04", "end": "2026-03-06"}}) == "2026-03-04 – 2026-03-06"
    assert period_of({}) == ""


STORE = {
    "Patient/zoe": {"name": [{"family": "Muster", "given": ["Zoe"]}], "birthDate": "1991-05-06"},
    "Patient/vera": {"name": [{"family": "Beispiel"}]},
    "Practitioner/otto": {"name": [{"text": "Otto Specimen"}]},
    "PractitionerRole/otto": {"practitioner": {"reference": "Practitioner/otto"}},
    "RelatedPerson/mother": {"patient": {"reference": "Patient/zoe"}, "name": [{"text": "Ida Muster"}]},
    "RelatedPerson/former": {"active": False, "patient": {"reference": "Patient/vera"}},
    "Person/ida": {
        "link": [{"target": {"reference": "RelatedPerson/mother"}}, {"target": {"reference": "Patient/vera"}}]
    },
    "Encounter/visit": {
        "status": "finished",
        "class": {"display": "ambulatory"},
        "subject": {"reference": "Patient/zoe"},
        "period": {"start": "2026-03-04"},
    },
    "Encounter/dangling": {"status": "finished", "class": {"code": "AMB"}, "subject": {"reference": "Group/all"}},
}


def told(url: str, ask: Callable[[StoredPeople], Any]) -> Any:
    """What people of a store with the resources above answer, asked from a worker thread."""

    async def work() -> Any:
        pool, trail = (pool_of(Settings(database_url=url), size=2) for _ in range(2))
        await pool.open()
        try:
            context = await context_of(Settings(database_url=url, base_url=AUDIENCE), pool)
            for reference, content in STORE.items():
                kind, _, id_ = reference.partition("/")
                await change(context, Change(kind, id_, {"resourceType": kind, "id": id_, **content}))
            async with guarded(context, Authority(verifier(), CONFIGURATION), trail) as inner:
                return await asyncio.to_thread(ask, StoredPeople(inner, asyncio.get_running_loop()))
        finally:
            await pool.close()

    return asyncio.run(work())


def test_people_are_named(database_url: str):
    names = {
        "Patient/zoe": "Zoe Muster",
        "PractitionerRole/otto": "Otto Specimen",
        "RelatedPerson/former": "RelatedPerson/former",
        "Patient/nobody": None,
        "Robot/1": None,
        "": None,
    }
    assert told(database_url, lambda people: {one: people.name_of(one) for one in names}) == names


WHOM = [
    ("Practitioner/otto", ("practitioner",), {"zoe", "vera"}),
    ("Patient/zoe", ("patient",), {"zoe"}),
    ("RelatedPerson/mother", ("related-person",), {"zoe"}),
    ("RelatedPerson/former", ("related-person",), set()),
    ("Person/ida", ("related-person",), {"zoe", "vera"}),
    ("Patient/vera", ("patient", "related-person"), {"vera"}),
    ("", ("patient",), set()),
    ("Patient/zoe", (), set()),
]


def test_people_open_whom_their_roles_and_relations_let_them(database_url: str):
    def ask(people: StoredPeople) -> list[tuple[set[str], set[str]]]:
        return [
            (
                {one.id for one in people.patients_for(user, roles, "")},
                {one for one in ("zoe", "vera", "nobody") if people.may_open(user, roles, one)},
            )
            for user, roles, _ in WHOM
        ]

    assert told(database_url, ask) == [(wanted, wanted) for *_, wanted in WHOM]


def test_patients_are_found_by_all_the_words(database_url: str):
    def ask(people: StoredPeople) -> list[list[str]]:
        words = ("zoe", "MUSTER z", "zoe vera", "beispiel", "a,b|c$d")
        return [[one.name for one in people.patients_for("", ("administrator",), text)] for text in words]

    assert told(database_url, ask) == [["Zoe Muster"], ["Zoe Muster"], [], ["Beispiel"], []]


def test_visits_are_those_of_a_patient_that_may_be_opened(database_url: str):
    def ask(people: StoredPeople) -> list[list[EncounterChoice]]:
        return [
            people.encounters_for("Practitioner/otto", ("practitioner",), "zoe"),
            people.encounters_for("RelatedPerson/mother", ("related-person",), "zoe"),
            people.encounters_for("Patient/vera", ("patient",), "zoe"),
            people.encounters_for("RelatedPerson/former", ("related-person",), "zoe"),
        ]

    visit = [EncounterChoice("visit", "ambulatory", "2026-03-04")]
    assert told(database_url, ask) == [visit, visit, [], []]


def test_a_visit_is_one_of_its_own_patient_alone(database_url: str):
    def ask(people: StoredPeople) -> tuple[list[str | None], list[bool]]:
        staff = ("Practitioner/otto", ("practitioner",))
        return [people.patient_of(one) for one in ("visit", "dangling", "none", "visit,none")], [
            people.may_open_encounter(*staff, "zoe", "visit"),
            people.may_open_encounter("RelatedPerson/mother", ("related-person",), "zoe", "visit"),
            people.may_open_encounter(*staff, "vera", "visit"),
            people.may_open_encounter(*staff, "zoe", "none"),
            people.may_open_encounter(*staff, "zoe", "visit,none"),
            people.may_open_encounter("RelatedPerson/former", ("related-person",), "zoe", "visit"),
            people.may_open_encounter("Patient/vera", ("patient",), "vera", "visit"),
        ]

    assert told(database_url, ask) == (["zoe", None, None, None], [True, True, *[False] * 5])


def test_two_patients_are_never_opened_as_one(database_url: str):
    assert not told(database_url, lambda people: people.may_open("", ("administrator",), "zoe,vera"))


def test_a_patient_is_registered(database_url: str):
    def ask(people: StoredPeople) -> tuple[str | None, bool]:
        reference = people.register_patient("Sample", "Tom Ray", "1980-02-03", "tom@example.org")
        return people.name_of(reference), people.may_open(reference, ("patient",), reference.removeprefix("Patient/"))

    assert told(database_url, ask) == ("Tom Ray Sample", True)
