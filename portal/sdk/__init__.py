"""All that a plugin may import: the values, the two classes to derive from, the hooks; nothing of the portal behind.

Depends on msgspec, httpx2 and pluggy only. `portal.sdk.testing` (which needs pytest) is imported by tests alone.
"""

from portal.sdk.channel import ChannelAdapter, Measure, Part, PartKind
from portal.sdk.context import Context, Log
from portal.sdk.failures import MAX_RETRY_AFTER, SendFailed, parse_retry_after, receipt_or_failure
from portal.sdk.headers import header_problem
from portal.sdk.hookspecs import API_VERSION, PROJECT, hookimpl, hookspec
from portal.sdk.message import Attachment, Lane, Message, Receipt
from portal.sdk.provider import EVERY_CHANNEL, Capabilities, Cost, Provider, implements
from portal.sdk.settings import NoSettings, secret
from portal.sdk.tracking import CallbackRefused, CallbackRequest, EventKind, TrackerEvent

__all__ = [
    "API_VERSION",
    "EVERY_CHANNEL",
    "MAX_RETRY_AFTER",
    "PROJECT",
    "Attachment",
    "CallbackRefused",
    "CallbackRequest",
    "Capabilities",
    "ChannelAdapter",
    "Context",
    "Cost",
    "EventKind",
    "Lane",
    "Log",
    "Measure",
    "Message",
    "NoSettings",
    "Part",
    "PartKind",
    "Provider",
    "Receipt",
    "SendFailed",
    "TrackerEvent",
    "header_problem",
    "hookimpl",
    "hookspec",
    "implements",
    "parse_retry_after",
    "receipt_or_failure",
    "secret",
]
