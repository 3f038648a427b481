"""A small `portal up` for tests: `python -m … DATA_DIR CHILD=PROGRAM …`, in stages of the order given.

Runs the embedded Valkey (unless a child is named `novalkey`) and a Python program per child; prints `ready` when all
are up, and what the children say.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from portal.errors import PortalError
from portal.runtime import Child, EmbeddedValkey, Installation, Supervisor, hold, logs


async def run(installation: Installation, programs: list[str]) -> int:
    """Supervise until a signal."""
    children = [
        Child(name=name, argv=[sys.executable, "-c", program], stage=stage, stop_seconds=2)
        for stage, (name, _, program) in enumerate((text.partition("=") for text in programs), start=1)
    ]
    valkey = None if any(child.name == "novalkey" for child in children) else EmbeddedValkey(installation.data_dir)
    if valkey is not None:
        children.insert(0, valkey.child())
        installation.publish(redis_url=valkey.url, socket_dir=str(valkey.socket_dir))
    supervisor = Supervisor(
        children,
        on_ready=lambda: print("ready", file=sys.stderr, flush=True),
        changed=lambda running: installation.publish(children=running),
    )
    try:
        return await supervisor.run()
    finally:
        if valkey is not None:
            valkey.close()


def main() -> int:
    """Hold the folder and run; 1 with a sentence when it is taken."""
    logs.configure()
    try:
        with hold(Path(sys.argv[1]), address="http://127.0.0.1:8000") as installation:
            return asyncio.run(run(installation, sys.argv[2:]))
    except PortalError as error:
        print(error.message, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
