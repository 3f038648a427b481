"""What a template makes of data, before anybody receives it."""

from __future__ import annotations

import msgspec

from portal.db import Database
from portal.errors import InvalidInput
from portal.message_templates.build import AllParts
from portal.message_templates.check import checked_kinds
from portal.message_templates.contract import Checker, Contract
from portal.message_templates.killable import Stopped
from portal.message_templates.queries import get_template, get_version
from portal.message_templates.render import Renderer, choose_locale
from portal.message_templates.schemas import MeasureOut, PreviewIn, PreviewOut
from portal.plugin_loader import Registry


async def preview(db: Database, registry: Registry, renderer: Renderer, key: str, given: PreviewIn) -> PreviewOut:
    """The rendered parts of the draft, of a version, or of parts that are not stored yet.

    What cannot be rendered is in `problems`, by part and line; so is what the contract or the channel says.
    Raises `NotFound`, and `InvalidInput` for a channel or parts that the template cannot have.
    """
    parts, contract, default = await _content(db, key, given.version)
    if given.parts is not None:
        locale = given.locale or default
        parts = {given.channel: {locale: given.parts}}
    elif given.channel not in parts:
        raise InvalidInput({"channel": f"the template has content for {', '.join(sorted(parts))}"})
    else:
        locale = choose_locale(parts[given.channel], given.locale, default)
    kinds = checked_kinds({given.channel: {locale: parts[given.channel][locale]}}, registry)[given.channel]
    data = contract.example() if given.data is None else given.data
    problems = Checker(contract).check(data)
    try:
        made = await renderer.render_untrusted(parts[given.channel][locale], kinds, data, locale=locale)
    except Stopped as error:
        raise InvalidInput({"parts": str(error)}) from None
    problems |= made.problems
    adapter = registry.channels[given.channel]
    if not made.problems:
        problems |= adapter.validate(made.parts)
    size = adapter.measure(made.parts) if not made.problems else None
    return PreviewOut(
        channel=given.channel,
        locale=locale,
        parts=made.parts,
        problems=problems,
        measure=MeasureOut(size.unit, size.amount, size.limit, size.detail) if size else None,
        data=data,
    )


async def _content(db: Database, key: str, version: int | None) -> tuple[AllParts, Contract, str]:
    """Parts as written, contract and default locale of the draft or of a version."""
    async with db.read() as conn:
        if version is not None:
            old = await get_version(conn, key, version)
            return old.source, msgspec.convert(old.contract, Contract), old.default_locale
        row = await get_template(conn, key)
        return row.draft["parts"], msgspec.convert(row.draft["contract"], Contract), row.default_locale
