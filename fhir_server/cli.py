"""The command line: `mediconnect serve | migrate | doctor | version`; each command imports what it needs when it is called.

https://typer.tiangolo.com/tutorial/commands/
"""

# ruff: noqa: PLC0415 (a command that imports only what it needs starts in half the time)

import asyncio
import json
import sys
from typing import Annotated

import typer

app = typer.Typer(
    name="mediconnect",
    help="A FHIR R4 server. Settings come from the environment: MEDICONNECT_HOST, MEDICONNECT_PORT, MEDICONNECT_DATA_DIR …",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def serve() -> None:
    """Start the server: its database, the migrations, then HTTP. Ctrl-C stops it."""
    from fhir_server.serve import serve
    from fhir_server.settings import Settings

    raise typer.Exit(serve(Settings()))


@app.command()
def migrate(
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit with 1 where something is to do.")
    ] = False,
) -> None:
    """Bring the database to the schema of this version."""
    from fhir_server.settings import Settings
    from fhir_server.store.cluster import DatabaseUnavailable
    from fhir_server.store.embedded import database
    from fhir_server.store.migrate import UnfitSchema
    from fhir_server.store.migrate import check as problems
    from fhir_server.store.migrate import migrate as apply

    settings = Settings()
    if check and not settings.database_url and not (settings.data_dir / "postgres").exists():
        print(f"there is no database in {settings.data_dir.absolute()} yet; run `mediconnect migrate`")
        raise typer.Exit(1)
    with database(settings.data_dir, settings.database_url) as url:
        if check:
            found = asyncio.run(problems(url))
            print("\n".join(found) or "the schema is up to date")
            raise typer.Exit(1 if found else 0)
        try:
            applied = asyncio.run(apply(url))
        except UnfitSchema as error:
            raise DatabaseUnavailable(str(error)) from error
        print("\n".join(f"applied {name}" for name in applied) or "the schema is up to date")


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array in place of the lines.")] = False,
) -> None:
    """Look whether everything the server needs is there, and say how to mend what is not. Exits with 1 on a failure."""
    from fhir_server.doctor import examine
    from fhir_server.settings import Settings

    findings = examine(Settings())
    if as_json:
        print(json.dumps([finding.as_dict() for finding in findings], ensure_ascii=False, indent=2))
    else:
        print("\n".join(finding.line() for finding in findings))
    raise typer.Exit(1 if any(finding.grade == "FAIL" for finding in findings) else 0)


@app.command()
def version() -> None:
    """Print the version of the server and of the FHIR specification it implements."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        number = installed("mediconnect")
    except PackageNotFoundError:  # run from the source tree without having been installed
        number = "(not installed)"
    print(f"mediconnect {number}, FHIR 4.0.1")


def main() -> None:
    """The command `mediconnect`: runs what the arguments say; a command that cannot do its work says so in one line."""
    from fhir_server.store.lock import CannotStart

    try:
        app()
    except CannotStart as error:
        print(f"mediconnect: {error}", file=sys.stderr)
        sys.exit(1)
