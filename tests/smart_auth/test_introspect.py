"""Introspection: who may ask, and what is told of which token."""

import time

import pytest

from smart_auth.grant import LaunchContext
from tests.smart_auth.bureau import bearer, claims_of


@pytest.fixture(scope="module")
def asker(desk):
    """A resource server: the header with which it asks about any token."""
    client = desk.system("system/Observation.rs __introspect")
    return bearer(desk.system_token(client, "__introspect").json()["access_token"])


def test_the_answer_is_that_of_the_token_and_its_context(desk, asker):
    """S-I1 (@271-@280): active, scope, client_id, exp; the launch context; iss, sub and fhirUser of the ID token."""
    context = ({"reference": "ImagingStudy/1"},)
    launch = LaunchContext("p0", "e1", context, banner=True, intent="order-review")
    reply = desk.granted(client := desk.client(), "openid fhirUser patient/*.rs", launch=launch)
    answer = desk.post("introspect", {"token": reply["access_token"]}, asker)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    told = answer.json()
    identity = claims_of(reply["id_token"])
    assert told["active"] is True
    assert told["scope"] == reply["scope"]
    assert told["client_id"] == client.id
    assert abs(told["exp"] - time.time() - reply["expires_in"]) < 60
    assert isinstance(told["exp"], int)
    assert {name: told[name] for name in ("iss", "sub", "fhirUser")} == {
        name: identity[name] for name in ("iss", "sub", "fhirUser")
    }
    context = "patient encounter need_patient_banner intent fhirContext smart_style_url tenant".split()
    assert {name: told[name] for name in context} == {name: reply[name] for name in context}


def test_a_token_narrowed_by_a_refresh_tells_its_own_scope(desk, asker):
    """S-I1 (@273): as in the answer the token came with."""
    client = desk.client()
    reply = desk.granted(client, "offline_access patient/*.rs")
    narrow = desk.refresh(client, reply["refresh_token"], "patient/Observation.r").json()
    assert desk.post("introspect", {"token": narrow["access_token"]}, asker).json()["scope"] == "patient/Observation.r"


def test_of_a_token_that_is_no_good_only_that_is_told(desk, asker):
    """S-I1: {"active": false} and nothing else."""
    client = desk.client()
    reply = desk.granted(client, "openid offline_access patient/*.rs")
    used = desk.granted(client, "offline_access patient/*.rs")
    after = desk.refresh(client, used["refresh_token"]).json()
    desk.post("revoke", {"token": reply["access_token"], "client_id": client.id})
    tampered = reply["access_token"][:-6] + "AAAAAA"
    closed = desk.person()
    orphan = desk.granted(client, "patient/*.rs", person=closed)
    desk.server.accounts.disable(desk.server.accounts.by_id(closed.account))
    for token in (
        "nonsense",
        "é",
        "a.b.c",
        "x" * 9000,
        reply["access_token"],
        tampered,
        reply["id_token"],
        orphan["access_token"],
    ):
        answer = desk.post("introspect", {"token": token}, asker)
        assert (answer.status_code, answer.json()) == (200, {"active": False}), token[:20]
    assert desk.post("introspect", {"token": after["refresh_token"]}, asker).json()["active"] is True
    assert desk.post("introspect", {"token": used["refresh_token"]}, asker).json() == {"active": False}


def test_a_refresh_token_is_told_of_too(desk, asker):
    """RFC 7662: whatever the hint says."""
    client, person = desk.client(), desk.person()
    reply = desk.granted(client, "offline_access patient/*.rs", person=person)
    form = {"token": reply["refresh_token"], "token_type_hint": "access_token"}
    told = desk.post("introspect", form, asker).json()
    assert told["active"] is True
    assert (told["client_id"], told["scope"], told["sub"]) == (client.id, reply["scope"], person.account)
    assert told["exp"] > time.time() + 80 * 86_400


@pytest.mark.parametrize("kind", ["symmetric", "asymmetric"])
def test_a_client_may_ask_about_its_own_tokens_by_its_own_proof(desk, kind):
    """S-I2: and learns nothing of those of others."""
    client, other = desk.client(kind), desk.client()
    own, foreign = desk.granted(client), desk.granted(other)
    fields, proof = desk.proof(client)
    assert desk.post("introspect", {"token": own["access_token"], **fields}, proof).json()["active"] is True
    fields, proof = desk.proof(client)
    assert desk.post("introspect", {"token": foreign["access_token"], **fields}, proof).json() == {"active": False}


def test_a_client_registered_to_introspect_may_ask_about_all(desk):
    """S-I2 (@282, @283): by its own proof as by a bearer token, of tokens issued to any client."""
    client = desk.client("symmetric", "__introspect openid")
    foreign = desk.granted(desk.client())
    fields, proof = desk.proof(client)
    assert desk.post("introspect", {"token": foreign["access_token"], **fields}, proof).json()["active"] is True


def test_a_bearer_without_the_scope_learns_of_its_own_tokens_only(desk):
    client, other = desk.client(), desk.client()
    own, foreign = desk.granted(client), desk.granted(other)
    header = bearer(own["access_token"])
    assert desk.post("introspect", {"token": own["access_token"]}, header).json()["active"] is True
    assert desk.post("introspect", {"token": foreign["access_token"]}, header).json() == {"active": False}


def test_who_does_not_prove_anything_is_refused(desk, asker):
    """RFC 7662, 2.1: authorization is required; a public client's name is none."""
    public = desk.client()
    reply = desk.granted(public)
    for form, headers, code in [
        ({}, {}, "invalid_client"),
        ({"client_id": public.id}, {}, "invalid_client"),
        ({}, bearer("nonsense"), "invalid_token"),
        ({}, bearer(""), "invalid_token"),
    ]:
        answer = desk.post("introspect", {"token": reply["access_token"], **form}, headers)
        assert (answer.status_code, answer.json()["error"]) == (401, code)
        assert answer.headers["www-authenticate"].startswith("Bearer" if code == "invalid_token" else "Basic")
    assert desk.post("introspect", {}, asker).json()["error"] == "invalid_request"


def test_a_revoked_bearer_asks_no_more(desk):
    client = desk.system("__introspect system/*.rs")
    token = desk.system_token(client, "__introspect").json()["access_token"]
    desk.server.clients.set_status(client.id, "disabled")
    assert desk.post("introspect", {"token": token}, bearer(token)).status_code == 401
