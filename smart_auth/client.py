"""The clients that the authorization server knows: what they are called, how they prove themselves, what they may ask.

https://www.rfc-editor.org/rfc/rfc6749#section-2
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from smart_auth.cipher import digest, new_secret
from smart_auth.store import Database, Jsonb, Row, run

if TYPE_CHECKING:
    from smart_auth.grant import Grants

Kind = Literal["public", "symmetric", "asymmetric"]
Status = Literal["active", "pending", "disabled"]

METHODS: Mapping[str, Kind] = {
    "none": "public",
    "client_secret_basic": "symmetric",
    "private_key_jwt": "asymmetric",
}
GRANTS = ("authorization_code", "refresh_token", "client_credentials")


@dataclass(frozen=True, slots=True)
class Client:
    """A registered client. `scope` bounds what it may be granted; `grants` are grant types of OAuth.

    `self_registered`: nobody has looked at it. `trusted`: one of the installation's own apps, for which nobody is asked.
    """

    id: str
    name: str
    kind: Kind
    scope: str
    status: Status = "active"
    grants: tuple[str, ...] = ("authorization_code", "refresh_token")
    redirect_uris: tuple[str, ...] = ()
    launch_url: str | None = None
    jwks: Mapping[str, Any] | None = None
    jwks_url: str | None = None
    self_registered: bool = False
    trusted: bool = False
    homepage: str | None = None
    logo: str | None = None
    policy: str | None = None
    contact: str | None = None
    secret_hash: bytes | None = field(default=None, repr=False)
    created: datetime | None = None

    @property
    def method(self) -> str:
        """How it authenticates, as RFC 7591 calls it."""
        return next(method for method, kind in METHODS.items() if kind == self.kind)

    @property
    def origins(self) -> tuple[str, ...]:
        """The origins of web pages that are part of it."""
        return tuple(dict.fromkeys(origin for uri in self.redirect_uris if (origin := origin_of(uri))))


def origin_of(url: str) -> str | None:
    """The origin a browser sends for pages at an http(s) URL."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or parts.hostname is None:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = parts.port if parts.port not in (None, {"http": 80, "https": 443}[parts.scheme]) else None
    return f"{parts.scheme}://{host}" + (f":{port}" if port else "")


SELECT = (
    "SELECT id, name, kind, status, grants, scope, redirect_uris, launch_url, secret_hash, jwks, jwks_url,"
    " self_registered, trusted, homepage, logo, policy, contact, created FROM oauth_client WHERE tenant = %(tenant)s"
)


def client_of(row: Row) -> Client:
    """A row of oauth_client."""
    lists = {name: tuple(row[name]) for name in ("grants", "redirect_uris")}
    return Client(**{**row, **lists, "secret_hash": row["secret_hash"] and bytes(row["secret_hash"])})


class Clients:
    """The clients in the database. `grants` end with the client that holds them; None: nobody disables any here."""

    def __init__(self, database: Database, grants: "Grants | None" = None) -> None:
        self._database = database
        self._grants = grants

    def by_id(self, id_: str) -> Client | None:
        """The client, whatever its status."""
        if len(id_) > 128 or "\0" in id_:
            return None
        row = self._database.one(
            SELECT + " AND id = %(id)s",
            {"id": id_},
        )
        return client_of(row) if row else None

    def all(self, status: Status | None = None) -> Sequence[Client]:
        """All clients, or those of one status, by name."""
        rows = self._database.all(
            SELECT + " AND (%(status)s::text IS NULL OR status = %(status)s) ORDER BY name, id",
            {"status": status},
        )
        return [client_of(row) for row in rows]

    def add(self, client: Client) -> tuple[Client, str | None]:
        """Keeps a client that is sound already; returns it with its secret, which is never shown again (None: has none).

        One whose id is taken already stays as it is, and so does its secret (None).
        """
        secret = new_secret() if client.kind == "symmetric" and client.secret_hash is None else None
        values = {
            name: getattr(client, name)
            for name in (
                "id name kind status scope launch_url jwks_url self_registered trusted homepage logo policy contact"
            ).split()
        }
        added = self._database.run(
            "INSERT INTO oauth_client (tenant, id, name, kind, status, grants, scope, redirect_uris, origins, launch_url,"
            " secret_hash, jwks, jwks_url, self_registered, trusted, homepage, logo, policy, contact)"
            " VALUES (%(tenant)s, %(id)s, %(name)s, %(kind)s, %(status)s, %(grants)s, %(scope)s, %(redirect_uris)s,"
            " %(origins)s, %(launch_url)s, %(secret_hash)s, %(jwks)s, %(jwks_url)s, %(self_registered)s, %(trusted)s,"
            " %(homepage)s, %(logo)s, %(policy)s, %(contact)s) ON CONFLICT DO NOTHING",
            {
                **values,
                "grants": list(client.grants),
                "redirect_uris": list(client.redirect_uris),
                "origins": list(client.origins),
                "jwks": Jsonb(client.jwks) if client.jwks is not None else None,
                "secret_hash": digest(secret) if secret else client.secret_hash,
            },
        )
        kept = self.by_id(client.id)
        assert kept is not None, "kept just now or before"
        return kept, secret if added else None

    def set_status(self, id_: str, status: Status) -> bool:
        """Approves or disables a client; what a disabled one holds is no longer good. False: there is none."""
        with self._database.transaction() as connection:
            found = run(
                connection,
                self._database.tenant,
                "UPDATE oauth_client SET status = %(status)s WHERE tenant = %(tenant)s AND id = %(id)s",
                {"id": id_, "status": status},
            )
            if status == "disabled" and self._grants:
                self._grants.end_client(connection, id_)
        return found > 0

    def remove(self, id_: str) -> bool:
        """Removes a client and all that it holds, which is no longer good. False: there is none."""
        with self._database.transaction() as connection:
            if self._grants:
                self._grants.end_client(connection, id_)
            found = run(
                connection,
                self._database.tenant,
                "DELETE FROM oauth_client WHERE tenant = %(tenant)s AND id = %(id)s",
                {"id": id_},
            )
        return found > 0

    def pending(self) -> int:
        """How many clients wait for approval."""
        row = self._database.one(
            "SELECT count(*) AS count FROM oauth_client WHERE tenant = %(tenant)s AND status = 'pending'"
        )
        return int(row["count"]) if row else 0

    def has_origin(self, origin: str) -> bool:
        """Whether pages of an origin are part of an active client."""
        found = self._database.one(
            "SELECT 1 AS found FROM oauth_client"
            " WHERE tenant = %(tenant)s AND status = 'active' AND origins @> ARRAY[%(origin)s] LIMIT 1",
            {"origin": origin},
        )
        return found is not None
