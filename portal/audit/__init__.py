"""Who changed what: entries written with the change itself, chained and signed a moment later, and verified."""

from portal.audit.record import record
from portal.audit.seal import seal_pending
from portal.audit.verify import AuditVerdict, verify

__all__ = ["AuditVerdict", "record", "seal_pending", "verify"]
