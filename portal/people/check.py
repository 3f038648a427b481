"""Whether what is said of a person can be stored; every problem names its field. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from portal.errors import InvalidInput
from portal.people.schemas import AddressIn, ExternalIdIn
from portal.plugin_loader import Registry


def normalised(channel: str, value: str, registry: Registry) -> str:
    """The one form in which the channel stores this address; raises `InvalidInput` for the fields channel and value."""
    adapter = registry.channels.get(channel)
    if adapter is None:
        raise InvalidInput({"channel": f"expected one of {', '.join(sorted(registry.channels)) or 'no channel'}"})
    try:
        return adapter.normalise(value)
    except ValueError as error:
        raise InvalidInput({"value": str(error)}) from None


def checked_addresses(given: Sequence[AddressIn], registry: Registry, problems: dict[str, str]) -> list[str]:
    """The normalised values, in order; what is wrong goes to `problems` as `addresses[0].value`."""
    values: list[str] = []
    seen: dict[tuple[str, str], int] = {}
    for position, address in enumerate(given):
        path = f"addresses[{position}]"
        try:
            value = normalised(address.channel, address.value, registry)
        except InvalidInput as error:
            problems.update({f"{path}.{field}": expected for field, expected in error.fields.items()})
            value = ""
        place = (address.channel, value)
        if value and place in seen:
            problems[f"{path}.value"] = f"the same as addresses[{seen[place]}]"
        seen.setdefault(place, position)
        values.append(value)
    return values


def check_external_ids(given: Sequence[ExternalIdIn], problems: dict[str, str]) -> None:
    """Each id once, and none that a database would store in another form."""
    seen: set[tuple[str, str]] = set()
    for position, each in enumerate(given):
        path = f"external_ids[{position}]"
        if (each.source, each.id) in seen:
            problems[path] = "stands twice"
        for field, text in (("source", each.source), ("id", each.id)):
            if text != text.strip() or not text.isprintable():
                problems[f"{path}.{field}"] = "expected a text without blanks around it and without control characters"
        seen.add((each.source, each.id))


def check_timezone(timezone: object, problems: dict[str, str]) -> None:
    """A name of the time zone database."""
    if not isinstance(timezone, str):
        return
    try:
        ZoneInfo(timezone)
    except (KeyError, ValueError, OSError):
        problems["timezone"] = "expected the name of a time zone, such as Europe/Vienna"


def check_name(name: object, problems: dict[str, str]) -> None:
    """One line: names end up in headers and tables."""
    if isinstance(name, str) and name and not name.isprintable():
        problems["name"] = "expected one line without control characters"
