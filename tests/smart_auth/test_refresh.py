"""Refresh tokens: rotation, what happens to an old one, narrowing, and when they end."""

from functools import partial

import pytest

from tests.smart_auth.bureau import at_once, claims_of

OFFLINE = "openid offline_access patient/Observation.rs patient/Condition.rs"
EXPIRE = "UPDATE refresh_token SET expires = now() - interval '1 second' WHERE grant_id = %(grant)s"
EXPIRE_GRANT = "UPDATE oauth_grant SET expires = now() - interval '1 second' WHERE id = %(grant)s"


@pytest.mark.parametrize("kind", ["public", "symmetric", "asymmetric"])
def test_a_refresh_gives_a_new_token_with_the_same_scope_and_context(desk, kind):
    """S-R1, S-R2 (@101, @109-@118): access_token, token_type, expires_in, scope; the same launch context."""
    client = desk.client(kind)
    first = desk.granted(client, OFFLINE)
    answer = desk.refresh(client, first["refresh_token"])
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"
    second = answer.json()
    assert second["token_type"] == "Bearer"
    assert second["expires_in"] == 900
    assert second["scope"] == first["scope"]
    assert second["patient"] == "p0"
    assert second["refresh_token"] != first["refresh_token"]
    assert claims_of(second["access_token"])["grant"] == claims_of(first["access_token"])["grant"]
    assert desk.good(second["access_token"]) is not None
    assert desk.good(first["access_token"]) is not None


def test_an_old_refresh_token_ends_all_that_came_of_the_grant(desk):
    """S-R1: reuse of an old one kills the family."""
    client = desk.client()
    first = desk.granted(client, OFFLINE)
    second = desk.refresh(client, first["refresh_token"]).json()
    third = desk.refresh(client, second["refresh_token"]).json()
    assert desk.refresh(client, first["refresh_token"]).json()["error"] == "invalid_grant"
    assert desk.refresh(client, third["refresh_token"]).json()["error"] == "invalid_grant"
    assert [desk.good(reply["access_token"]) for reply in (first, second, third)] == [None] * 3


def test_of_two_who_use_one_at_once_one_goes_on_until_the_other_is_seen(desk):
    """S-R1: two requests with one token are reuse, whichever comes first."""
    client = desk.client()
    for _ in range(5):
        call = partial(desk.refresh, client, desk.granted(client, OFFLINE)["refresh_token"])
        replies = at_once(call, call)
        assert sorted(reply.status_code for reply in replies) == [200, 400]
        (won,) = [reply.json() for reply in replies if reply.status_code == 200]
        assert desk.good(won["access_token"]) is None
        assert desk.refresh(client, won["refresh_token"]).json()["error"] == "invalid_grant"


def test_a_refresh_token_is_bound_to_its_client(desk):
    """S-R1 (@103): to another client it is worth nothing, and he spoils nothing either."""
    client, other = desk.client(), desk.client()
    first = desk.granted(client, OFFLINE)
    assert desk.refresh(other, first["refresh_token"]).json()["error"] == "invalid_grant"
    assert desk.refresh(client, first["refresh_token"]).status_code == 200


@pytest.mark.parametrize("kind", ["public", "symmetric", "asymmetric"])
def test_an_app_without_a_secret_may_refresh_without_its_name(desk, kind):
    """SMART lists no client_id among the parameters of a refresh, and SMART's JavaScript client sends none."""
    client = desk.client(kind)
    form = {"grant_type": "refresh_token", "refresh_token": desk.granted(client, OFFLINE)["refresh_token"]}
    answer = desk.post("token", form)
    assert answer.status_code == (200 if kind == "public" else 401)
    if kind != "public":
        assert answer.json()["error"] == "invalid_client", "the others have to prove themselves"
        return
    assert desk.good(answer.json()["access_token"]).client == client.id
    assert desk.post("token", form).json()["error"] == "invalid_grant", "used up, and the grant has ended with it"
    assert desk.good(answer.json()["access_token"]) is None


def test_an_unknown_refresh_token_without_a_name_tells_nothing(desk):
    answer = desk.post("token", {"grant_type": "refresh_token", "refresh_token": "x" * 43})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("patient/Observation.rs", "patient/Observation.rs"),
        ("patient/Observation.r", "patient/Observation.r"),
        ("patient/Observation.rs?code=1", "patient/Observation.rs?code=1"),
        ("patient/Observation.read patient/Condition.rs", "patient/Observation.read patient/Condition.rs"),
        (OFFLINE, "offline_access openid patient/Observation.rs patient/Condition.rs"),
    ],
)
def test_less_may_be_asked_for(desk, scope, expected):
    """S-R1 (@104, @113): the same or a subset; the next refresh may ask for all again."""
    client = desk.client()
    first = desk.granted(client, OFFLINE)
    narrow = desk.refresh(client, first["refresh_token"], scope).json()
    assert narrow["scope"] == expected
    assert desk.good(narrow["access_token"]).scopes.text() == expected
    assert desk.refresh(client, narrow["refresh_token"]).json()["scope"] == first["scope"]


@pytest.mark.parametrize(
    "scope",
    [
        "patient/Observation.cruds",
        "patient/*.rs",
        "user/Observation.rs",
        "patient/Observation.rs fhirUser",
        "patient/Observation.rs nonsense",
        "nonsense",
    ],
)
def test_more_may_not_be_asked_for_and_asking_costs_nothing(desk, scope):
    """S-R1: a wider scope is invalid_scope; the token stays good."""
    client = desk.client()
    first = desk.granted(client, OFFLINE)
    answer = desk.refresh(client, first["refresh_token"], scope)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")
    assert desk.refresh(client, first["refresh_token"]).status_code == 200


def test_what_the_client_may_have_no_more_is_not_refreshed(desk):
    client = desk.client(scope=OFFLINE)
    first = desk.granted(client, OFFLINE)
    desk.change(
        "UPDATE oauth_client SET scope = 'offline_access patient/Observation.r' WHERE id = %(id)s", id=client.id
    )
    second = desk.refresh(client, first["refresh_token"]).json()
    assert second["scope"] == "offline_access patient/Observation.r"
    desk.change("UPDATE oauth_client SET scope = '' WHERE id = %(id)s", id=client.id)
    assert desk.refresh(client, second["refresh_token"]).json()["error"] == "invalid_scope"


def test_online_access_ends_with_the_session(desk):
    """S-R2 (@100): new access tokens as long as the person stays signed in; logout ends them."""
    client, person = desk.client(), desk.person()
    first = desk.granted(client, "online_access patient/*.rs", person=person)
    second = desk.refresh(client, first["refresh_token"]).json()
    assert second["scope"] == "online_access patient/*.rs"
    desk.server.accounts.sessions.end(person.account, person.session)
    assert desk.refresh(client, second["refresh_token"]).json()["error"] == "invalid_grant"


@pytest.mark.parametrize("column", ["expires = now() - interval '1 second'", "seen = now() - interval '1 day'"])
def test_online_access_ends_with_a_session_that_nobody_ended(desk, column):
    """S-R2 (@100): one that has run out, or whose browser has not been seen for long."""
    client, person = desk.client(), desk.person()
    first = desk.granted(client, "online_access patient/*.rs", person=person)
    desk.change(f"UPDATE account_session SET {column} WHERE account = %(account)s", account=person.account)
    assert desk.refresh(client, first["refresh_token"]).json()["error"] == "invalid_grant"


def test_offline_access_outlives_the_session(desk):
    """S-R2 (@101): new access tokens without the person being there."""
    client, person = desk.client(), desk.person()
    first = desk.granted(client, OFFLINE, person=person)
    desk.server.accounts.sessions.end(person.account, person.session)
    assert desk.refresh(client, first["refresh_token"]).status_code == 200


def test_the_end_of_a_session_ends_what_was_to_last_as_long(desk):
    client, person = desk.client(), desk.person()
    online = desk.granted(client, "online_access patient/*.rs", person=person)
    desk.server.accounts.sessions.end(person.account, person.session)
    assert desk.good(online["access_token"]) is None


@pytest.mark.parametrize("statement", [EXPIRE, EXPIRE_GRANT])
def test_a_refresh_token_expires(desk, statement):
    client = desk.client()
    first = desk.granted(client, OFFLINE)
    desk.change(statement, grant=claims_of(first["access_token"])["grant"])
    assert desk.refresh(client, first["refresh_token"]).json()["error"] == "invalid_grant"


def test_each_refresh_prolongs_the_grant(desk):
    client = desk.client()
    first = desk.granted(client, OFFLINE)
    grant = claims_of(first["access_token"])["grant"]
    desk.change("UPDATE oauth_grant SET expires = now() + interval '1 day' WHERE id = %(grant)s", grant=grant)
    desk.refresh(client, first["refresh_token"])
    left = desk.database.one(
        "SELECT expires - now() > interval '89 days' AS long FROM oauth_grant WHERE id = %(g)s", {"g": grant}
    )
    assert left["long"]


def test_roles_are_those_of_the_moment_and_a_closed_account_has_none(desk):
    """A refresh asks again who the person is."""
    client, person = desk.client(), desk.person(roles=("practitioner",), fhir_user="Practitioner/1")
    first = desk.granted(client, "offline_access user/*.rs", person=person)
    account = desk.server.accounts.by_id(person.account)
    desk.server.accounts.bind(account, "Practitioner/2", ("practitioner", "auditor"))
    second = desk.refresh(client, first["refresh_token"]).json()
    token = desk.good(second["access_token"])
    assert (token.roles, token.fhir_user) == (("practitioner", "auditor"), "Practitioner/2")
    desk.server.accounts.disable(account)
    assert desk.refresh(client, second["refresh_token"]).json()["error"] == "invalid_grant"


def test_who_may_not_open_the_patient_any_more_gets_no_new_token_and_may_later_again(desk):
    """The refresh token is not used up by the refusal."""
    client, person = desk.client(), desk.person(roles=("practitioner",), fhir_user="Practitioner/1")
    first = desk.granted(client, "offline_access patient/*.rs", person=person)
    account = desk.server.accounts.by_id(person.account)
    desk.server.accounts.bind(account, "Practitioner/1", ("auditor",))
    refused = desk.refresh(client, first["refresh_token"]).json()
    assert refused["error"] == "invalid_grant"
    assert "may not open the patient's record" in refused["error_description"]
    desk.server.accounts.bind(account, "Practitioner/1", ("practitioner",))
    assert desk.refresh(client, first["refresh_token"]).status_code == 200


def test_an_account_whose_person_is_gone_gets_no_new_token(desk):
    client, person = desk.client(), desk.person()
    first = desk.granted(client, "offline_access patient/*.rs", person=person)
    gone = desk.village.patients.pop("p0")
    try:
        refused = desk.refresh(client, first["refresh_token"]).json()
        assert refused["error"] == "invalid_grant"
        assert "not known any more" in refused["error_description"]
    finally:
        desk.village.patients["p0"] = gone
    assert desk.refresh(client, first["refresh_token"]).status_code == 200


def test_without_being_asked_for_there_is_no_refresh_token(desk):
    """S-R2 (@89): offline_access or online_access, and a client that is registered to refresh."""
    assert "refresh_token" not in desk.granted(desk.client(), "openid patient/*.rs")
    reply = desk.granted(desk.client(grants=("authorization_code",)), OFFLINE)
    assert "refresh_token" not in reply
    assert "offline_access" not in reply["scope"]


def test_what_has_run_out_for_a_day_is_deleted_when_something_new_is_granted(desk):
    client = desk.client()
    first = desk.granted(client, OFFLINE)
    grant = claims_of(first["access_token"])["grant"]
    desk.change("UPDATE oauth_grant SET expires = now() - interval '25 hours' WHERE id = %(grant)s", grant=grant)
    desk.granted(client)
    assert desk.server.decisions.grants.by_id(grant) is None
    assert desk.refresh(client, first["refresh_token"]).json()["error"] == "invalid_grant"
