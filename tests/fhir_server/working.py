"""A context to work with, as of a running server but without HTTP and without background work."""

import asyncio
from collections.abc import Awaitable, Callable

from fhir_server.app import context_of, pool_of
from fhir_server.context import Context
from fhir_server.settings import Settings

Story = Callable[[Context], Awaitable[None]]


def run(url: str, story: Story) -> None:
    """The story with the context of a server of its own."""

    async def told() -> None:
        settings = Settings(database_url=url)
        pool = pool_of(settings)
        await pool.open()
        try:
            await story(await context_of(settings, pool))
        finally:
            await pool.close()

    asyncio.run(told())
