"""What has to be done before the server may answer: the database reached and brought to this version's schema.

https://www.postgresql.org/docs/current/ddl.html
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from fhir_server.settings import Settings
from fhir_server.store.cluster import DatabaseUnavailable
from fhir_server.store.migrate import UnfitSchema, migrate
from fhir_server.store.state import database_state

if TYPE_CHECKING:
    from smart_auth.first_start import Binding

Report = Callable[[str], None]


async def prepare(settings: Settings, url: str, report: Report) -> bool:
    """Bring the database at `url` to the state the server needs; whether it holds the demonstration hospital.

    `report` takes "step: how far it is", as often as there is something to say. Raises CannotStart (or one of its kinds, as
    DatabaseUnavailable), whose message is the one line the server ends with.
    """
    report("migrations: looking")
    await database_state(url)
    try:
        applied = await migrate(url)
    except UnfitSchema as error:
        raise DatabaseUnavailable(str(error)) from error
    report(f"migrations: applied {', '.join(applied)}" if applied else "migrations: up to date")
    if not settings.demo:
        return False
    from loaders.first_start import furnish  # noqa: PLC0415 - who wants no demonstration does not pay for the loaders

    return await furnish(settings.model_copy(update={"database_url": url}), report)


def accounts(settings: Settings, report: Report, *, is_furnished: bool) -> list[str]:
    """Makes the accounts of a first start; what there is to tell the person who starts the server.

    `is_furnished`: the database holds the demonstration hospital, whose people get accounts too.
    """
    if settings.security == "open":
        return ["OPEN: whoever reaches this port may read and write everything (MEDICONNECT_SECURITY=open)"]
    from fhir_server.first_accounts import first_accounts  # noqa: PLC0415 - an open server needs none of it

    report("accounts: looking")
    wanted = _demonstration(settings) if is_furnished else None
    told = first_accounts(settings, wanted)
    report("accounts: ready")
    return told


def _demonstration(settings: Settings) -> "Iterator[Binding]":
    from loaders.demonstration.account import bindings  # noqa: PLC0415 - the loaders are for demonstrations alone
    from loaders.first_start import SEED  # noqa: PLC0415 - likewise

    return bindings(settings.demo_patients, SEED)
