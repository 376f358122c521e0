"""Every environment variable the server reads: name, type, default, help.

The prefix is MEDICONNECT_. docs/settings.md lists the same names; a test compares the two.
"""

import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from fhir_server.processors import one_each, processors

MIB = 1024 * 1024
MOST_PROCESSES = 6
"""Server processes that nobody asked for: their connections are no more than PostgreSQL allows by default, which is 100."""
OWN_CONNECTIONS = 6
"""Of a process beside its pool, at most: two of the audit trail and four of the authorization server."""
Level = Literal["structure", "base", "profiles"]
"""How closely a resource is compared with what FHIR and profiles say, from the least to the most."""
LEVELS: tuple[Level, ...] = get_args(Level)
_CANONICAL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:[^\s|]+(\|[^\s|]+)?")


class Settings(BaseSettings):
    """The settings of one server process; values come from the environment, then from the defaults here."""

    model_config = SettingsConfigDict(env_prefix="MEDICONNECT_", frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on.")
    base_url: str = Field("", description="Public base of the FHIR API; empty: http://HOST:PORT/fhir.")
    data_dir: Path = Field(Path("data"), description="Folder of the embedded database, locks and reports.")
    database_url: str = Field("", description="URL of a PostgreSQL >= 15; empty: the embedded one in DATA_DIR.")
    workers: int = Field(0, ge=0, le=64, description="Server processes; 0: one for each processor, at most 6.")
    pin: bool = Field(
        True, description="Whether each server process keeps to a processor of its own, where there are as many."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    security: Literal["smart", "open"] = Field(
        "smart", description="How callers are known: by SMART access tokens, or not at all (`open`)."
    )
    secret_key: SecretStr = Field(
        SecretStr(""), description="Key of stored secrets, 32 bytes in base64url; empty: made and kept in DATA_DIR."
    )
    access_token_seconds: int = Field(900, ge=60, le=3600, description="Seconds an access token of a person is good.")
    refresh_token_days: int = Field(90, ge=1, le=3650, description="Days a refresh token is good without being used.")
    registration: Literal["closed", "approval", "open"] = Field(
        "approval", description="Whether apps may register themselves, and whether an administrator has to agree."
    )
    audit: bool = Field(True, description="Whether an audit trail is kept where callers are known.")
    audit_patients: int = Field(
        100,
        ge=1,
        le=1000,
        description="Most patients found by a search that get an audit event each; of more, one names all.",
    )
    exchange_partners: str = Field(
        "", description="Clients bound by patients' consents, as `client:TREAT+HPAYMT other`."
    )
    consent_default: Literal["deny", "permit"] = Field(
        "deny", description="What exchange partners may see of patients without a consent."
    )
    max_consents: int = Field(
        5000, ge=1, le=20_000, description="Most active consents that a search of an exchange partner is held against."
    )
    rate_limit: str = Field("12000/minute", description="Most requests of one client and person; empty: any number.")
    rate_limit_denied: str = Field("120/minute", description="Most requests of one address without a good token.")
    organization: str = Field(
        "MediConnect", min_length=1, max_length=100, description="Whose server it is, on pages and in mails."
    )
    sign_up: bool = Field(True, description="Whether patients may make accounts of their own.")
    smtp_url: str = Field(
        "",
        description="Mail server, smtp://[user:password@]host[:port] or smtps://; empty: mails stay in DATA_DIR/outbox.",
    )
    mail_from: str = Field("MediConnect <no-reply@localhost>", description="Sender of mails.")
    openid_issuer: str = Field("", description="OpenID provider that people may sign in with; empty: none.")
    openid_client_id: str = Field("", description="What that provider calls this server.")
    openid_client_secret: SecretStr = Field(
        SecretStr(""), description="The secret that goes with it; empty: a public client."
    )
    openid_name: str = Field("your organization", description="What the provider is called on the button.")
    demo: bool = Field(True, description="Load the demonstration hospital on the first start (0: start empty).")
    demo_patients: int = Field(60, ge=0, description="Patients of the demonstration hospital.")
    pool_size: int = Field(8, ge=1, le=200, description="Database connections of one server process.")
    pool_timeout: float = Field(30.0, gt=0, description="Seconds a request waits for a connection before 503.")
    statement_timeout: float = Field(30.0, gt=0, description="Seconds one database statement may take.")
    max_body: int = Field(128 * MIB, ge=1024, description="Largest request body in bytes, after decompression.")
    max_url: int = Field(16_384, ge=256, description="Longest request URL in bytes.")
    max_depth: int = Field(64, ge=8, description="Deepest nesting of a JSON or XML body.")
    max_bundle_entries: int = Field(20_000, ge=1, description="Most entries of a batch or transaction.")
    page_size: int = Field(20, ge=1, description="Resources on a search or history page where _count is not given.")
    max_page_size: int = Field(1000, ge=1, description="Largest _count that is honoured.")
    max_search_codes: int = Field(
        10_000, ge=1, description="Most codes that value sets and hierarchies may bring into one search."
    )
    create_on_update: bool = Field(True, description="Whether PUT to an unused id creates the resource.")
    conditional_delete: Literal["not-supported", "single", "multiple"] = Field(
        "multiple", description="What DELETE with criteria may do."
    )
    max_conditional_deletes: int = Field(1000, ge=1, description="Most resources one conditional delete may remove.")
    validation: Level = Field("base", description="How closely resources are validated before they are stored.")
    validation_types: str = Field("", description="Levels of single types: `Patient=profiles, Observation=structure`.")
    validation_relax: bool = Field(False, description="Whether a client may ask for a lower level by `Prefer`.")
    required_profiles: str = Field("", description="Profiles that every resource of a type has to meet.")
    cors_origins: str = Field("*", description="Origins that browsers may call from, separated by commas.")

    @cached_property
    def processes(self) -> int:
        """How many processes serve HTTP."""
        return self.workers or min(MOST_PROCESSES, processors())

    @cached_property
    def own_processors(self) -> tuple[int, ...]:
        """The processors that the processes share out among them, each keeping to one; none: they run wherever there is room."""
        return one_each(self.processes) if self.pin else ()

    @cached_property
    def connections(self) -> int:
        """How many connections to the database all processes may have together."""
        return self.processes * (self.pool_size + OWN_CONNECTIONS)

    @cached_property
    def fhir_base(self) -> str:
        """The FHIR base as clients see it, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.base_url.rstrip("/") or f"http://{host}:{self.port}/fhir"

    @cached_property
    def origin(self) -> str:
        """Scheme, host and port of the FHIR base: below it stand the pages and the authorization server too."""
        parts = urlsplit(self.fhir_base)
        return f"{parts.scheme}://{parts.netloc}"

    @cached_property
    def is_local(self) -> bool:
        """Whether the server listens on this machine alone."""
        return self.host in ("127.0.0.1", "::1", "localhost")

    @cached_property
    def levels(self) -> dict[str, Level]:
        """The levels of the types that have one of their own; a type with a required profile is at `profiles`."""
        return {**dict.fromkeys(self.profiles, LEVELS[-1]), **_levels(self.validation_types)}

    @cached_property
    def profiles(self) -> dict[str, tuple[str, ...]]:
        """By type, the canonicals of the profiles its resources have to meet."""
        return _profiles(self.required_profiles)

    @field_validator("validation_types")
    @classmethod
    def _are_levels(cls, text: str) -> str:
        _check_types(_levels(text))
        return text

    @field_validator("required_profiles")
    @classmethod
    def _are_profiles(cls, text: str) -> str:
        _check_types(_profiles(text))
        return text

    @model_validator(mode="after")
    def _are_levels_high_enough(self) -> "Settings":
        for name in self.profiles:
            if self.levels[name] != LEVELS[-1]:
                raise ValueError(
                    f"MEDICONNECT_REQUIRED_PROFILES has a profile for {name}, which MEDICONNECT_VALIDATION_TYPES"
                    f" validates at the level {self.levels[name]} only"
                )
        return self


def _levels(text: str) -> dict[str, Level]:
    found: dict[str, Level] = {}
    for name, word in _pairs(text):
        level = next((one for one in LEVELS if one == word), None)
        if level is None:
            raise ValueError(f"{name}={word[:80]}: a level is {', '.join(LEVELS)}")
        if found.setdefault(name, level) != level:
            raise ValueError(f"{name} is given two levels")
    return found


def _profiles(text: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name, canonical in _pairs(text):
        if not _CANONICAL.fullmatch(canonical):
            raise ValueError(f"{name}={canonical[:200]}: a profile is named by its canonical, perhaps with |version")
        found[name] = (*found.get(name, ()), canonical)
    return found


def _pairs(text: str) -> list[tuple[str, str]]:
    """`A=x, B=y` as pairs; white space or a comma separates them."""
    pairs = []
    for part in re.split(r"\s*,\s*|\s+", text.strip()) if text.strip() else ():
        name, sign, value = part.partition("=")
        if not (name and sign and value):
            raise ValueError(f"{part[:80]!r} is not of the form Type=…")
        pairs.append((name, value))
    return pairs


def _check_types(names: Iterable[str]) -> None:
    for name in names:
        from profiles.definitions import r4  # noqa: PLC0415 - only who sets this waits for the definitions

        if not r4().is_resource(name):
            raise ValueError(f"{name[:80]} is no R4 resource type")
