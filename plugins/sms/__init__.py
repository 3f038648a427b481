"""The channel `sms`."""

from plugins.sms.channel import Sms
from portal.sdk import hookimpl


@hookimpl
def register_channels() -> list[type[Sms]]:
    return [Sms]
