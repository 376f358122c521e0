"""Guessing is slowed down, and nobody can slow down others."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from smart_auth.account import SignInRefused, Visitor
from smart_auth.lockout import MAIL_TO, PAIR, Attempts, Bound, TooMany, network_of
from tests.smart_auth.persons import HOME, KEY, PASSWORD, accounts, anna

BOUND = Bound("test", 3, 3600, 60, 600)


pytestmark = pytest.mark.usefixtures("cheap")


@pytest.fixture
def known(database):
    return accounts(database)


def guesses(known, visitor, count, email="anna@example.org"):
    """How many of so many wrong guesses were looked at."""
    looked_at = 0
    for _ in range(count):
        try:
            known.sign_in(email, "a wrong password", visitor)
        except SignInRefused:
            looked_at += 1
        except TooMany:
            continue
    return looked_at


def test_after_some_free_tries_each_waits_longer(database):
    attempts = Attempts(database, KEY)
    for _ in range(BOUND.free):
        attempts.reserve((BOUND, "a"))
    attempts.reserve((BOUND, "a"))
    with pytest.raises(TooMany) as first:
        attempts.reserve((BOUND, "a"))
    assert 55 <= first.value.seconds <= 60
    database.run("UPDATE account_attempt SET until = now() WHERE tenant = %(tenant)s")
    attempts.reserve((BOUND, "a"))
    with pytest.raises(TooMany) as second:
        attempts.reserve((BOUND, "a"))
    assert 110 <= second.value.seconds <= 120
    attempts.reserve((BOUND, "b"))


def test_the_count_starts_again_after_its_window_and_after_success(database):
    attempts = Attempts(database, KEY)
    for _ in range(BOUND.free + 1):
        attempts.reserve((BOUND, "a"))
    database.run(
        "UPDATE account_attempt SET latest = now() - interval '2 hours', until = now() WHERE tenant = %(tenant)s"
    )
    for _ in range(BOUND.free):
        attempts.reserve((BOUND, "a"))
    attempts.forget((BOUND, "a"))
    for _ in range(BOUND.free):
        attempts.reserve((BOUND, "a"))


def test_guesses_at_the_same_moment_are_counted_one_by_one(database):
    attempts = Attempts(database, KEY)

    def guess(_):
        try:
            attempts.reserve((BOUND, "a"))
        except TooMany:
            return 0
        return 1

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(guess, range(40))) == BOUND.free + 1


def test_a_guesser_is_slowed_down_whether_the_account_exists_or_not(known):
    anna(known)
    assert guesses(known, HOME, 12) == PAIR.free + 1
    assert guesses(known, HOME, 12, "nobody@example.org") == PAIR.free + 1


def test_a_guesser_does_not_slow_down_the_owner_elsewhere(known):
    made = anna(known)
    assert guesses(known, Visitor("203.0.113.5", "g" * 43), 12) < 12
    assert known.sign_in("anna@example.org", PASSWORD, HOME).id == made.id


def test_a_known_browser_opens_the_account_while_a_thousand_networks_guess(known, database):
    made = anna(known)
    known.welcome(made, HOME, ("pwd",))
    for number in range(110):
        known.attempts.reserve(*_bounds(known, f"10.1.{number}.1"))
    with pytest.raises(TooMany):
        known.sign_in("anna@example.org", PASSWORD, Visitor("10.2.0.1", "n" * 43))
    assert known.sign_in("anna@example.org", PASSWORD, HOME).id == made.id


def _bounds(known, network):
    try:
        return known._bounds("anna@example.org", Visitor(network, "g" * 43))
    finally:
        # The wait between two tries is what the test is not about.
        known.database.run("UPDATE account_attempt SET until = now() WHERE tenant = %(tenant)s")


def test_a_known_browser_shares_no_count_with_its_own_network(known):
    made = anna(known)
    known.welcome(made, HOME, ("pwd",))
    assert guesses(known, Visitor(HOME.network, "g" * 43), 12) < 12
    assert known.sign_in("anna@example.org", PASSWORD, HOME).id == made.id


def test_knowing_the_password_gives_no_free_guesses_at_the_second_factor(known):
    anna(known)
    opened = 0
    for _ in range(12):
        try:
            known.sign_in("anna@example.org", PASSWORD, HOME)
            opened += 1
        except TooMany:
            break
    assert opened == PAIR.free + 1


def test_an_address_gets_few_mails(database):
    attempts = Attempts(database, KEY)
    for _ in range(MAIL_TO.free + 1):
        attempts.reserve((MAIL_TO, "anna@example.org"))
    with pytest.raises(TooMany):
        attempts.reserve((MAIL_TO, "anna@example.org"))


def test_neither_addresses_nor_networks_can_be_read_from_the_counts(known, database):
    anna(known)
    guesses(known, HOME, 2)
    text = repr([dict(row) for row in database.all("SELECT * FROM account_attempt")])
    assert "anna" not in text
    assert "192.0.2" not in text


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_an_address_counts_as_its_network(address, network):
    assert network_of(address) == network
