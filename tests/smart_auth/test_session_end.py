"""The end of a session, however it comes about, ends what apps hold for as long as it lasts, and nothing else."""

import re
from dataclasses import replace

import pytest

from smart_auth.account import Visitor
from smart_auth.terminal import terminal_token
from tests.smart_auth.bureau import bureau, claims_of
from tests.smart_auth.persons import HOME, PASSWORD, anna, cheap_passwords

CSRF = re.compile(r'name="csrf" value="([0-9a-f]+)"')
NEW = "nine violet harbours"


@pytest.fixture
def desk(database_url, tmp_path, monkeypatch):
    cheap_passwords(monkeypatch)
    with bureau(database_url, tmp_path) as made:
        yield made


@pytest.fixture
def account(desk):
    return anna(desk.server.accounts)


def form(desk, page, path, **fields):
    shown = desk.http.get(page)
    headers = {"origin": desk.server.configuration.origin}
    return desk.http.post(
        path, data={"csrf": CSRF.search(shown.text)[1], **fields}, headers=headers, follow_redirects=False
    )


def sign_in(desk, account):
    """The id of the session that the browser of the desk is signed in with from now on."""
    assert form(desk, "/auth/login", "/auth/login", email=account.email, password=PASSWORD).status_code == 303
    return desk.server.accounts.sessions.of(account.id)[0].id


def elsewhere(desk, account):
    """The id of a session in another browser."""
    return desk.server.accounts.sessions.start(account.id, ("pwd",), "", "192.0.2.1")[0].id


def token(desk, account, session, scope="online_access patient/*.rs"):
    """An access token that was granted in a session."""
    person = replace(desk.server.accounts.by_account(account.id), session=session, authenticated=1.0)
    return desk.granted(desk.client(), scope, person=person)["access_token"]


def good(desk, *tokens):
    """Which tokens are good; the resource server of this process knows of each that is not."""
    found = [desk.good(each) is not None for each in tokens]
    assert found == [claims_of(each)["grant"] not in desk.revoked for each in tokens]
    return found


def test_signing_out_ends_what_was_to_last_as_long_as_the_session(desk, account):
    session = sign_in(desk, account)
    here, there = token(desk, account, session), token(desk, account, elsewhere(desk, account))
    offline = token(desk, account, session, "offline_access patient/*.rs")
    assert form(desk, "/auth/account", "/auth/logout").status_code == 303
    assert good(desk, here, there, offline) == [False, True, True]


def test_signing_out_ends_what_was_granted_without_refresh_too(desk, account):
    session = sign_in(desk, account)
    here = token(desk, account, session, "openid patient/*.rs")
    there = token(desk, account, elsewhere(desk, account), "openid patient/*.rs")
    assert form(desk, "/auth/account", "/auth/logout").status_code == 303
    assert good(desk, here, there) == [False, True]


def test_a_code_of_a_session_that_has_ended_is_good_for_nothing(desk, account):
    session, client = sign_in(desk, account), desk.client()
    person = replace(desk.server.accounts.by_account(account.id), session=session, authenticated=1.0)
    code = desk.code(client, "openid patient/*.rs", person=person)
    form(desk, "/auth/account", "/auth/logout")
    assert desk.redeem(client, code).json()["error"] == "invalid_grant"


def test_a_session_that_is_pushed_out_by_newer_ones_takes_its_tokens_with_it(desk, account, monkeypatch):
    monkeypatch.setattr("smart_auth.session.MOST", 2)
    held = [token(desk, account, elsewhere(desk, account)) for _ in range(3)]
    assert good(desk, *held) == [False, True, True]


def test_a_token_of_the_terminal_ends_with_the_account(desk, account):
    server = desk.server
    printed = terminal_token(account, "user/*.rs", server.decisions.grants, server.keys)
    assert good(desk, printed) == [True]
    server.accounts.disable(account)
    assert good(desk, printed) == [False]


def test_a_terminal_that_was_disabled_prints_no_token(desk, account):
    server = desk.server
    printed = terminal_token(account, "user/*.rs", server.decisions.grants, server.keys)
    server.clients.set_status("terminal", "disabled")
    assert good(desk, printed) == [False]
    with pytest.raises(PermissionError, match="approve terminal"):
        terminal_token(account, "user/*.rs", server.decisions.grants, server.keys)


def test_a_browser_signed_out_from_the_account_page_takes_its_tokens_with_it(desk, account):
    session, other = sign_in(desk, account), elsewhere(desk, account)
    here, there = token(desk, account, session), token(desk, account, other)
    form(desk, "/auth/account", "/auth/account/sessions/end", id=other)
    assert good(desk, here, there) == [True, False]


def test_all_other_browsers_take_their_tokens_with_them(desk, account):
    session = sign_in(desk, account)
    here, there = token(desk, account, session), [token(desk, account, elsewhere(desk, account)) for _ in range(2)]
    form(desk, "/auth/account", "/auth/account/sessions/end-others")
    assert good(desk, here, *there) == [True, False, False]


def test_a_new_password_ends_what_other_browsers_hold(desk, account):
    session = sign_in(desk, account)
    here, there = token(desk, account, session), token(desk, account, elsewhere(desk, account))
    answer = form(desk, "/auth/account/password", "/auth/account/password", old=PASSWORD, password=NEW)
    assert answer.headers["location"] == "/auth/account?done=password"
    assert good(desk, here, there) == [True, False]


def test_a_password_reset_by_mail_ends_what_every_browser_holds(desk, account):
    held = token(desk, account, elsewhere(desk, account))
    ticket = desk.server.site.tickets.issue("reset", account.id, {"pending": ""}, 60)
    form(desk, f"/auth/reset?ticket={ticket}", "/auth/reset", ticket=ticket, password=NEW)
    assert good(desk, held) == [False]


def test_another_person_who_signs_in_at_the_same_browser_ends_what_the_first_held(desk, account):
    other, accounts = anna(desk.server.accounts, "other@example.org"), desk.server.accounts
    cookie = accounts.welcome(account, HOME, ("pwd",))
    before = accounts.sessions.by_cookie(cookie)
    held = token(desk, account, before.id)
    renewed = accounts.welcome(account, HOME, ("pwd",), before)
    assert good(desk, held) == [True]
    accounts.welcome(other, Visitor("192.0.2.1", "o" * 43), ("pwd",), accounts.sessions.by_cookie(renewed))
    assert good(desk, held) == [False]


def test_nobody_ends_what_apps_hold_by_the_id_of_somebody_elses_session(desk, account):
    other = anna(desk.server.accounts, "other@example.org")
    session = elsewhere(desk, account)
    held = token(desk, account, session)
    assert not desk.server.accounts.sessions.end(other.id, session)
    assert good(desk, held) == [True]


def test_a_disabled_account_and_all_that_apps_hold_of_it_end_together(desk, account):
    other = anna(desk.server.accounts, "other@example.org")
    session = elsewhere(desk, account)
    online, offline = token(desk, account, session), token(desk, account, session, "offline_access patient/*.rs")
    others = token(desk, other, elsewhere(desk, other))
    desk.server.accounts.disable(account)
    assert good(desk, online, offline, others) == [False, False, True]
    assert desk.server.accounts.sessions.of(account.id) == []
