"""Passwords: what is refused, and how they are kept."""

import pytest

from smart_auth.password import (
    UnfitPassword,
    check_password,
    commonest,
    hash_password,
    is_outdated,
    verify_password,
)


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("short", "at least 10"),
        ("x" * 201, "at most 200"),
        ("PassWord123", "first that are guessed"),
        ("aaaaaaaaaaaa", "first that are guessed"),
        ("1234567890", "first that are guessed"),
        ("9876543210", "first that are guessed"),
        ("abcdefghijkl", "first that are guessed"),
        ("ANNA.EXAMPLE", "e-mail"),
        ("anna.example@example.org", "e-mail"),
        ("annaexample", "your name"),
    ],
)
def test_what_is_guessed_first_is_refused(password, why):
    with pytest.raises(UnfitPassword, match=why):
        check_password(password, "anna.example@example.org", "Anna Example")


@pytest.mark.parametrize("password", ["correct horse battery", "ünïcödé wörds", "x7-Qp.29,mmK"])
def test_everything_else_of_ten_characters_is_taken(password):
    check_password(password, "anna.example@example.org", "Anna Example")


def test_a_password_fits_its_own_hash_and_no_other():
    stored = hash_password("correct horse battery")
    assert stored.startswith("$argon2id$")
    assert verify_password(stored, "correct horse battery")
    assert not verify_password(stored, "correct horse batterz")
    assert not is_outdated(stored)


def test_keyboards_that_compose_characters_differently_type_the_same_password():
    assert verify_password(hash_password("Zu\u0308rich im Herbst"), "Z\u00fcrich im Herbst")


def test_nothing_fits_where_there_is_no_password():
    assert not verify_password(None, "correct horse battery")
    assert not verify_password("no hash at all", "correct horse battery")


def test_the_list_of_the_commonest_holds_only_what_is_long_enough_to_be_typed():
    assert len(commonest()) > 100
    assert not [word for word in commonest() if len(word) < 10 or word != word.lower()]
