"""The second factor in the database: confirmed, used once, recovered, turned off."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pyotp
import pytest

from smart_auth.cipher import Cipher
from smart_auth.second_factor import SecondFactors
from smart_auth.totp import new_secret
from tests.smart_auth.persons import KEY, accounts, anna

NOW = 1_800_000_000.0


pytestmark = pytest.mark.usefixtures("cheap")


@pytest.fixture
def account(database):
    return anna(accounts(database))


@pytest.fixture
def factors(database):
    return SecondFactors(database, Cipher(KEY), KEY, clock=lambda: NOW)


def code_at(secret, seconds=0):
    return pyotp.TOTP(secret).at(NOW + seconds)


def test_nothing_is_on_until_the_app_has_shown_a_right_code(factors, account):
    secret = new_secret()
    assert factors.confirm(account, secret, "000000" if code_at(secret) != "000000" else "000001") is None
    assert not factors.accepts(account, code_at(secret))
    codes = factors.confirm(account, secret, code_at(secret))
    assert len(codes) == 10
    assert factors.recovery_codes_left(account) == 10


def test_a_code_is_good_once_also_the_one_that_turned_the_app_on(factors, account):
    secret = new_secret()
    factors.confirm(account, secret, code_at(secret))
    assert not factors.accepts(account, code_at(secret))
    later = replace(factors, clock=lambda: NOW + 60)
    assert later.accepts(account, code_at(secret, 60))
    assert not later.accepts(account, code_at(secret, 60))
    assert not later.accepts(account, code_at(secret, 30))


def test_of_many_who_use_one_code_at_once_one_gets_in(factors, account):
    secret = new_secret()
    factors.confirm(account, secret, code_at(secret))
    later = replace(factors, clock=lambda: NOW + 60)
    with ThreadPoolExecutor(6) as threads:
        results = list(threads.map(lambda _: later.accepts(account, code_at(secret, 60)), range(12)))
    assert sum(results) == 1


def test_a_recovery_code_is_good_once_and_only_for_its_account(factors, account, database):
    codes = factors.confirm(account, secret := new_secret(), code_at(secret))
    other = anna(accounts(database), "other@example.org")
    assert not factors.accepts(other, codes[0])
    assert factors.accepts(account, codes[0].upper())
    assert not factors.accepts(account, codes[0])
    assert factors.recovery_codes_left(account) == 9
    new = factors.new_recovery_codes(account)
    assert not factors.accepts(account, codes[1])
    assert factors.accepts(account, new[1])


def test_turned_off_it_accepts_nothing(factors, account):
    codes = factors.confirm(account, secret := new_secret(), code_at(secret))
    factors.remove(account)
    assert not factors.accepts(account, codes[0])
    assert not replace(factors, clock=lambda: NOW + 60).accepts(account, code_at(secret, 60))


def test_neither_secret_nor_codes_can_be_read_from_the_database(factors, account, database):
    codes = factors.confirm(account, secret := new_secret(), code_at(secret))
    rows = [*database.all("SELECT * FROM account"), *database.all("SELECT * FROM account_recovery_code")]
    text = repr([dict(row) for row in rows])
    assert secret not in text
    assert not [code for code in codes if code in text]
