"""What is done at the server's own terminal, on the audit trail: by whom of the operating system, on which machine.

https://profiles.ihe.net/ITI/BALP/ and docs/access.md
"""

import asyncio
import os
import pwd
import socket
from dataclasses import dataclass

from fhir_server.access.audit import note_of
from fhir_server.settings import Settings
from fhir_server.store.audit import append
from fhir_server.store.connection import Connection
from fhir_server.store.pool import Pool
from smart_auth.event import Event, Kind


@dataclass(frozen=True, slots=True)
class Terminal:
    """The trail of one command, on the database of its settings; the server that runs seals what is kept here."""

    settings: Settings
    tenant: int

    def note(self, kind: Kind, detail: str) -> None:
        """Keeps what a command has done; returns when it is on disk. `detail` names the command and what it changed."""
        if self.settings.audit:
            asyncio.run(self._kept(kind, detail))

    async def _kept(self, kind: Kind, detail: str) -> None:
        pool = Pool(self.settings.database_url, tenant=self.tenant, size=1)
        await pool.open()
        try:
            async with pool.connection() as conn:
                await self.keep(conn, kind, detail)
        finally:
            await pool.close()

    async def keep(self, conn: Connection, kind: Kind, detail: str) -> None:
        """The same on a connection, as part of its transaction where there is one."""
        if self.settings.audit:
            event = Event(kind, "success", network=socket.gethostname(), detail=detail, operator=operator())
            await append(conn, self.tenant, [note_of(event)])


def operator() -> str:
    """The account of the operating system that runs this process, and behind sudo who asked it to."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's process may have an id and no name
        name = f"user {os.getuid()}"
    asked = os.environ.get("SUDO_USER", "")
    return f"{name} for {asked}" if asked and asked != name else name
