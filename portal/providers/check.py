"""The Test button: does this account reach its vendor?"""

from __future__ import annotations

from typing import Any

from portal.db import Database
from portal.plugin_loader import Registry
from portal.providers.accounts import open_account
from portal.providers.call import run
from portal.providers.egress import Guard
from portal.providers.schemas import CheckResult
from portal.sdk import SendFailed, implements
from portal.sealing import Keyring

SECONDS = 15.0
LONGEST = 500


async def check_account(row: Any, db: Database, registry: Registry, keyring: Keyring, guard: Guard) -> CheckResult:
    """Open the account of this row apart from the running one, and let its provider look; nothing is sent.

    A disabled account can be checked too. Takes at most SECONDS; never raises for a plugin.
    """
    account = open_account(row, db, registry, keyring, guard)
    if account.problem is not None:
        return CheckResult(ok=False, message=account.problem)
    if not implements(account.provider, "check"):
        return CheckResult(ok=True, message="The settings are complete. This provider can only be tested by sending.")
    try:
        outcome = await run(account, lambda: account.provider.check(account.ctx), SECONDS)
    finally:
        await account.close()
    if isinstance(outcome, SendFailed):
        return CheckResult(ok=False, message=account.ctx.log.redact(outcome.reason)[:LONGEST])
    return CheckResult(ok=True, message=account.ctx.log.redact(str(outcome))[:LONGEST])
