"""Provider accounts and routes: their settings and sealed secrets, their way out of the process, their bulkheads.

It calls a provider once and says what came of it; retrying, failing over and recording attempts is delivery's.
"""

from portal.providers.accounts import Accounts, OpenAccount
from portal.providers.bulkhead import Bulkhead
from portal.providers.call import send_many, send_one
from portal.providers.context import Kept
from portal.providers.egress import EgressRefused, Guard
from portal.providers.models import ProviderAccount, Route
from portal.providers.seed import seed

__all__ = [
    "Accounts",
    "Bulkhead",
    "EgressRefused",
    "Guard",
    "Kept",
    "OpenAccount",
    "ProviderAccount",
    "Route",
    "seed",
    "send_many",
    "send_one",
]
