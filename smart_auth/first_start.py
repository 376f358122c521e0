"""The accounts of a first start: an administrator with a random password, and those of the demonstration hospital.

https://cheatsheetseries.owasp.org/cheatsheets/Authentication_Cheat_Sheet.html
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from smart_auth.account import Accounts, EmailTaken, Given
from smart_auth.password import hash_password

ADMINISTRATOR = "admin@mediconnect.example"
_CONSONANTS, _VOWELS = "bdfghjkmnprstvz", "aeiou"


@dataclass(frozen=True, slots=True)
class Binding:
    """An account that is to be made: `fhir_user` is relative, or None for one without a resource."""

    email: str
    name: str
    roles: tuple[str, ...]
    fhir_user: str | None = None


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account that was made just now, with its password, which is kept nowhere and never shown again."""

    email: str
    password: str
    roles: tuple[str, ...]
    name: str


def make_administrator(accounts: Accounts, email: str = ADMINISTRATOR) -> NewAccount | None:
    """The first administrator, or None where there are accounts already."""
    if accounts.all():
        return None
    binding = Binding(email, "Administrator", ("administrator", "super-administrator"))
    made = make_accounts(accounts, [binding], given="start")
    return made[0] if made else None


def make_accounts(
    accounts: Accounts, bindings: Iterable[Binding], password: str | None = None, given: Given | None = None
) -> list[NewAccount]:
    """An account for each binding whose address has none yet, with `password` or a random one each.

    `given` is who chose it for the person; None where they need not choose one of their own, as in a demonstration.
    """
    made = []
    for binding in bindings:
        chosen = password or new_password()
        try:
            accounts.create(binding.email, binding.name, binding.roles, binding.fhir_user, hash_password(chosen), given)
        except EmailTaken:
            continue
        made.append(NewAccount(binding.email, chosen, binding.roles, binding.name))
    return made


def lines(made: Iterable[NewAccount]) -> list[str]:
    """What to print of new accounts: address, password and roles in columns."""
    shown = list(made)
    widths = [
        max((len(text) for text in texts), default=0)
        for texts in ([a.email for a in shown], [a.password for a in shown])
    ]
    return [f"{each.email:<{widths[0]}}  {each.password:<{widths[1]}}  {', '.join(each.roles)}" for each in shown]


def new_password() -> str:
    """Four words that can be read out and typed: 75 bits, as in "bagom-tupir-dezak-hunov-4821"."""
    words = (
        "".join(secrets.choice(_CONSONANTS if place % 2 == 0 else _VOWELS) for place in range(5)) for _ in range(4)
    )
    return "-".join((*words, f"{secrets.randbelow(10_000):04}"))
