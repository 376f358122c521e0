"""The resource server of SMART: a context that asks for tokens, keeps to what they allow, and keeps the audit trail.

https://hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html and docs/access.md
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fhir_server.access.audit import Ledger
from fhir_server.access.bearer import Bearers
from fhir_server.access.criteria import Library
from fhir_server.access.limit import Exchange, Limits
from fhir_server.access.partner import partners_of
from fhir_server.access.seal import BUSY_SHARE, Sealer
from fhir_server.context import Context
from fhir_server.interactions.conditional import search_context
from fhir_server.store.pool import Pool
from smart_auth.access_token import Verifier


@dataclass(frozen=True, slots=True)
class Authority:
    """The authorization server as the resource server knows it: whose tokens are good, and what it tells of itself.

    `configuration` is the document of .well-known/smart-configuration.
    """

    verifier: Verifier
    configuration: Mapping[str, Any]


@contextlib.asynccontextmanager
async def guarded(context: Context, authority: Authority, pool: Pool) -> AsyncIterator[Context]:
    """The context of a server that believes the authority. `pool` is for the audit trail alone, and not open yet."""
    context = replace(context, smart=authority.configuration)
    library = Library(context.definitions, context.parameters, search_context(context))
    settings = context.settings
    partners = partners_of(
        settings.exchange_partners, permitted=settings.consent_default == "permit", most=settings.max_consents
    )
    bearers = Bearers(authority.verifier, library, context.types, partners, context.base)
    limits = Limits(settings.rate_limit, settings.rate_limit_denied)
    context = replace(context, bearers=bearers, limits=limits)
    exchanging = Exchange(context.pool, context.tenant, limits).keep() if limits.any else None
    if not settings.audit:
        async with _kept(exchanging):
            yield context
        return
    await pool.open()
    ledger = Ledger(pool, context.tenant)
    sealer = Sealer(
        context.pool, context.tenant, context.parameters, context.types, context.shapes, context.base, settings.audit_patients,
        busy_share=BUSY_SHARE / settings.processes,
    )  # fmt: skip
    try:
        async with _kept(exchanging, sealer.keep()):
            yield replace(context, ledger=ledger, sealer=sealer)
    finally:
        await pool.close()


@contextlib.asynccontextmanager
async def _kept(*works: Coroutine[Any, Any, None] | None) -> AsyncIterator[None]:
    """Meanwhile the works go on, of which none ends by itself."""
    tasks = [asyncio.create_task(one) for one in works if one is not None]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
