"""The command line: `mediconnect serve | migrate | load | demo | reindex | package | audit | policy | client | keys | account | doctor | version`; each command imports what it needs when it is called.

https://typer.tiangolo.com/tutorial/commands/
"""

# ruff: noqa: PLC0415 - a command that imports only what it needs starts in half the time

import asyncio
import contextlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from fhir_server.administration import account_app, client_app, keys_app

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fhir_server.search.reindex import Reindex
    from fhir_server.store.connection import Connection

T = TypeVar("T")

app = typer.Typer(
    name="mediconnect",
    help="A FHIR R4 server. Settings come from the environment: MEDICONNECT_HOST, MEDICONNECT_PORT, MEDICONNECT_DATA_DIR …",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

package_app = typer.Typer(
    name="package", help="Install, list, pin, check and remove FHIR packages.", no_args_is_help=True
)
app.add_typer(package_app)
audit_app = typer.Typer(name="audit", help="Check the audit trail.", no_args_is_help=True)
app.add_typer(audit_app)
policy_app = typer.Typer(name="policy", help="Show, replace and restore what a role may do.", no_args_is_help=True)
app.add_typer(policy_app)
for commands in (client_app, keys_app, account_app):
    app.add_typer(commands)


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
def load(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH…", help="Bundles, resources, NDJSON; files or folders; also .gz.")
    ],
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that load at the same time.")] = 2,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the last load of the same paths.")] = False,
    server: Annotated[str, typer.Option(help="Base URL of a FHIR server to load to; else the own database.")] = "",
    report: Annotated[Path | None, typer.Option(help="File for what is refused; else one in DATA_DIR/reports.")] = None,
    validate: Annotated[
        str, typer.Option(help="Level of validation: structure, base, profiles or none; else as the server's.")
    ] = "",
    check: Annotated[
        bool, typer.Option("--check", help="Load nothing; compare what is stored with the paths.")
    ] = False,
) -> None:
    """Load FHIR data. Exits with 0 when all is loaded, 1 when some was refused, 3 when it was interrupted."""
    from fhir_server.settings import Settings

    if check:
        from loaders.count import compare

        raise typer.Exit(compare(paths, Settings(), server))
    from loaders.load import Options
    from loaders.load import load as run

    options = Options(workers=workers, validate=validate, resume=resume, server=server, report=report)
    raise typer.Exit(run(paths, Settings(), options))


@app.command()
def demo(
    patients: Annotated[int, typer.Option(min=0, help="How many patients the hospital has.")] = 60,
    seed: Annotated[int, typer.Option(help="The same seed and day give the same hospital.")] = 7,
    out: Annotated[Path | None, typer.Option(help="Write bundles to this folder, and nothing to the database.")] = None,
) -> None:
    """Store the demonstration hospital, or write it as transaction Bundles."""
    from fhir_server.settings import Settings
    from loaders.demo import demonstrate, write_bundles

    if out is not None:
        raise typer.Exit(write_bundles(out, patients, seed))
    raise typer.Exit(demonstrate(Settings(), patients, seed))


@app.command()
def reindex(
    everything: Annotated[
        bool, typer.Option("--all", help="Make all index rows anew, not only those of new search parameters.")
    ] = False,
) -> None:
    """Work on the jobs that make index rows for stored resources; one that was broken off goes on."""
    from fhir_server.settings import Settings
    from fhir_server.store.embedded import database

    settings = Settings()
    with database(settings.data_dir, settings.database_url) as url:
        asyncio.run(_reindex(url, everything=everything))


async def _reindex(url: str, *, everything: bool) -> None:
    from fhir_server.app import context_of, pool_of
    from fhir_server.search.reindex import Reindex, indexed_by_resource
    from fhir_server.settings import Settings

    settings = Settings(database_url=url)
    pool = pool_of(settings)
    await pool.open()
    try:
        context = await context_of(settings, pool)
        work = Reindex(pool, context.tenant, context.parameters, context.types, context.shapes)
        async with contextlib.AsyncExitStack() as stack:
            if everything:
                await stack.enter_async_context(indexed_by_resource(url))
                await work.all()
            await _report(work)
    finally:
        await pool.close()


async def _report(work: "Reindex") -> None:
    """Works on all jobs, and says how far they are."""
    count = 0
    while (done := await work.step()) is not None:
        count += done
        print(f"\r{count} resources", end="", flush=True)
        await asyncio.sleep(0 if done else 0.05)
    print(f"\r{count} resources; nothing is left to do")


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


@package_app.command("install")
def package_install(
    paths: Annotated[list[Path], typer.Argument(help="FHIR npm packages: .tgz, unpacked, or a folder of .tgz files.")],
) -> None:
    """Install packages for FHIR 4.0.x into DATA_DIR/packages. What is there already stays as it is."""
    from profiles.install import install

    with _packages() as folder:
        done = [one for path in paths for one in install(path, folder)]
        for one in done:
            print(
                f"{one.manifest.label}: "
                + (f"{one.definitions} definitions installed" if one.changed else "is installed already")
            )
        for label in sorted({label for one in done for label in one.missing}):
            print(f"  not installed, though it is depended on: {label}")


@package_app.command("list")
def package_list() -> None:
    """The installed packages with the dependencies they lack."""
    from profiles.install import installed, missing
    from profiles.registry import pins

    with _packages() as folder:
        pinned = pins(folder)
        for one in installed(folder):
            lacks = missing(one, folder)
            mark = " (pinned)" if pinned.get(one.name) == one.version else ""
            print(f"{one.label}{mark} {one.title}" + (f"; lacks {', '.join(lacks)}" if lacks else ""))


@package_app.command("pin")
def package_pin(name: str, version: str) -> None:
    """Have canonicals without a version mean this version of a package, not the newest."""
    from profiles.install import pin

    with _packages() as folder:
        pin(folder, name, version)
        print(f"{name} is pinned to {version}")


@package_app.command("remove")
def package_remove(name: str, version: str) -> None:
    """Remove one version of a package."""
    from profiles.install import remove

    with _packages() as folder:
        remove(folder, name, version)
        print(f"{name}#{version} is removed")


@package_app.command("check")
def package_check() -> None:
    """Compile all of R4 and every installed profile; prints those that cannot be used, and the memory it all takes."""
    from profiles.definitions import r4
    from profiles.registry import Registry

    with _packages() as folder:
        registry = Registry(folder)
        for name in r4().types:
            r4().structure(name)
        count = sum(1 for _ in registry.profiles())
        print("\n".join(registry.problems.values()) or "every profile can be used")
        taken = _peak_megabytes()
        print(
            f"{count} profiles of {len(registry.manifests) - 1} packages compiled; the process took {taken:.0f} MB at most"
        )


def _peak_megabytes() -> float:
    """The most memory this process has had."""
    import resource

    status = Path("/proc/self/status")
    if status.exists():  # Linux counts what a process had before exec in ru_maxrss, which is its parent's
        peak = next(
            line
            for line in status.read_text(encoding="utf-8", errors="replace").splitlines()
            if line.startswith("VmHWM")
        )
        return int(peak.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 * 1024 if sys.platform == "darwin" else 1024)


@contextmanager
def _packages() -> Iterator[Path]:
    """The folder of the packages; what cannot be done to them is said in one line, and ends with 1."""
    from fhir_server.settings import Settings
    from profiles.install import InstallError
    from profiles.package import PackageError

    try:
        yield Settings().data_dir / "packages"
    except (InstallError, PackageError, OSError) as error:
        print(f"mediconnect: {error}", file=sys.stderr)
        raise typer.Exit(1) from error


@audit_app.command("verify")
def audit_verify() -> None:
    """Check every sealed entry of the audit trail; exits with 1 at the first that is altered or missing."""
    from fhir_server.access.seal import verify

    found = _on_database(lambda conn: verify(conn, 1))
    print(f"{found.good} entries are good; the chain up to there is {found.chain.hex() or 'empty'}")
    if found.problem is not None:
        print(found.problem)
        raise typer.Exit(1)


@policy_app.command("show")
def policy_show(role: Annotated[str, typer.Argument(help="The role, such as front-desk.")]) -> None:
    """Print the policy of a role as JSON: what is in force, or the default."""
    from fhir_server.access.policy import text_of

    print(_on_database(lambda conn: text_of(conn, 1, role)))


@policy_app.command("set")
def policy_set(
    role: Annotated[str, typer.Argument(help="The role, such as front-desk.")],
    path: Annotated[Path, typer.Argument(help="The policy as JSON: see docs/access.md.")],
) -> None:
    """Put a policy in place of the one in force; servers take it over within a second."""
    from fhir_server.access.policy import UnusablePolicy, store
    from fhir_server.outcome import Refusal

    try:
        text = path.read_text(encoding="utf-8")
        _on_database(lambda conn: _policy_changed(conn, store(conn, 1, role, text), f"policy set {role}"))
    except (UnusablePolicy, Refusal, OSError) as error:
        print(f"mediconnect: {error}", file=sys.stderr)
        raise typer.Exit(1) from error
    print(f"the policy of {role} is replaced")


@policy_app.command("reset")
def policy_reset(role: Annotated[str, typer.Argument(help="The role, such as front-desk.")]) -> None:
    """Restore the default policy of a role."""
    from fhir_server.access.policy import reset

    _on_database(lambda conn: _policy_changed(conn, reset(conn, 1, role), f"policy reset {role}"))
    print(f"the policy of {role} is the default")


async def _policy_changed(conn: "Connection", work: "Awaitable[None]", done: str) -> None:
    """Changes a policy and says so on the audit trail: both, or neither."""
    from fhir_server.settings import Settings
    from fhir_server.terminal import Terminal

    async with conn.transaction():
        await work
        await Terminal(Settings(), 1).keep(conn, "policy", f"mediconnect {done}")


def _on_database(work: "Callable[[Connection], Awaitable[T]]") -> "T":
    """What comes of work on a connection to the database of the settings."""
    from fhir_server.settings import Settings
    from fhir_server.store.embedded import database
    from fhir_server.store.pool import Pool

    async def run(url: str) -> "T":
        pool = Pool(url, size=1)
        await pool.open()
        try:
            async with pool.connection() as conn:
                return await work(conn)
        finally:
            await pool.close()

    settings = Settings()
    with database(settings.data_dir, settings.database_url) as url:
        return asyncio.run(run(url))


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
    from pydantic import ValidationError

    from fhir_server.store.lock import CannotStart

    try:
        app()
    except CannotStart as error:
        print(f"mediconnect: {error}", file=sys.stderr)
        sys.exit(1)
    except ValidationError as error:  # of the settings, the only model there is
        for one in error.errors(include_url=False, include_context=False):
            name = "".join(f"MEDICONNECT_{part}: ".upper() for part in one["loc"])
            print(f"mediconnect: {name}{one['msg'].removeprefix('Value error, ')}", file=sys.stderr)
        sys.exit(1)
