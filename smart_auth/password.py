"""Passwords of accounts: what is refused, and argon2id with a bound on how many are computed at once.

https://www.rfc-editor.org/rfc/rfc9106#section-4 and https://pages.nist.gov/800-63-4/sp800-63b.html#passwordver
"""

import functools
import itertools
import secrets
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

LEAST = 10
MOST = 200
# 64 MiB and three passes, the second recommendation of RFC 9106: about a tenth of a second on one core.
_ARGON2ID = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=1)
# Memory and cores are the server's, not the guessers': never more than this many at once in a process.
_TURNS = threading.BoundedSemaphore(2)
_PATIENCE = 15.0


class UnfitPassword(Exception):
    """The password cannot be taken; the message tells the person why."""


class Busy(Exception):
    """Too many passwords are being checked at this moment; the person may try again."""


def check_password(password: str, email: str = "", name: str = "") -> None:
    """Raises UnfitPassword with a sentence for the person where the password is too short, too long or easily guessed."""
    text = _normal(password)
    if len(text) < LEAST:
        raise UnfitPassword(f"Use at least {LEAST} characters. A few words in a row are easy to remember.")
    if len(text) > MOST:
        raise UnfitPassword(f"Use at most {MOST} characters.")
    plain = text.casefold()
    if email and (plain == email.casefold() or plain == email.partition("@")[0].casefold()):
        raise UnfitPassword("Do not use your e-mail address as the password.")
    if name and plain.replace(" ", "") == name.casefold().replace(" ", ""):
        raise UnfitPassword("Do not use your name as the password.")
    if len(set(plain)) < 5 or _is_row(plain) or plain in commonest():
        raise UnfitPassword("This password is among the first that are guessed. Choose another one.")


def hash_password(password: str) -> str:
    """The argon2id hash in PHC form; raises Busy."""
    with _turn():
        return _ARGON2ID.hash(_normal(password))


def verify_password(stored: str | None, password: str) -> bool:
    """Whether the password fits, in the same time where there is none to compare with; raises Busy."""
    with _turn():
        try:
            _ARGON2ID.verify(stored or _nobodys(), _normal(password[: 2 * MOST]))
        except (VerificationError, InvalidHashError):
            return False
    return stored is not None


def is_outdated(stored: str) -> bool:
    """Whether the hash was made with other parameters than those of today."""
    return _ARGON2ID.check_needs_rehash(stored)


@functools.cache
def commonest() -> frozenset[str]:
    """The commonest passwords of at least LEAST characters, in lower case."""
    text = (files("smart_auth") / "commonest_passwords.txt").read_text("utf-8")
    return frozenset(line for line in text.split() if line)


@functools.cache
def _nobodys() -> str:
    return _ARGON2ID.hash(secrets.token_urlsafe())


def _normal(password: str) -> str:
    """One form of what keyboards of different systems send for the same characters."""
    return unicodedata.normalize("NFKC", password)


def _is_row(text: str) -> bool:
    """Whether each character follows the one before (or precedes it), as in 1234567890 or zyxwvutsrq."""
    steps = {(ord(b) - ord(a)) % 10 if text.isdecimal() else ord(b) - ord(a) for a, b in itertools.pairwise(text)}
    return steps in ({1}, {-1}, {9})


@contextmanager
def _turn() -> Iterator[None]:
    if not _TURNS.acquire(timeout=_PATIENCE):
        raise Busy
    try:
        yield
    finally:
        _TURNS.release()
