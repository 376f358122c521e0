"""Every environment variable the server reads: name, type, default, help.

The prefix is MEDICONNECT_. docs/settings.md lists the same names; a test compares the two.
"""

from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1024 * 1024


class Settings(BaseSettings):
    """The settings of one server process; values come from the environment, then from the defaults here."""

    model_config = SettingsConfigDict(env_prefix="MEDICONNECT_", frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on.")
    base_url: str = Field("", description="Public base of the FHIR API; empty: http://HOST:PORT/fhir.")
    data_dir: Path = Field(Path("data"), description="Folder of the embedded database, locks and reports.")
    database_url: str = Field("", description="URL of a PostgreSQL >= 15; empty: the embedded one in DATA_DIR.")
    workers: int = Field(1, ge=1, le=64, description="Server processes.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    security: Literal["open"] = Field("open", description="How callers are known; only `open` exists so far.")
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
    create_on_update: bool = Field(True, description="Whether PUT to an unused id creates the resource.")
    conditional_delete: Literal["not-supported", "single", "multiple"] = Field(
        "multiple", description="What DELETE with criteria may do."
    )
    max_conditional_deletes: int = Field(1000, ge=1, description="Most resources one conditional delete may remove.")
    cors_origins: str = Field("*", description="Origins that browsers may call from, separated by commas.")

    @cached_property
    def fhir_base(self) -> str:
        """The FHIR base as clients see it, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.base_url.rstrip("/") or f"http://{host}:{self.port}/fhir"
