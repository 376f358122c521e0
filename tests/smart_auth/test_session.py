"""Sessions and tickets: random, hashed, ended by time and by people."""

from datetime import timedelta

import pytest

from smart_auth.session import MOST, BrowserSessions
from smart_auth.ticket import TRIES, Tickets
from tests.smart_auth.persons import HOME, accounts, anna

pytestmark = pytest.mark.usefixtures("cheap")


@pytest.fixture
def account(database):
    return anna(accounts(database))


@pytest.fixture
def sessions(database):
    return BrowserSessions(database)


def start(sessions, account):
    return sessions.start(account.id, ("pwd",), HOME.agent, HOME.network)


def test_a_cookie_opens_its_session_and_no_other(sessions, account):
    first, cookie = start(sessions, account)
    second, other = start(sessions, account)
    assert cookie != other
    assert sessions.by_cookie(cookie).id == first.id
    assert sessions.by_cookie(other).id == second.id
    for wrong in ("", "x" * 43, first.id, "\udcff" * 43, "é" * 43):
        assert sessions.by_cookie(wrong) is None


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE account_session SET expires = now() - interval '1 second' WHERE tenant = %(tenant)s",
        "UPDATE account_session SET seen = now() - interval '3 hours' WHERE tenant = %(tenant)s",
    ],
)
def test_a_session_ends_by_age_and_by_idleness(sessions, account, database, change):
    session, cookie = start(sessions, account)
    database.run(change)
    assert sessions.by_cookie(cookie) is None
    assert not sessions.is_alive(session.id)
    assert sessions.of(account.id) == []


def test_a_session_stays_awake_by_being_used(sessions, account, database):
    session, cookie = start(sessions, account)
    database.run("UPDATE account_session SET seen = now() - interval '110 minutes' WHERE tenant = %(tenant)s")
    assert sessions.by_cookie(cookie)
    assert sessions.of(account.id)[0].seen - session.seen < timedelta(minutes=1)


def test_the_others_can_be_ended_and_this_one_stays(sessions, account):
    kept, cookie = start(sessions, account)
    others = [start(sessions, account) for _ in range(3)]
    assert sessions.end_others(account.id, kept.id) == 3
    assert sessions.by_cookie(cookie)
    assert not any(sessions.by_cookie(value) for _, value in others)


def test_nobody_ends_the_session_of_another_account(sessions, account, database):
    session, cookie = start(sessions, account)
    other = anna(accounts(database), "other@example.org")
    assert not sessions.end(other.id, session.id)
    assert sessions.by_cookie(cookie)


def test_an_account_has_a_bounded_number_of_sessions(sessions, account, database):
    for _ in range(MOST + 3):
        start(sessions, account)
    assert len(sessions.of(account.id)) == MOST


def test_control_characters_of_a_browser_s_name_are_not_kept(sessions, account):
    session, _ = sessions.start(account.id, ("pwd",), "evil\x1b[31m\nline" + "x" * 400, "192.0.2.1")
    assert session.agent.startswith("evil[31mline")
    assert len(session.agent) == 300


def test_a_recent_proof_grows_old(sessions, account, database):
    _, cookie = start(sessions, account)
    assert sessions.by_cookie(cookie).is_recent
    database.run("UPDATE account_session SET proved = now() - interval '16 minutes' WHERE tenant = %(tenant)s")
    old = sessions.by_cookie(cookie)
    assert not old.is_recent
    sessions.prove(old)
    assert sessions.by_cookie(cookie).is_recent


def test_a_ticket_is_taken_once_and_only_as_what_it_is(database, account):
    tickets = Tickets(database)
    secret = tickets.issue("reset", account.id, {"a": 1}, 60)
    assert tickets.peek("verify", secret) is None
    assert tickets.peek("reset", secret).content == {"a": 1}
    assert tickets.take("reset", secret).account == account.id
    assert tickets.take("reset", secret) is None


def test_a_ticket_bears_few_tries(database, account):
    tickets = Tickets(database)
    secret = tickets.issue("second-factor", account.id, {}, 60)
    assert all(tickets.tried("second-factor", secret) for _ in range(TRIES))
    assert tickets.tried("second-factor", secret) is None
    assert tickets.peek("second-factor", secret) is None


def test_an_expired_ticket_is_good_for_nothing(database, account):
    tickets = Tickets(database)
    secret = tickets.issue("reset", account.id, {}, -1)
    assert tickets.peek("reset", secret) is None
    assert tickets.take("reset", secret) is None


def test_tickets_of_a_kind_can_be_made_void(database, account):
    tickets = Tickets(database)
    secret, other = tickets.issue("reset", account.id, {}, 60), tickets.issue("email", account.id, {}, 60)
    tickets.void("reset", account.id)
    assert tickets.peek("reset", secret) is None
    assert tickets.peek("email", other)


@pytest.mark.parametrize("secret", ["", "nonsense", "\udcff", "a" * 10_000])
def test_what_is_no_ticket_opens_nothing(database, secret):
    assert Tickets(database).take("reset", secret) is None
