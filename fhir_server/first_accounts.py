"""The accounts of a first start: the administrator's, and those of the demonstration hospital.

docs/smart.md
"""

import os
from collections.abc import Iterable
from pathlib import Path

from fhir_server.settings import Settings
from fhir_server.smart import database_of, key_of
from smart_auth.first_start import Binding, lines, make_accounts, make_administrator
from smart_auth.pages.site import accounts_of

FILE = "demonstration-accounts.txt"


def first_accounts(settings: Settings, demonstration: Iterable[Binding] | None) -> list[str]:
    """Makes what accounts are missing; the lines to show, of which the administrator's is shown this once.

    Those of the demonstration are kept in a file of the data directory that its owner alone may read. None: there is none.
    """
    database = database_of(settings)
    database.open()
    try:
        accounts = accounts_of(database, key_of(settings))
        administrator = make_administrator(accounts)
        made = make_accounts(accounts, demonstration) if administrator and demonstration is not None else []
    finally:
        database.close()
    path = settings.data_dir / FILE
    if made:
        _keep(path, lines(made))
    shown = [f"sign-in    {settings.origin}/auth/login"]
    if administrator:
        shown += ["accounts, made just now (the first is shown this once):"]
        shown += [f"  {line}" for line in lines([administrator, *made])]
    return [*shown, f"demonstration accounts: {path}"] if path.exists() else shown


def _keep(path: Path, text: list[str]) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write("\n".join(text) + "\n")
