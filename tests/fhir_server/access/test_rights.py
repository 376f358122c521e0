"""What scopes and policies allow together: nothing, everything, or what a term says.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html
"""

from typing import Any

import pytest

from fhir_server.access.criteria import Library
from fhir_server.access.logic import ALL, all_of, any_of
from fhir_server.access.narrow import missing, narrowed
from fhir_server.access.policy import defaults, policy_of
from fhir_server.access.rights import Rights
from fhir_server.outcome import Refusal
from fhir_server.search.parameter import r4_parameters
from fhir_server.search.query import Either, Query, Within
from profiles.definitions import r4
from tests.bearing import claims
from tests.fhir_server.search.world import query_of

EVERYTHING = {
    "practitioner": policy_of("practitioner", {"grants": [{"letters": "cruds", "types": ["*", "AuditEvent"]}]})
}


def rights(scope: str, *, policies: Any = None, **more: Any) -> Rights:
    more.setdefault("roles", ("practitioner",))
    return Rights(claims(scope, **more), policies or EVERYTHING, Library(r4(), r4_parameters()))


@pytest.mark.parametrize(
    ("scope", "letter", "kind", "wanted"),
    [
        ("user/Patient.rs", "r", "Patient", "all"),
        ("user/Patient.rs", "u", "Patient", "nothing"),
        ("user/Patient.rs", "r", "Observation", "nothing"),
        ("user/*.rs", "s", "Observation", "all"),
        ("user/*.rs", "s", "AuditEvent", "nothing"),  # its scope is always its own
        ("user/AuditEvent.rs", "s", "AuditEvent", "all"),
        ("user/AuditEvent.cruds", "u", "AuditEvent", "nothing"),
        ("user/AuditEvent.cruds", "d", "AuditEvent", "nothing"),
        ("user/Patient.read", "s", "Patient", "all"),  # S-S3
        ("user/Patient.read", "c", "Patient", "nothing"),
        ("user/Patient.write", "d", "Patient", "all"),
        ("user/Patient.write", "r", "Patient", "nothing"),
        ("user/Patient.*", "s", "Patient", "all"),
        ("patient/Observation.rs", "r", "Observation", "some"),
        ("patient/Observation.rs user/Observation.rs", "r", "Observation", "all"),
        ("patient/Practitioner.rs", "r", "Practitioner", "all"),
        ("patient/*.rs", "r", "Group", "nothing"),
        ("patient/*.rs", "r", "Binary", "some"),  # what its context says
        ("patient/*.rs", "s", "Binary", "nothing"),
        ("patient/Patient.rs", "r", "Binary", "nothing"),
        ("user/Binary.rs", "r", "Binary", "some"),
        ("user/Binary.rs", "s", "Binary", "nothing"),
        ("user/*.rs", "s", "Binary", "all"),
        ("patient/*.rs", "r", "Device", "some"),
        ("user/Observation.rs?category=a", "r", "Observation", "some"),
        ("user/Observation.rs?nonsense=a", "r", "Observation", "nothing"),  # what cannot be understood denies
        ("user/*.rs?category=a", "r", "Patient", "nothing"),
        ("user/Observation.rs?category=a user/Observation.r", "r", "Observation", "all"),
        ("user/Observation.rs?category=a user/Observation.r", "s", "Observation", "some"),
        ("system/Patient.rs", "r", "Patient", "all"),
        ("openid", "r", "Patient", "nothing"),
    ],
)
def test_scopes_say_what_is_allowed(scope, letter, kind, wanted):
    found = rights(scope, patient="1").term(letter, kind)
    assert wanted == ("nothing" if found is None else "all" if found == ALL else "some")


def test_scopes_of_a_system_are_for_tokens_without_a_person_only():
    assert rights("system/*.rs", account="account-1").term("r", "Patient") is None
    assert rights("user/*.rs", account=None).term("r", "Patient") is None
    assert rights("patient/*.rs", account=None, patient="1").term("r", "Patient") is None


def test_patient_scopes_without_a_patient_in_context_allow_nothing():
    """S-S6."""
    assert rights("patient/*.rs").term("r", "Patient") is None


def test_a_person_without_a_known_role_may_do_nothing():
    assert rights("user/*.cruds", roles=()).term("r", "Patient") is None
    assert rights("user/*.cruds", roles=("wizard",)).term("r", "Patient") is None


def test_a_grant_with_a_placeholder_that_has_no_value_grants_nothing():
    assert rights("user/*.rs", policies=defaults(), roles=("patient",)).term("r", "Observation") is None
    own = rights("user/*.rs", policies=defaults(), roles=("patient",), fhir_user="Patient/1").term("r", "Patient")
    assert own == Within("Patient/1", ())


def test_roles_add_up_and_hide_only_what_all_of_them_hide():
    both = rights("user/*.rs", policies=defaults(), roles=("front-desk", "practitioner"))
    assert both.hidden("Encounter") == frozenset()
    assert both.term("r", "Condition") == ALL
    desk = rights("user/*.rs", policies=defaults(), roles=("front-desk",))
    assert {"reasonCode", "text", "contained"} <= desk.hidden("Encounter")


@pytest.mark.parametrize(
    ("scope", "more", "administers"),
    [
        ("user/*.cruds", {"roles": ("administrator",)}, True),
        ("user/Patient.r", {"roles": ("super-administrator",)}, True),
        ("user/*.cruds", {"roles": ("practitioner",)}, False),
        ("system/*.cruds", {}, True),
        ("system/*.rs", {}, False),
        ("system/Patient.cruds", {}, False),
    ],
)
def test_who_administers(scope, more, administers):
    assert rights(scope, policies=defaults(), **more).administers == administers


def test_several_types_are_one_term_with_one_compartment():
    found = rights("patient/*.rs", patient="1").visible("s", ("Observation", "Condition", "Group"))
    assert isinstance(found, Within)
    assert {path.resource_type for parameter in found.parameters for path in parameter.paths} == {
        "Observation",
        "Condition",
    }
    assert rights("user/*.rs").visible("s") != ALL, "AuditEvent is not among them"
    assert rights("user/*.rs user/AuditEvent.rs").visible("s") == ALL
    assert rights("user/Patient.c").visible("s") is None


def test_a_search_of_a_type_without_a_scope_names_the_scope():
    with pytest.raises(Refusal, match=r"user/Observation\.s") as caught:
        narrowed(Query(("Observation",)), rights("user/Patient.rs"))
    assert caught.value.status == 403
    assert (
        'scope="patient/Patient.d"'
        in dict(missing(rights("user/*.rs", patient="1"), "d", "Patient").headers)["www-authenticate"]
    )


def test_an_estimate_would_be_of_everything_and_is_counted():
    assert narrowed(query_of("Patient?_total=estimate"), rights("user/Patient.rs")).total == "accurate"
    assert narrowed(query_of("Patient?_total=estimate"), None).total == "estimate"


def test_terms_together():
    one, other = Within("Patient/1", ()), Within("Patient/2", ())
    assert any_of([]) is None
    assert any_of([one, ALL]) == ALL
    assert any_of([one, one]) == one
    assert any_of([one, other]) == Either((one, other))
    assert all_of([]) == ALL
    assert all_of([one, ALL]) == one
    assert all_of([one, None]) is None
