"""The processes of an installation: supervised children, the embedded Redis, the watchdog, and how they log."""

from portal.runtime.installation import Installation, Running, Runtime, find_running, hold
from portal.runtime.supervisor import Child, Supervisor
from portal.runtime.valkey import EmbeddedValkey
from portal.runtime.watchdog import Watchdog

__all__ = [
    "Child",
    "EmbeddedValkey",
    "Installation",
    "Running",
    "Runtime",
    "Supervisor",
    "Watchdog",
    "find_running",
    "hold",
]
