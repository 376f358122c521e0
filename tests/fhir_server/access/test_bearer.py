"""Tokens are verified once and forgotten when they are revoked, expire, or policies change.

https://www.rfc-editor.org/rfc/rfc6750
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from fhir_server.access.bearer import Bearers
from fhir_server.access.criteria import Library
from fhir_server.access.partner import partners_of
from fhir_server.access.policy import store
from fhir_server.outcome import Refusal
from fhir_server.search.parameter import r4_parameters
from fhir_server.search.types.context import Context
from fhir_server.store.pool import Pool
from fhir_server.store.resources import Types
from profiles.definitions import r4
from smart_auth.access_token import signed
from tests.bearing import KEY, claims, verifier

Story = Callable[[Pool, Bearers], Awaitable[None]]


def told(url: str, story: Story) -> None:
    async def run() -> None:
        pool = Pool(url, size=2)
        await pool.open()
        try:
            async with pool.connection() as conn:
                types = await Types.load(conn)
            library = Library(r4(), r4_parameters(), Context(tenant=1))
            await story(pool, Bearers(verifier(), library, types, partners_of("", permitted=False, most=10), "realm"))
        finally:
            await pool.close()

    asyncio.run(run())


def refused(bearers: Bearers, pool: Pool, header: str) -> Awaitable[None]:
    async def run() -> None:
        with pytest.raises(Refusal) as caught:
            await bearers.caller(pool, header)
        assert caught.value.status == 401
        assert 'error="invalid_token"' in dict(caught.value.headers)["www-authenticate"]

    return run()


def test_what_another_process_revokes_is_refused_within_a_second(database_url):
    token = claims("user/*.rs", roles=("practitioner",))
    header = f"Bearer {signed(token, KEY, 'tests')}"

    async def story(pool: Pool, bearers: Bearers) -> None:
        assert (await bearers.caller(pool, header)).token == token
        async with pool.connection() as conn:
            revoke = "INSERT INTO token_revocation (tenant, id, until) VALUES (1, $1, now() + interval '1 hour')"
            await conn.execute(revoke, (token.grant,))
        await asyncio.sleep(1.05)
        await refused(bearers, pool, header)

    told(database_url, story)


def test_what_this_process_revokes_is_refused_at_once(database_url):
    token = claims("user/*.rs")
    header = f"Bearer {signed(token, KEY, 'tests')}"

    async def story(pool: Pool, bearers: Bearers) -> None:
        await bearers.caller(pool, header)
        bearers.revoke(token.id, time.time() + 60)
        await refused(bearers, pool, header)

    told(database_url, story)


def test_a_remembered_token_expires(database_url):
    expires = int(time.time()) + 2
    token = replace(claims("user/*.rs"), expires=expires)
    header = f"Bearer {signed(token, KEY, 'tests')}"

    async def story(pool: Pool, bearers: Bearers) -> None:
        await bearers.caller(pool, header)
        await asyncio.sleep(expires + 0.05 - time.time())
        await refused(bearers, pool, header)

    told(database_url, story)


def test_a_changed_policy_holds_within_a_second(database_url):
    header = f"Bearer {signed(claims('user/*.rs', roles=('auditor',)), KEY, 'tests')}"

    async def story(pool: Pool, bearers: Bearers) -> None:
        before = (await bearers.caller(pool, header)).rights
        assert before is not None
        assert before.term("r", "Condition") is None
        async with pool.connection() as conn:
            await store(conn, 1, "auditor", '{"grants": [{"letters": "r", "types": ["Condition"]}]}')
        await asyncio.sleep(1.05)
        after = (await bearers.caller(pool, header)).rights
        assert after is not None
        assert after.term("r", "Condition") is not None

    told(database_url, story)


def test_the_same_token_keeps_its_rights(database_url):
    header = f"Bearer {signed(claims('user/*.rs'), KEY, 'tests')}"

    async def story(pool: Pool, bearers: Bearers) -> None:
        first, second = await bearers.caller(pool, header), await bearers.caller(pool, header)
        assert first.rights is second.rights

    told(database_url, story)
