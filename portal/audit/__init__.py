"""Who did what, when, to what: entries commit with the action they tell of and are chained within a second.

It knows nothing of the actions it records.
"""

from portal.audit.models import AuditEntry, AuditHead
from portal.audit.record import record
from portal.audit.seal import Sealer
from portal.audit.verify import Report, verify

__all__ = ["AuditEntry", "AuditHead", "Report", "Sealer", "record", "verify"]
