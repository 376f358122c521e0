"""What has to be done before the server may answer: the database reached and brought to this version's schema.

https://www.postgresql.org/docs/current/ddl.html
"""

from collections.abc import Callable

from fhir_server.settings import Settings
from fhir_server.store.cluster import DatabaseUnavailable
from fhir_server.store.migrate import UnfitSchema, migrate
from fhir_server.store.state import database_state

Report = Callable[[str], None]


async def prepare(settings: Settings, url: str, report: Report) -> None:
    """Bring the database at `url` to the state the server needs.

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
    if settings.demo:
        # Imported here alone: a server that is asked for no demonstration does not pay for the loaders.
        from loaders.first_start import furnish  # noqa: PLC0415

        await furnish(settings.model_copy(update={"database_url": url}), report)
