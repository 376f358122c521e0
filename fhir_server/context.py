"""What every interaction and operation works with: settings, definitions, the tenant and the way to the database.

https://hl7.org/fhir/R4/http.html#general
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from fhir_server.access.audit import Ledger, Trail
from fhir_server.access.bearer import Bearers
from fhir_server.access.caller import ANYBODY, Caller
from fhir_server.access.limit import Limits
from fhir_server.access.rights import Rights
from fhir_server.access.seal import Sealer
from fhir_server.outcome import Issue, did_you_mean, refuse
from fhir_server.packages import Packages
from fhir_server.search.execute import Search
from fhir_server.search.parameter import Parameters
from fhir_server.settings import Settings
from fhir_server.store.changes import KnownShapes, Write, write
from fhir_server.store.connection import Connection
from fhir_server.store.pool import Pool
from fhir_server.store.resources import Types, Version, read
from fhir_server.store.shared import Shared
from profiles.definitions import Definitions

T = TypeVar("T")


class Validator(Protocol):
    """Says what is worth a remark about a resource that is to be stored; raises Refusal where it may not be."""

    def __call__(self, resource: dict[str, Any]) -> Sequence[Issue]: ...


class Writer(Protocol):
    """Writes versions with their index rows, all or nothing: store.changes.write, or what gives the same rows."""

    def __call__(
        self, conn: Connection, tenant: int, writes: Sequence[Write], shapes: KnownShapes
    ) -> Awaitable[None]: ...


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """One server, as seen by one tenant and one caller; `pinned` is the connection of a transaction under way, if any."""

    settings: Settings
    definitions: Definitions
    parameters: Parameters
    validate: Validator
    pool: Pool
    shared: Shared
    types: Types
    shapes: KnownShapes
    packages: Packages
    page_key: bytes
    tenant: int
    base: str
    pinned: Connection | None = None
    write: Writer = write
    smart: Mapping[str, Any] | None = None  # what the authorization server tells of itself
    bearers: Bearers | None = None  # None: the server runs open
    ledger: Ledger | None = None  # None: no audit trail is kept
    sealer: Sealer | None = None
    limits: Limits | None = None
    caller: Caller = ANYBODY
    trail: Trail | None = None  # of the interaction, where it may write and an audit trail is kept

    @property
    def rights(self) -> Rights | None:
        """What the caller may do; None: everything."""
        return self.caller.rights

    def search(self, conn: Connection) -> Search:
        """Searches of this tenant on a connection. What a caller may see is for the Query to say."""
        return Search(conn, self.tenant, self.types, self.parameters)

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """The pinned connection, else one of the pool: no request ever holds two."""
        return self.pool.connection() if self.pinned is None else nullcontext(self.pinned)

    async def read(self, type_code: int, resource_id: str) -> Version | None:
        """The current version, a deletion included; None where the id was never used."""
        if self.pinned is not None:
            return await read(self.pinned, self.tenant, type_code, resource_id)
        return await self.shared.read((type_code, resource_id))

    async def attempt(self, work: Callable[["Context"], Awaitable[T]]) -> T:
        """`work` with a pinned connection in autocommit, again where a race was lost; inside a transaction, just once."""
        if self.pinned is not None:
            return await work(self)
        return await self.pool.attempt(lambda conn: work(replace(self, pinned=conn)))

    async def transact(self, work: Callable[["Context"], Awaitable[T]]) -> T:
        """`work` in one transaction, all of it again where a race was lost; inside a transaction, as part of it."""
        if self.pinned is not None:
            return await work(self)
        return await self.pool.transact(lambda conn: work(replace(self, pinned=conn)))

    @property
    def conn(self) -> Connection:
        """The pinned connection of `attempt` or `transact`."""
        assert self.pinned is not None, "only inside attempt or transact"
        return self.pinned

    def type_code(self, resource_type: str) -> int:
        """The number of a resource type; refuses what is no R4 resource type."""
        code = self.types.code.get(resource_type)
        if code is None:
            raise unknown_type(self, resource_type)
        return code


def unknown_type(context: Context, name: str) -> Exception:
    """The refusal of a path or resource whose type R4 does not have."""
    return refuse(
        "not-supported", f"'{name}' is not an R4 resource type{did_you_mean(name, context.types.code)}", status=404
    )
