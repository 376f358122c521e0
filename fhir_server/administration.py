"""`mediconnect client | keys | account`: what those who run the server do with apps, keys and people.

https://www.rfc-editor.org/rfc/rfc7591 and docs/smart.md
"""

# ruff: noqa: PLC0415 - a command that imports only what it needs starts in half the time

import asyncio
import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from fhir_server.settings import Settings
    from smart_auth.account import Account, Accounts
    from smart_auth.client import Status
    from smart_auth.event import Kind
    from smart_auth.grant import Grants
    from smart_auth.store import Database

client_app = typer.Typer(name="client", help="Register, list, approve and close apps.", no_args_is_help=True)
keys_app = typer.Typer(name="keys", help="Look after the keys that sign tokens.", no_args_is_help=True)
account_app = typer.Typer(
    name="account", help="Make, list and close accounts, and give them passwords.", no_args_is_help=True
)

Id = Annotated[str, typer.Argument(metavar="ID", help="The client_id.")]
Email = Annotated[str, typer.Argument(metavar="EMAIL", help="The address that the account signs in with.")]


@client_app.command("add")
def client_add(
    path: Annotated[
        Path | None, typer.Argument(help="Metadata as JSON: RFC 7591, and launch_url; else the options say it.")
    ] = None,
    name: Annotated[str, typer.Option(help="What people know the app by.")] = "",
    redirect_uri: Annotated[list[str] | None, typer.Option(help="Where people come back to; may be repeated.")] = None,
    scope: Annotated[str, typer.Option(help="All it may be granted; empty: what people can usually grant.")] = "",
    kind: Annotated[str, typer.Option(help="public, symmetric (has a secret) or asymmetric (has keys).")] = "public",
    jwks: Annotated[Path | None, typer.Option(help="File with the public keys of an asymmetric app.")] = None,
    jwks_url: Annotated[str, typer.Option(help="Where its public keys are, in place of the file.")] = "",
    trusted: Annotated[
        bool, typer.Option("--trusted", help="One of the installation's own apps: nobody is asked for consent.")
    ] = False,
) -> None:
    """Register an app; prints what it is told, with its secret if it has one, which is shown this once."""
    from dataclasses import replace

    from fhir_server.smart import configuration_of
    from profiles.definitions import r4
    from smart_auth.client import Clients
    from smart_auth.error import OAuthError
    from smart_auth.registration import client_of_metadata, metadata_of

    with _database() as (settings, database):
        facts = configuration_of(settings, database.tenant, r4().resource_types)
        try:
            if path is None:
                metadata = _metadata(name, redirect_uri or [], scope, kind, jwks_url)
                metadata |= {"jwks": _object(jwks)} if jwks else {}
            elif name or redirect_uri or scope or jwks or jwks_url or kind != "public":
                _fail("give the metadata as a file or by options, not both")
            else:
                metadata = _object(path)
            asked = client_of_metadata(metadata, facts, own=True)
        except (OSError, ValueError) as error:
            _fail(str(error))
        except OAuthError as error:
            _fail(error.description)
        client, secret = Clients(database).add(replace(asked, trusted=trusted))
        _note(settings, database, "register", f"client add {client.id}")
    told = metadata_of(client) | ({"client_secret": secret} if secret else {})
    print(json.dumps(told, ensure_ascii=False, indent=2))


def _metadata(name: str, redirect_uris: list[str], scope: str, kind: str, jwks_url: str) -> dict[str, Any]:
    """The metadata of RFC 7591 that options stand for; an app nobody comes back to acts for itself."""
    from smart_auth.client import METHODS

    method = next((method for method, one in METHODS.items() if one == kind), None)
    if method is None:
        _fail(f"{kind} is no kind; kinds are {', '.join(METHODS.values())}")
    if not name:
        _fail("an app needs a file of metadata or a --name")
    by_itself = kind == "asymmetric" and not redirect_uris
    told = {
        "client_name": name,
        "token_endpoint_auth_method": method,
        "redirect_uris": redirect_uris,
        "scope": scope,
        "jwks_uri": jwks_url,
        "grant_types": ["client_credentials"] if by_itself else [],
    }
    return {name: value for name, value in told.items() if value}


def _object(path: Path) -> dict[str, Any]:
    """The JSON object of a file. Raises OSError, ValueError."""
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        _fail(f"{path} holds no JSON object")
    return found


@client_app.command("list")
def client_list(
    pending: Annotated[bool, typer.Option("--pending", help="Only those that wait for approval.")] = False,
) -> None:
    """List the apps: id, status, kind, name, scope."""
    from smart_auth.client import Clients

    with _database() as (_, database):
        for one in Clients(database).all("pending" if pending else None):
            print(f"{one.id}\t{one.status}\t{one.kind}\t{one.name}\t{one.scope}")


@client_app.command("approve")
def client_approve(id_: Id) -> None:
    """Let an app in that waits, or that was closed."""
    _set_status(id_, "active")


@client_app.command("disable")
@client_app.command("close", hidden=True)
def client_disable(id_: Id) -> None:
    """Let an app in no more; what it holds is no longer good within a second."""
    _set_status(id_, "disabled")


@client_app.command("remove")
def client_remove(id_: Id) -> None:
    """Remove an app for good, with all that it holds; it has to register anew."""
    from smart_auth.client import Clients

    with _database() as (settings, database):
        if not Clients(database, _grants(settings, database)).remove(id_):
            _fail(f"there is no client {id_}")
        _note(settings, database, "register", f"client remove {id_}")
    print(f"{id_} is removed")


def _set_status(id_: str, status: "Status") -> None:
    from smart_auth.client import Clients

    with _database() as (settings, database):
        if not Clients(database, _grants(settings, database)).set_status(id_, status):
            _fail(f"there is no client {id_}")
        _note(settings, database, "register", f"client {'approve' if status == 'active' else 'disable'} {id_}")
    print(f"{id_} is {status}")


@keys_app.command("rotate")
def keys_rotate() -> None:
    """Sign with new keys from now on; what older ones have signed stays good until it runs out."""
    from fhir_server.smart import key_of
    from smart_auth.server import signing_keys

    with _database() as (settings, database):
        keys = signing_keys(database, key_of(settings))
        made = " and ".join(keys.rotate())
        _note(settings, database, "keys", f"keys rotate {made}")
    print(f"tokens are signed with {made} from now on")


@account_app.command("add")
def account_add(
    email: Email,
    name: Annotated[str, typer.Option(help="What the person is called.")],
    role: Annotated[list[str], typer.Option(help="A role, such as practitioner; more than once for several.")],
    fhir_user: Annotated[str, typer.Option(help="The person's resource, as in Practitioner/1; empty: none.")] = "",
) -> None:
    """Make an account; prints its password, shown this once and replaced by the person at the first sign-in."""
    from smart_auth.first_start import Binding, make_accounts
    from smart_auth.mail import email_address

    address = email_address(email)
    if address is None:
        _fail(f"{email} is no e-mail address")
    _check_person(role, fhir_user)
    with _database() as (settings, database):
        accounts = _accounts(settings, database)
        made = make_accounts(accounts, [Binding(address, name, tuple(role), fhir_user or None)], given="administrator")
        if not made:
            _fail(f"{address} has an account already")
        _note(settings, database, "account", f"account add {_known(accounts, address).id} as {', '.join(role)}")
    print(f"{made[0].email}  {made[0].password}")


def _check_person(roles: list[str], fhir_user: str) -> None:
    from smart_auth.account import PERSON, ROLES

    if unknown := sorted(set(roles) - set(ROLES)):
        _fail(f"{unknown[0]} is no role; roles are {', '.join(ROLES)}")
    if fhir_user and not PERSON.fullmatch(fhir_user):
        _fail(f"{fhir_user} is no Patient, Practitioner, PractitionerRole, RelatedPerson or Person")


@account_app.command("bind")
def account_bind(
    email: Email,
    role: Annotated[list[str], typer.Option(help="All roles from now on, each by an option of its own.")],
    fhir_user: Annotated[str, typer.Option(help="The person's resource, as in Practitioner/1; empty: none.")] = "",
) -> None:
    """Give an account other roles and another person; its next tokens have them, its sessions go on."""
    _check_person(role, fhir_user)
    with _database() as (settings, database):
        accounts = _accounts(settings, database)
        account = _known(accounts, email)
        accounts.bind(account, fhir_user or None, role)
        _note(
            settings, database, "account", f"account bind {account.id} to {fhir_user or 'nobody'} as {', '.join(role)}"
        )
    print(f"{account.email} is {fhir_user or 'nobody of the store'} as {', '.join(role)}")


@account_app.command("password")
def account_password(email: Email) -> None:
    """Give an account a new random password, shown this once and replaced at the next sign-in; its sessions end."""
    from smart_auth.first_start import new_password

    with _database() as (settings, database):
        accounts, password = _accounts(settings, database), new_password()
        account = _known(accounts, email)
        accounts.set_password(account, password, "administrator")
        accounts.sessions.end_others(account.id)
        _note(settings, database, "account", f"account password {account.id}")
    print(f"{account.email}  {password}")


@account_app.command("token")
def account_token(
    email: Email,
    scope: Annotated[str, typer.Option(help="What it is good for.")] = "user/*.cruds user/AuditEvent.rs",
) -> None:
    """Print an access token of an account, to try the server out from a terminal; it is good for some minutes.

    The settings, MEDICONNECT_PORT and MEDICONNECT_BASE_URL among them, have to be those of the server.
    """
    from fhir_server.smart import configuration_of, key_of
    from profiles.definitions import r4
    from smart_auth.grant import Grants
    from smart_auth.server import signing_keys
    from smart_auth.terminal import terminal_token

    with _database() as (settings, database):
        key, account = key_of(settings), _known(_accounts(settings, database), email)
        if account.disabled:
            _fail(f"{account.email} is disabled")
        grants = Grants(database, configuration_of(settings, database.tenant, r4().resource_types))
        try:
            token = terminal_token(account, scope, grants, signing_keys(database, key))
        except PermissionError as error:
            _fail(str(error))
        _note(settings, database, "token", f"account token {account.id} for {scope}"[:500])
    print(token)


@account_app.command("list")
def account_list() -> None:
    """List the accounts: address, state, roles, the person's resource, name."""
    with _database() as (settings, database):
        for one in _accounts(settings, database).all():
            state = "disabled" if one.disabled else "active"
            print(f"{one.email}\t{state}\t{', '.join(one.roles)}\t{one.fhir_user or '-'}\t{one.name}")


@account_app.command("disable")
def account_disable(email: Email) -> None:
    """Close an account; its sessions, and within a second what apps hold of it, are no longer good."""
    print(f"{_disable(email, disabled=True)} is disabled")


@account_app.command("enable")
def account_enable(email: Email) -> None:
    """Open an account again that was closed."""
    print(f"{_disable(email, disabled=False)} is active")


def _disable(email: str, *, disabled: bool) -> str:
    with _database() as (settings, database):
        accounts = _accounts(settings, database)
        account = _known(accounts, email)
        accounts.disable(account, disabled=disabled)
        _note(settings, database, "account", f"account {'disable' if disabled else 'enable'} {account.id}")
    return account.email


def _known(accounts: "Accounts", email: str) -> "Account":
    account = accounts.by_email(email.strip().lower())
    if account is None:
        _fail(f"{email} has no account")
    return account


def _accounts(settings: "Settings", database: "Database") -> "Accounts":
    from fhir_server.smart import key_of
    from smart_auth.pages.site import accounts_of

    return accounts_of(database, key_of(settings), _grants(settings, database))


def _note(settings: "Settings", database: "Database", kind: "Kind", done: str) -> None:
    """Puts a command on the audit trail, once it is done; what it changed is named by its id."""
    from fhir_server.outcome import Refusal
    from fhir_server.terminal import Terminal

    try:
        Terminal(settings, database.tenant).note(kind, f"mediconnect {done}")
    except Refusal as error:
        _fail(f"this is done, and could not be put on the audit trail: {error.issues[0].diagnostics}")


def _grants(settings: "Settings", database: "Database") -> "Grants":
    """What apps hold; running servers learn within a second from the database what of it has ended."""
    from fhir_server.smart import configuration_of
    from smart_auth.grant import Grants

    return Grants(database, configuration_of(settings, database.tenant, ()))


@contextlib.contextmanager
def _database() -> "Iterator[tuple[Settings, Database]]":
    """The authorization server's own connections to the database of the settings, also beside a server that runs.

    What keeps a command from its work is said in one line, and ends with 1.
    """
    from fhir_server.settings import Settings
    from fhir_server.smart import database_of
    from fhir_server.store.embedded import database
    from fhir_server.store.migrate import check
    from smart_auth.cipher import Unsealable
    from smart_auth.store import Busy

    settings = Settings()
    if not settings.database_url and not (settings.data_dir / "postgres").exists():
        _fail(
            f"there is no database in {settings.data_dir.absolute()} yet; start the server or run `mediconnect migrate`"
        )
    with database(settings.data_dir, settings.database_url) as url:
        if problems := asyncio.run(check(url)):
            _fail(problems[0])
        settings = settings.model_copy(update={"database_url": url})
        opened = database_of(settings)
        opened.open()
        try:
            yield settings, opened
        except (Busy, Unsealable) as error:
            _fail(str(error))
        finally:
            opened.close()


def _fail(problem: str) -> NoReturn:
    print(f"mediconnect: {problem}", file=sys.stderr)
    raise typer.Exit(1)
