"""A draft made ready: checked against its channels, built in a child, its contract settled. Stores nothing."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from portal.errors import InvalidInput
from portal.message_templates.build import AllParts, BuildRequest, Kinds
from portal.message_templates.check import check_trial, checked_kinds
from portal.message_templates.contract import Contract, Variable, merged, problems_of, undeclared, unused
from portal.message_templates.killable import Killable, Stopped
from portal.plugin_loader import Registry


class Draft(Struct, kw_only=True):
    """Everything a version is made of. `source` is as written, `parts` is what rendering starts from."""

    source: AllParts
    parts: AllParts
    kinds: dict[str, Kinds]
    contract: Contract
    default_locale: str
    warnings: dict[str, str]

    def stored(self) -> dict[str, Any]:
        """As the column `draft` keeps it."""
        return {"parts": self.source, "contract": msgspec.to_builtins(self.contract)}


async def prepare(
    parts: AllParts,
    *,
    registry: Registry,
    killable: Killable,
    declared: Contract | list[Variable] | None = None,
    kept: Contract | None = None,
    default_locale: str | None = None,
) -> Draft:
    """The draft of these parts; raises `InvalidInput` naming the field, and the line where it is a template.

    `declared` is a contract that the author gives now: it must cover every name. `kept` is the one of the draft before:
    what it says about names that are still used is taken over.
    """
    contract = Contract(variables=declared) if isinstance(declared, list) else declared
    kinds = checked_kinds(parts, registry)
    _refuse(problems_of(contract) if contract is not None else {})
    try:
        built = await killable.build(BuildRequest(parts=parts, kinds=kinds, contract=contract))
    except Stopped as error:
        raise InvalidInput({"parts": str(error)}) from None
    _refuse(built.problems)
    warnings = dict(built.warnings)
    if contract is None:
        contract = merged(built.contract, kept) if kept is not None else built.contract
    else:
        _compare(built.contract, contract, warnings)
    _refuse(check_trial(built.trial, built.parts, registry))
    return Draft(
        source=parts,
        parts=built.parts,
        kinds=kinds,
        contract=contract,
        default_locale=_default_locale(parts, default_locale),
        warnings=warnings,
    )


def _refuse(problems: dict[str, str]) -> None:
    if problems:
        raise InvalidInput(problems)


def _compare(found: Contract, declared: Contract, warnings: dict[str, str]) -> None:
    if names := undeclared(found, declared):
        raise InvalidInput({"contract": f"the templates use {', '.join(names)}, which the contract does not declare"})
    for name in unused(found, declared):
        warnings[f"contract.{name}"] = "no part uses this variable"


def _default_locale(parts: AllParts, wanted: str | None) -> str:
    have = sorted({locale for locales in parts.values() for locale in locales})
    if wanted is not None:
        if wanted not in have:
            raise InvalidInput({"default_locale": f"expected a locale that has parts: {', '.join(have)}"})
        return wanted
    return "en" if "en" in have else have[0]
