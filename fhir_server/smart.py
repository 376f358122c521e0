"""The authorization server of a process, with what it needs of settings, people and the audit trail.

https://hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html and docs/smart.md
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass

from fastapi import APIRouter

from fhir_server.access.audit import Journal
from fhir_server.access.criteria import Library
from fhir_server.context import Context
from fhir_server.interactions.conditional import search_context
from fhir_server.people import StoredPeople
from fhir_server.rest.guard import Authority, guarded
from fhir_server.settings import Settings
from fhir_server.store.pool import Pool
from smart_auth.cipher import secret_key
from smart_auth.configuration import Configuration
from smart_auth.event import Event
from smart_auth.event import Journal as AnyJournal
from smart_auth.external import Provider
from smart_auth.pages.site import House
from smart_auth.router import auth_router
from smart_auth.scope import Scope
from smart_auth.server import Surroundings, authorization_server, signing_keys, verifier_of
from smart_auth.store import Database
from smart_auth.well_known import smart_configuration

log = logging.getLogger("mediconnect.auth")
DAY = 86_400


@dataclass(frozen=True, slots=True)
class Log:
    """The journal of a server that keeps no audit trail."""

    def note(self, event: Event) -> None:
        log.info("%s %s client=%s account=%s %s", event.kind, event.outcome, event.client, event.account, event.detail)


@contextlib.asynccontextmanager
async def authorized(context: Context, trail: Pool, include: Callable[[APIRouter], None]) -> AsyncIterator[Context]:
    """The context of a server that asks for the tokens of its own authorization server, whose endpoints are included.

    `trail` is for the audit trail alone, and not open yet.
    """
    settings = context.settings
    database = database_of(settings)
    database.open()
    try:
        key = key_of(settings)
        library = Library(context.definitions, context.parameters, search_context(context))
        facts = configuration_of(settings, context.tenant, context.types.code, usable_by(library))
        keys = signing_keys(database, key)
        authority = Authority(verifier_of(facts, keys), smart_configuration(facts))
        async with guarded(context, authority, trail) as inner:
            loop, bearers = asyncio.get_running_loop(), inner.bearers
            assert bearers is not None, "guarded"
            server = authorization_server(
                Surroundings(
                    configuration=facts,
                    database=database,
                    key=key,
                    house=house_of(settings),
                    people=StoredPeople(inner, loop),
                    journal=_journal(inner, loop),
                    revoked=lambda id_, until: _tell(loop, bearers.revoke, id_, until),
                )
            )
            include(auth_router(server))
            yield inner
    finally:
        await asyncio.to_thread(database.close)


def _journal(context: Context, loop: asyncio.AbstractEventLoop) -> AnyJournal:
    return Log() if context.ledger is None else Journal(context.ledger, loop)


def _tell(loop: asyncio.AbstractEventLoop, revoke: Callable[[str, float], None], id_: str, until: float) -> None:
    """Called from a worker thread; on the loop before the answer of the revocation is sent."""
    loop.call_soon_threadsafe(revoke, id_, until)


def database_of(settings: Settings) -> Database:
    """The authorization server's own connections, not open yet."""
    return Database(settings.database_url, 1)


def key_of(settings: Settings) -> bytes:
    """The installation's key. Raises ValueError where the setting is none."""
    return secret_key(settings.secret_key.get_secret_value(), settings.data_dir)


def usable_by(library: Library) -> Callable[[Scope], bool]:
    """Which scopes with criteria mean something: those whose criteria a type they name knows."""

    def usable(scope: Scope) -> bool:
        if not scope.criteria:
            return True
        types = library.parameters.resource_types if scope.type == "*" else (scope.type,)
        return any(library.term(name, scope.criteria) is not None for name in types)

    return usable


def configuration_of(
    settings: Settings, tenant: int, types: Collection[str], usable: Callable[[Scope], bool] | None = None
) -> Configuration:
    """The facts of the authorization server."""
    return Configuration(
        origin=settings.origin,
        fhir_base=settings.fhir_base,
        tenant=tenant,
        types=frozenset(types),
        access_seconds=settings.access_token_seconds,
        refresh_seconds=settings.refresh_token_days * DAY,
        registration=settings.registration,
        loopback=settings.is_local,
        usable=usable,
    )


def house_of(settings: Settings) -> House:
    """What the pages say of the installation."""
    provider = None
    if settings.openid_issuer:
        secret = settings.openid_client_secret.get_secret_value()
        provider = Provider(settings.openid_issuer, settings.openid_client_id, secret, settings.openid_name)
    return House(
        data_dir=settings.data_dir,
        organization=settings.organization,
        sign_up=settings.sign_up,
        smtp_url=settings.smtp_url,
        sender=settings.mail_from,
        provider=provider,
    )
