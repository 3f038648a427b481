"""The web server: Granian with the settings that keep our promises."""

from __future__ import annotations

import resource
from typing import Any

from portal.settings import Settings

# Granian's own defaults break three promises: many open streams starve /health, SIGTERM waits for streams, and one
# killed worker ends the server.
STREAMS = 2_000
BACKPRESSURE = STREAMS + 2_000
BACKLOG = 4_096
KILL_SECONDS = 10
FILES = 16_384


# The server's own records go through our formatter like everybody's.
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {},
    "handlers": {},
    "loggers": {"_granian": {"propagate": True}, "granian.access": {"propagate": True}},
}


def serve(settings: Settings) -> None:
    """Serve until SIGTERM; returns after the workers have ended."""
    from granian import Granian
    from granian.constants import Interfaces, Loops
    from granian.log import LogLevels

    _raise_file_limit()
    levels: dict[str, Any] = {name: getattr(LogLevels, name) for name in ("debug", "info", "warning", "error")}
    Granian(
        target="portal.app:create",
        factory=True,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        loop=Loops.uvloop,
        workers=settings.web_processes,
        backlog=BACKLOG,
        backpressure=BACKPRESSURE,
        respawn_failed_workers=True,
        workers_kill_timeout=KILL_SECONDS,
        websockets=False,
        log_access=False,
        log_dictconfig=LOGGING,
        log_level=levels["warning" if settings.log_level == "info" else settings.log_level],
    ).serve()


def _raise_file_limit() -> None:
    """A connection is a file: as many as the backpressure lets in, if the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
