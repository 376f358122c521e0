"""Revocation: by the client, by the person, by an administrator."""

import time

import pytest

from tests.smart_auth.bureau import claims_of

OFFLINE = "offline_access patient/*.rs"


def revoke(desk, client, token, **fields):
    proof, headers = desk.proof(client)
    return desk.post("revoke", {"token": token, **proof, **fields}, headers)


@pytest.mark.parametrize("kind", ["public", "symmetric", "asymmetric"])
def test_a_revoked_access_token_is_good_no_more_and_its_grant_goes_on(desk, kind):
    """S-D9 (@392): the endpoint that is advertised answers, and revokes."""
    client = desk.client(kind)
    reply = desk.granted(client, OFFLINE)
    answer = revoke(desk, client, reply["access_token"])
    assert (answer.status_code, answer.content) == (200, b"")
    claims = claims_of(reply["access_token"])
    assert desk.good(reply["access_token"]) is None
    assert desk.revoked[claims["jti"]] >= claims["exp"]
    assert claims["grant"] not in desk.revoked
    assert desk.refresh(client, reply["refresh_token"]).status_code == 200


def test_a_revoked_refresh_token_ends_the_grant(desk):
    """RFC 7009, 2.1: with the access tokens that came of it; also with the wrong hint, and with one that was used."""
    client = desk.client()
    reply = desk.granted(client, OFFLINE)
    second = desk.refresh(client, reply["refresh_token"]).json()
    assert revoke(desk, client, reply["refresh_token"], token_type_hint="access_token").status_code == 200
    assert desk.good(reply["access_token"]) is None
    assert desk.good(second["access_token"]) is None
    assert desk.refresh(client, second["refresh_token"]).json()["error"] == "invalid_grant"


def test_a_revocation_reaches_all_processes_and_this_one_at_once(desk):
    """The table that resource servers read, for longer than any token lives."""
    client = desk.client()
    reply = desk.granted(client, OFFLINE)
    grant = claims_of(reply["access_token"])["grant"]
    revoke(desk, client, reply["refresh_token"])
    row = desk.database.one(
        "SELECT extract(epoch FROM until)::float8 AS until FROM token_revocation WHERE id = %(id)s", {"id": grant}
    )
    assert row["until"] > time.time() + 3000
    assert abs(desk.revoked[grant] - row["until"]) < 1


def test_what_is_no_token_is_no_error(desk):
    """RFC 7009, 2.2: 200, for the client wants nothing else."""
    client = desk.client()
    for token in ("nonsense", "a.b.c", "é", "x" * 9000):
        assert revoke(desk, client, token).status_code == 200
    assert revoke(desk, client, None).json()["error"] == "invalid_request"


def test_nobody_revokes_the_token_of_another(desk):
    """RFC 7009, 2.1."""
    client, other = desk.client(), desk.client()
    reply = desk.granted(client, OFFLINE)
    for token in (reply["access_token"], reply["refresh_token"]):
        assert revoke(desk, other, token).json()["error"] == "invalid_grant"
    assert desk.post("revoke", {"token": reply["access_token"]}).status_code == 401
    assert desk.good(reply["access_token"]) is not None


def test_the_person_and_the_administrator_end_what_they_should_and_no_more(desk):
    """S-D9 (@390): the page where a person sees and ends what apps may do."""
    grants, person, other = desk.server.decisions.grants, desk.person(), desk.person()
    apps = [desk.client(), desk.client()]
    replies = {(app.id, who.account): desk.granted(app, OFFLINE, person=who) for app in apps for who in (person, other)}

    def good():
        return {key for key, reply in replies.items() if desk.good(reply["access_token"])}

    assert {grant.client for grant in grants.of_account(person.account)} == {app.id for app in apps}
    grants.withdraw(person.account, apps[0].id)
    assert good() == set(replies) - {(apps[0].id, person.account)}
    assert {grant.client for grant in grants.of_account(person.account)} == {apps[1].id}
    desk.server.clients.set_status(apps[0].id, "disabled")
    assert good() == {(apps[1].id, person.account), (apps[1].id, other.account)}
    desk.server.accounts.disable(desk.server.accounts.by_id(other.account))
    assert good() == {(apps[1].id, person.account)}


def test_revocations_are_on_record(desk):
    client = desk.client()
    reply = desk.granted(client, OFFLINE)
    desk.diary.events.clear()
    revoke(desk, client, reply["refresh_token"])
    revoke(desk, client, "nonsense")
    assert desk.diary.kinds() == ["revoke success"]
    assert desk.diary.events[0].client == client.id
