"""The Redis connection, what is wrong with it, and the scripts that run inside it.

Redis holds nothing that cannot be lost: hints, locks and token buckets. Whoever uses it here asks `Kv.up` first and has
another way to go on.
"""

from portal.kv.connection import Kv, connect
from portal.kv.limiter import Limiter, Verdict
from portal.kv.trouble import Trouble, classify

__all__ = ["Kv", "Limiter", "Trouble", "Verdict", "classify", "connect"]
