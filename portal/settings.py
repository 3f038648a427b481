"""Every setting: its default, its unit and a sentence.

Settings come from `PORTAL_*` variables or a TOML file (`PORTAL_CONFIG`, keys without the prefix, lower case); a variable
wins over the file. They are read once at start and passed down: nothing else reads the environment. What an operator
changes while the service runs (routes, accounts, limits) is data in the portal, not a setting. `docs/settings.md` is
made from this struct.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import msgspec
from msgspec import Meta, Struct

from portal.errors import SettingsError

PREFIX = "PORTAL_"


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of one process."""

    host: Annotated[str, Meta(description="Address the web server listens on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65535, description="TCP port of the web server.")] = 8000
    public_url: Annotated[
        str, Meta(description="Absolute address of the portal for links in mail; empty: http://HOST:PORT.")
    ] = ""
    allowed_hosts: Annotated[
        list[str],
        Meta(description="Host names that requests may carry, besides the one of the public address and loopback."),
    ] = []
    trusted_proxies: Annotated[
        list[str], Meta(description="CIDR ranges of proxies whose X-Forwarded-For is believed.")
    ] = []
    data_dir: Annotated[str, Meta(description="Folder for everything that the embedded default writes.")] = "data"
    database_url: Annotated[
        str,
        Meta(description="Leader database (postgresql://, mariadb://, sqlite:///); empty: SQLite in the data folder."),
    ] = ""
    database_replica_url: Annotated[
        str, Meta(description="Follower that serves lists and reports; empty: the leader.")
    ] = ""
    database_pool: Annotated[int, Meta(ge=2, le=200, description="Database connections per process.")] = 8
    migration_wait_seconds: Annotated[
        float,
        Meta(ge=0, le=3600, description="How long a starting process waits for another one to migrate, in seconds."),
    ] = 0.0
    redis_url: Annotated[str, Meta(description="Redis or Valkey; empty: `portal up` brings its own.")] = ""
    secret_key: Annotated[
        str,
        Meta(description="Secret keys, base64, comma-separated: the first seals, all open. Empty: a generated file."),
    ] = ""
    plugins_dir: Annotated[str, Meta(description="Folder of plugins; empty: the one that is installed.")] = ""
    plugins: Annotated[list[str], Meta(description="Names of the enabled plugins.")] = msgspec.field(
        default_factory=lambda: ["email", "sms", "webhook", "sandbox"]
    )
    egress_allow: Annotated[
        list[str],
        Meta(description="Private hosts or CIDR ranges that providers may reach, besides public addresses."),
    ] = []
    web_processes: Annotated[int, Meta(ge=1, le=64, description="Web processes of `portal serve`.")] = 1
    worker_processes: Annotated[int, Meta(ge=1, le=64, description="Worker processes of `portal up`.")] = 1
    worker_slots: Annotated[int, Meta(ge=2, le=200, description="Chunks a worker process handles at once.")] = 10
    high_reserve: Annotated[int, Meta(ge=1, le=100, description="Slots that only the high lane may use.")] = 2
    chunk_size: Annotated[int, Meta(ge=1, le=500, description="Notifications per chunk, medium and low lanes.")] = 500
    high_chunk_size: Annotated[int, Meta(ge=1, le=50, description="Notifications per chunk, high lane.")] = 50
    lease_seconds: Annotated[float, Meta(ge=1, le=60, description="Life of a chunk's lease, in seconds.")] = 4.0
    drain_seconds: Annotated[float, Meta(ge=0, le=300, description="Time a stopping worker may finish, seconds.")] = 5.0
    watchdog_seconds: Annotated[
        float, Meta(ge=0.5, le=600, description="Blocked event loop after which a worker restarts, in seconds.")
    ] = 10.0
    accept_waiting: Annotated[
        int, Meta(ge=1, description="Requests that may wait for a flush, per process; beyond it 429.")
    ] = 4096
    accept_waiting_bytes: Annotated[
        int, Meta(ge=65536, description="Bytes that may wait for a flush, per process; beyond it 429.")
    ] = 64 * 1024 * 1024
    rate_per_second: Annotated[
        float, Meta(gt=0, description="Requests per second of an application that has no limit of its own.")
    ] = 20_000.0
    max_body_bytes: Annotated[int, Meta(ge=1024, description="Largest body of a single request, in bytes.")] = 262_144
    max_bulk_bytes: Annotated[int, Meta(ge=1024, description="Largest body of a bulk request, in bytes.")] = 268_435_456
    max_bulk_items: Annotated[int, Meta(ge=1, description="Most items of one bulk request.")] = 100_000
    max_attachment_bytes: Annotated[int, Meta(ge=1, description="Largest uploaded file, in bytes.")] = 10_485_760
    bulk_approval_threshold: Annotated[
        int,
        Meta(
            ge=1,
            description="Items of one template and category per application and hour above which a batch needs approval.",
        ),
    ] = 1000
    idempotency_hours: Annotated[float, Meta(gt=0, description="Life of an idempotency key, in hours.")] = 24.0
    retry_base_seconds: Annotated[float, Meta(gt=0, description="First retry's ceiling, doubled each time.")] = 2.0
    retry_cap_seconds: Annotated[float, Meta(gt=0, description="Highest ceiling of a retry's wait, in seconds.")] = (
        3600.0
    )
    max_attempts: Annotated[int, Meta(ge=1, le=100, description="Attempts per account before a delivery is dead.")] = 8
    send_timeout_seconds: Annotated[float, Meta(gt=0, le=300, description="Total deadline of one vendor call.")] = 30.0
    unknown_hours: Annotated[float, Meta(gt=0, description="Time until an unknown delivery is given up, hours.")] = 72.0
    log_level: Annotated[
        str, Meta(pattern="^(debug|info|warning|error)$", description="debug, info, warning, error.")
    ] = "info"
    log_json: Annotated[bool, Meta(description="Log lines as JSON instead of text.")] = False

    @property
    def data_path(self) -> Path:
        """The data folder, absolute."""
        return Path(self.data_dir).expanduser().resolve()

    @property
    def embedded_database(self) -> bool:
        """True when no database was named and SQLite in the data folder is used."""
        return not self.database_url

    @property
    def database(self) -> str:
        """The leader's address, the embedded default included."""
        return self.database_url or f"sqlite:///{self.data_path / 'portal.db'}"

    @property
    def base_url(self) -> str:
        """The portal's absolute address without a trailing slash."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (self.public_url or f"http://{host}:{self.port}").rstrip("/")


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment and the file it names; raises `SettingsError` naming the first wrong variable."""
    environ = os.environ if environ is None else environ
    hints = get_type_hints(Settings, include_extras=True)
    values = _from_file(environ.get(PREFIX + "CONFIG", ""), hints)
    for name, hint in hints.items():
        raw = environ.get(PREFIX + name.upper())
        if raw is not None and raw != "":
            values[name] = _convert(PREFIX + name.upper(), _plain(raw, hint), hint)
    return Settings(**values)


def _from_file(path: str, hints: dict[str, Any]) -> dict[str, Any]:
    if not path:
        return {}
    try:
        content = tomllib.loads(Path(path).read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{PREFIX}CONFIG: {path} cannot be read as TOML: {error}") from None
    for key in content.keys() - hints.keys():
        raise SettingsError(f"{path}: {key} is not a setting; see docs/settings.md.")
    return {key: _convert(f"{path}: {key}", value, hints[key]) for key, value in content.items()}


def _plain(raw: str, hint: Any) -> Any:
    """A variable's text in the shape of its type: lists are comma-separated."""
    return [part.strip() for part in raw.split(",") if part.strip()] if "list[" in str(get_args(hint)[0]) else raw


def _convert(name: str, value: Any, hint: Any) -> Any:
    try:
        return msgspec.convert(value, hint, strict=not isinstance(value, str))
    except msgspec.ValidationError as error:
        shown = "" if "SECRET" in name.upper() else f", got {value!r}"
        raise SettingsError(f"{name}: {error}{shown}.") from None
