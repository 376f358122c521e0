"""Scopes in plain words, and what a person grants of them."""

import pytest

from smart_auth.scope import is_within, parse_scopes
from smart_auth.wording import granted, names, permissions

TYPES = ("Patient", "Observation", "Condition", "MedicationRequest", "InsurancePlan")
ASKED = "launch/patient openid fhirUser offline_access patient/*.rs patient/Observation.cruds user/Condition.read"


def asked(text=ASKED):
    return parse_scopes(text, TYPES)


@pytest.mark.parametrize(
    ("scope", "words", "detail"),
    [
        ("patient/Observation.rs", ["See your test results and measurements"], ""),
        ("patient/Observation.read", ["See your test results and measurements"], ""),
        ("patient/Observation.c", ["Add to your test results and measurements"], ""),
        ("user/Condition.d", ["Delete health problems and diagnoses you may open"], ""),
        ("patient/InsurancePlan.r", ["See your insurance plan"], ""),
        (
            "patient/Observation.cruds",
            [
                "See your test results and measurements",
                "Add to, change and delete your test results and measurements",
            ],
            "",
        ),
        (
            "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory",
            ["See your test results and measurements"],
            "Only where category is laboratory results.",
        ),
    ],
)
def test_a_scope_reads_as_a_sentence(scope, words, detail):
    parts = permissions(asked(scope), "your", TYPES)
    assert [part.words for part in parts] == words
    assert {part.detail for part in parts} == {detail}


def test_a_wildcard_says_that_it_covers_kinds_of_data_of_the_future():
    """S-S9, @144."""
    (part,) = permissions(asked("patient/*.rs"), "your", TYPES)
    assert part.words == "See all of your health data"
    assert "added in the future" in part.detail
    assert [name for name, _ in part.kinds] == ["Patient", "Condition", "MedicationRequest", "Observation"]


def test_other_scopes_are_asked_about_where_they_mean_something_to_a_person():
    assert [part.scope for part in names(asked())] == ["openid", "fhirUser", "offline_access"]


def test_all_that_is_left_ticked_comes_back_as_it_was_asked_for():
    parts = [part.scope for part in (*permissions(asked(), "your", TYPES), *names(asked()))]
    assert sorted(granted(asked(), parts, [])) == sorted(ASKED.split())


def test_a_part_that_is_taken_away_narrows_the_scope():
    assert granted(asked("patient/Observation.cruds"), ["patient/Observation.rs"], []) == ["patient/Observation.rs"]
    assert granted(asked("patient/Observation.*"), ["patient/Observation.read"], []) == ["patient/Observation.read"]
    assert granted(asked("patient/Observation.rs"), [], []) == []


def test_kinds_may_be_chosen_in_place_of_a_wildcard():
    chosen = granted(asked("patient/*.rs"), ["patient/*.rs"], [("patient/*.rs", "Condition")])
    assert chosen == ["patient/Condition.rs"]
    chosen = granted(asked("patient/*.read"), ["patient/*.read"], [("patient/*.read", "Condition")])
    assert chosen == ["patient/Condition.read"]


def test_nothing_is_granted_that_was_not_asked_for():
    chosen = ["system/*.cruds", "patient/*.cruds", "offline_access", "patient/Condition.rs"]
    kinds = [("patient/*.cruds", "Patient"), ("patient/Condition.rs", "Patient"), ("patient/*.rs", "AuditEvent")]
    whole = asked("launch patient/Condition.rs patient/*.rs")
    words = granted(whole, [*chosen, "patient/*.rs"], kinds)
    given = parse_scopes(" ".join(words), TYPES)
    assert given.others == {"launch"}
    assert all(is_within(scope, whole.resources) for scope in given.resources)
