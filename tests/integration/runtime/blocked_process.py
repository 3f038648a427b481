"""A process whose loop is blocked by a plugin: `python -m … FOLDER sleep|regex`."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from portal.runtime import Watchdog, logs


async def main(folder: Path, how: str) -> None:
    """Start the watchdog and call the plugin."""
    logs.configure()
    sys.path.insert(0, str(folder))
    Watchdog(
        limit_seconds=0.6,
        culprit=lambda module: (folder / "culprit").write_text(module),
        report=folder / f"watchdog-{os.getpid()}.txt",
    ).start()
    await asyncio.sleep(0.5)  # the timer of the second line is set a moment after the start
    if how == "look":
        return
    from plugins.stuck import provider

    getattr(provider, how)()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
