"""The contract of a template: which variables it needs, of which type, and the check of data against it.

A contract is taken from the templates themselves (`infer`), may be edited by their author, and is compiled once
(`Checker`): good data pass through one msgspec conversion in about a microsecond; only bad data take the slow path that
words every fault.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Iterable
from datetime import date, datetime
from difflib import get_close_matches
from typing import Annotated, Any, Literal

import msgspec
from jinja2 import nodes
from msgspec import Meta, Struct

VariableType = Literal["any", "string", "integer", "number", "boolean", "date", "datetime", "url", "list", "object"]

MAX_TEXT = 100_000
MAX_ITEMS = 10_000
MAX_INTEGER = 2**63 - 1
URL = r"^https?://[^\s/$.?#<>\"'][^\s<>\"']*$"
NAME = r"^(?!\d)\w{1,64}$"


class Variable(Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One variable. `fields` belong to an object (none: any), `items` describes the items of a list (none: any).

    `any` is a text, a number or true/false: what a template shows when its author did not say more.
    """

    name: Annotated[str, Meta(max_length=64)] = ""
    type: VariableType = "any"
    required: bool = True
    example: Any = None
    description: Annotated[str, Meta(max_length=500)] = ""
    fields: list[Variable] = []
    items: Variable | None = None
    extra: bool = False


class Contract(Struct, kw_only=True, forbid_unknown_fields=True):
    """All variables of a template. With `extra`, data may hold names that the contract does not know."""

    variables: Annotated[list[Variable], Meta(max_length=200)] = []
    extra: bool = False

    def example(self) -> dict[str, Any]:
        """Data that fit: each variable's example, or one of its type."""
        return {variable.name: _example(variable) for variable in self.variables}


def _example(variable: Variable) -> Any:
    if variable.example is not None:
        return variable.example
    match variable.type:
        case "object":
            return {field.name: _example(field) for field in variable.fields}
        case "list":
            item = variable.items
            return [_example(item) for _ in range(2)] if item is not None else []
        case kind:
            return _EXAMPLES.get(kind, variable.name or "text")


_EXAMPLES: dict[str, Any] = {
    "integer": 3, "number": 12.5, "boolean": True, "date": "2026-01-31", "datetime": "2026-01-31T09:30:00Z",
    "url": "https://example.com/",
}  # fmt: skip


# --- checking a contract that somebody wrote --------------------------------------------------------------------------


def problems_of(contract: Contract, path: str = "contract") -> dict[str, str]:
    """Field → what is wrong with a contract; empty when it can be compiled."""
    found: dict[str, str] = {}
    _look_at(contract.variables, f"{path}.variables", found, 1)
    return found


def _look_at(variables: list[Variable], path: str, found: dict[str, str], depth: int) -> None:
    seen: set[str] = set()
    for position, variable in enumerate(variables):
        where = f"{path}[{position}]"
        if not re.match(NAME, variable.name) or variable.name.startswith("_"):
            found[f"{where}.name"] = "a name of letters, digits and underscores that begins with a letter"
        elif variable.name in seen:
            found[f"{where}.name"] = f"{variable.name} stands twice"
        seen.add(variable.name)
        _look_inside(variable, where, found, depth)


def _look_inside(variable: Variable, where: str, found: dict[str, str], depth: int) -> None:
    if depth > 8:
        found[where] = "nested at most 8 deep"
        return
    if variable.fields and variable.type != "object":
        found[f"{where}.fields"] = "only an object has fields"
    if variable.items is not None and variable.type != "list":
        found[f"{where}.items"] = "only a list has items"
    if variable.example is not None:
        faults = Checker(Contract(variables=[_named(variable, "example")])).check({"example": variable.example})
        found.update({f"{where}.{path.removeprefix('data.')}": expected for path, expected in faults.items()})
    _look_at(variable.fields, f"{where}.fields", found, depth + 1)
    if variable.items is not None:
        _look_inside(variable.items, f"{where}.items", found, depth + 1)


def _named(variable: Variable, name: str) -> Variable:
    return msgspec.structs.replace(variable, name=name, example=None)


# --- checking data ----------------------------------------------------------------------------------------------------


class Checker:
    """A compiled contract. `check(data)` says what is wrong, field by field."""

    __slots__ = ("_convert", "contract")

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        shape = _struct("data", contract.variables, contract.extra)
        self._convert: Callable[..., Any] = msgspec.convert if shape is None else _converter(shape)

    def check(self, data: dict[str, Any]) -> dict[str, str]:
        """Path → what was expected, for everything wrong with `data`; empty when they fit the contract."""
        try:
            self._convert(data)
        except (msgspec.ValidationError, RecursionError, OverflowError) as error:
            return self._explain(data, error)
        return {}

    def _explain(self, data: dict[str, Any], error: Exception) -> dict[str, str]:
        found: dict[str, str] = {}
        _explain_object(data, self.contract.variables, self.contract.extra, "data", found)
        return found or {"data": str(error)}


def _converter(shape: Any) -> Callable[[Any], Any]:
    convert = msgspec.convert
    return lambda data: convert(data, shape)


def _struct(name: str, variables: list[Variable], extra: bool) -> Any:
    """A struct that accepts exactly what the variables describe. Its fields are renamed, so that any name will do."""
    fields: list[Any] = []
    for position, variable in enumerate(variables):
        field, kind = f"f{position}", _type(variable)
        fields.append((field, kind) if variable.required else (field, kind | None, None))
    names = {f"f{position}": variable.name for position, variable in enumerate(variables)}
    return msgspec.defstruct(
        name, fields, rename=names, kw_only=True, forbid_unknown_fields=not extra, gc=False, namespace=None
    )


_Text = Annotated[str, Meta(max_length=MAX_TEXT)]
_Integer = Annotated[int, Meta(ge=-MAX_INTEGER, le=MAX_INTEGER)]
_PLAIN: dict[str, Any] = {
    "any": _Text | _Integer | float | bool,
    "string": _Text,
    "integer": _Integer,
    "number": _Integer | float,
    "boolean": bool,
    "date": date,
    "datetime": datetime,
    "url": Annotated[str, Meta(pattern=URL, max_length=2_000)],
}


def _type(variable: Variable) -> Any:
    if variable.type == "list":
        item: Any = Any if variable.items is None else _type(variable.items)
        if variable.items is not None and not variable.items.required:
            item = item | None
        return Annotated[types.GenericAlias(list, (item,)), Meta(max_length=MAX_ITEMS)]
    if variable.type == "object":
        if not variable.fields:
            return dict[str, Any]
        return _struct(variable.name or "item", variable.fields, variable.extra)
    return _PLAIN[variable.type]


# --- wording what is wrong --------------------------------------------------------------------------------------------

_EXPECTED = {
    "any": "a text, a number or true/false",
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "date": "a date such as 2026-01-31",
    "datetime": "a date and time such as 2026-01-31T09:30:00Z",
    "url": "a web address that begins with https:// or http://",
    "list": "a list",
    "object": "an object",
}


def _got(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true/false"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "text" if value else "an empty text"
    return "a list" if isinstance(value, list) else "an object"


def _explain_object(value: Any, variables: list[Variable], extra: bool, path: str, found: dict[str, str]) -> None:
    if not isinstance(value, dict):
        found[path] = f"expected an object, got {_got(value)}"
        return
    known = {variable.name: variable for variable in variables}
    for variable in variables:
        if variable.name in value:
            _explain_value(value[variable.name], variable, f"{path}.{variable.name}", found)
        elif variable.required:
            found[f"{path}.{variable.name}"] = f"expected {_EXPECTED[variable.type]}, and it is missing"
    for name in () if extra else value:
        if name not in known:
            found[f"{path}.{str(name)[:64]}"] = _unknown(str(name)[:64], known)


def _unknown(name: str, known: Iterable[str]) -> str:
    names = list(known)
    near = get_close_matches(name, names, n=1)
    if near:
        return f"the template has no such variable; did you mean {near[0]}?"
    return f"the template has no such variable; it has {', '.join(names) or 'none'}"


def _explain_value(value: Any, variable: Variable, path: str, found: dict[str, str]) -> None:
    if value is None and not variable.required:
        return
    if variable.type == "object":
        if variable.fields or not isinstance(value, dict):
            _explain_object(value, variable.fields, variable.extra, path, found)
        return
    if variable.type == "list":
        _explain_list(value, variable, path, found)
        return
    try:
        msgspec.convert(value, _PLAIN[variable.type])
    except (msgspec.ValidationError, OverflowError):
        found[path] = _wrong(value, variable.type)


def _wrong(value: Any, kind: str) -> str:
    if isinstance(value, str) and kind in ("any", "string"):
        return f"expected at most {MAX_TEXT} characters, got {len(value)}"
    if isinstance(value, int) and not isinstance(value, bool) and kind in ("any", "integer", "number"):
        return f"expected {_EXPECTED[kind]} that fits in 64 bits"
    return f"expected {_EXPECTED[kind]}, got {_got(value)}"


def _explain_list(value: Any, variable: Variable, path: str, found: dict[str, str]) -> None:
    if not isinstance(value, list):
        found[path] = f"expected a list, got {_got(value)}"
    elif len(value) > MAX_ITEMS:
        found[path] = f"expected at most {MAX_ITEMS} items, got {len(value)}"
    elif variable.items is not None:
        for position, item in enumerate(value):
            _explain_value(item, variable.items, f"{path}[{position}]", found)
            if len(found) >= 20:
                return


# --- taking a contract from templates ---------------------------------------------------------------------------------


class Need:
    """What the templates showed about one name so far."""

    __slots__ = ("demanded", "example", "fields", "item", "kind")

    def __init__(self) -> None:
        self.example: Any = None
        self.kind = "any"
        self.demanded = False
        self.fields: dict[str, Need] = {}
        self.item: Need | None = None

    def field(self, name: str) -> Need:
        self.kind = "object"
        return self.fields.setdefault(name, Need())

    def items(self) -> Need:
        self.kind = "list"
        if self.item is None:
            self.item = Need()
            self.item.demanded = True
        return self.item

    def suggest(self, kind: str) -> None:
        if self.kind == "any":
            self.kind = kind

    def as_variable(self, name: str) -> Variable:
        return Variable(
            name=name,
            type=self.kind,  # type: ignore[arg-type]  # only words of VariableType are suggested
            required=self.demanded,
            example=self.example if self.kind == "any" else None,
            fields=[need.as_variable(key) for key, need in self.fields.items()],
            items=self.item.as_variable("") if self.item is not None else None,
        )


NUMBER_FILTERS = frozenset({"number", "currency", "percent", "round", "abs", "int", "float"})
LIST_FILTERS = frozenset({"join", "map", "selectattr", "rejectattr", "sort", "sum", "min", "max"})


def infer(trees: Iterable[nodes.Template]) -> Contract:
    """The contract of templates: every name they use, as an object where they use its fields, as a list where they
    loop over it; not required when every use asks first whether it is given, or gives a default."""
    reading = _Reading()
    for tree in trees:
        reading.block(tree.body, {})
    return Contract(variables=[need.as_variable(name) for name, need in reading.root.fields.items()])


class _Reading:
    """Walks templates and notes what each name is used for. `names` maps loop and set names to what they stand for.

    `guarded` holds what the conditions around the present place have asked for.
    """

    def __init__(self) -> None:
        self.root = Need()
        self.guarded: list[Need] = []

    def block(self, body: list[Any], names: dict[str, Need | None]) -> None:
        names = dict(names)
        for node in body:
            self.statement(node, names)

    def statement(self, node: nodes.Node, names: dict[str, Need | None]) -> None:
        match node:
            case nodes.For():
                self.loop(node, names)
            case nodes.If():
                self.conditional(node, names)
            case nodes.Assign():
                self.expression(node.node, names)
                assert isinstance(node.target, nodes.Name)
                names[node.target.name] = self.path(node.node, names)
            case nodes.Output():
                for child in node.nodes:
                    self.expression(child, names)

    def conditional(self, node: nodes.If, names: dict[str, Need | None]) -> None:
        before = len(self.guarded)
        self.condition(node.test, names)
        self.block(node.body, names)
        for branch in node.elif_:
            self.statement(branch, names)
        # `if not name … else` shows the name in its else branch: the guard holds there too.
        self.block(node.else_, names)
        del self.guarded[before:]

    def loop(self, node: nodes.For, names: dict[str, Need | None]) -> None:
        over = node.iter
        self.expression(over, names)
        inner: dict[str, Need | None] = {**names, "loop": None}
        if isinstance(node.target, nodes.Name):
            found = self.path(self.unfiltered(over), names)
            inner[node.target.name] = found.items() if found is not None else None
        else:
            inner.update({name.name: None for name in node.target.find_all(nodes.Name)})
        if node.test is not None:
            self.condition(node.test, inner)
        self.block(node.body, inner)
        self.block(node.else_, names)

    def unfiltered(self, node: nodes.Node) -> nodes.Node:
        """The list behind filters that keep its items what they are."""
        while isinstance(node, nodes.Filter) and node.name in (
            "sort",
            "reverse",
            "selectattr",
            "rejectattr",
            "default",
            "d",
        ):
            assert node.node is not None
            node = node.node
        return node

    def condition(self, node: nodes.Node, names: dict[str, Need | None]) -> None:
        """In a condition a bare name may be missing: it is then false."""
        match node:
            case nodes.And() | nodes.Or():
                self.condition(node.left, names)
                self.condition(node.right, names)
            case nodes.Not():
                self.condition(node.node, names)
            case nodes.Name() | nodes.Getattr():
                self.guard(node, names)
            case _:
                self.expression(node, names)

    def guard(self, node: nodes.Node, names: dict[str, Need | None]) -> None:
        """This place asks whether the name is given: the name itself is not demanded, what it belongs to is."""
        if (found := self.path(node, names)) is not None:
            self.guarded.append(found)
        if isinstance(node, nodes.Getattr):
            self.expression(node.node, names)

    def expression(self, node: nodes.Node, names: dict[str, Need | None]) -> None:
        match node:
            case nodes.Name() | nodes.Getattr() | nodes.Getitem():
                if (found := self.path(node, names)) is not None and found not in self.guarded:
                    found.demanded = True
                if isinstance(node, nodes.Getattr):
                    self.expression(node.node, names)
                elif isinstance(node, nodes.Getitem):
                    self.expression(node.node, names)
                    self.expression(node.arg, names)
            case nodes.CondExpr():
                before = len(self.guarded)
                self.condition(node.test, names)
                self.expression(node.expr1, names)
                if node.expr2 is not None:
                    self.expression(node.expr2, names)
                del self.guarded[before:]
            case nodes.Test():
                self.test(node, names)
            case nodes.Filter():
                self.filter(node, names)
            case nodes.Call():
                self.call(node, names)
            case _:
                if isinstance(node, (nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Neg)):
                    self.suggest(node, "number", names)
                for child in node.iter_child_nodes():
                    self.expression(child, names)

    def suggest(self, node: nodes.Node, kind: str, names: dict[str, Need | None]) -> None:
        for child in node.iter_child_nodes():
            if (found := self.path(child, names)) is not None:
                found.suggest(kind)

    def test(self, node: nodes.Test, names: dict[str, Need | None]) -> None:
        asked = node.name in ("defined", "undefined") and isinstance(node.node, (nodes.Name, nodes.Getattr))
        (self.guard if asked else self.expression)(node.node, names)
        for argument in node.args:
            self.expression(argument, names)

    def filter(self, node: nodes.Filter, names: dict[str, Need | None]) -> None:
        assert node.node is not None
        if node.name in ("default", "d") and isinstance(node.node, (nodes.Name, nodes.Getattr)):
            before = len(self.guarded)
            self.guard(node.node, names)
            del self.guarded[before:]
        else:
            self.expression(node.node, names)
        for argument in [*node.args, *(keyword.value for keyword in node.kwargs)]:
            self.expression(argument, names)
        if (found := self.path(node.node, names)) is None:
            return
        if node.name in NUMBER_FILTERS:
            found.suggest("number")
        elif node.name in LIST_FILTERS:
            self.list_filter(node, found)
        elif node.name in ("items", "dictsort"):
            found.suggest("object")
        elif node.name in ("date", "time", "datetime"):
            # Dates and instants both fit: the type stays open, the example is one that works.
            found.example = _EXAMPLES["datetime"]

    def list_filter(self, node: nodes.Filter, found: Need) -> None:
        item = found.items()
        named = [keyword.value for keyword in node.kwargs if keyword.key == "attribute"]
        if node.name in ("selectattr", "rejectattr"):
            named = node.args[:1]
        if named and isinstance(named[0], nodes.Const):
            for key in str(named[0].value).split("."):
                item = item.field(key)
                item.demanded = item.demanded or node.name not in ("selectattr", "rejectattr")

    def call(self, node: nodes.Call, names: dict[str, Need | None]) -> None:
        for argument in node.args:
            self.expression(argument, names)
            if (found := self.path(argument, names)) is not None:
                found.suggest("integer")
        if isinstance(node.node, nodes.Getattr) and (found := self.path(node.node.node, names)) is not None:
            found.suggest("object")

    def path(self, node: nodes.Node, names: dict[str, Need | None]) -> Need | None:
        """What a name, or a field of a name, stands for; None for what is not data of its own."""
        match node:
            case nodes.Name():
                return names[node.name] if node.name in names else self.root.field(node.name)
            case nodes.Getattr():
                found = self.path(node.node, names)
                return found.field(node.attr) if found is not None else None
            case nodes.Getitem():
                found = self.path(node.node, names)
                if found is None or not isinstance(node.arg, nodes.Const):
                    return None
                return found.field(node.arg.value) if isinstance(node.arg.value, str) else None
        return None


def undeclared(found: Contract, declared: Contract) -> list[str]:
    """Names that the templates use and the declared contract does not have, as dotted paths."""
    return [] if declared.extra else sorted(_undeclared(found.variables, declared.variables, ""))


def _undeclared(found: list[Variable], declared: list[Variable], path: str) -> Iterable[str]:
    known = {variable.name: variable for variable in declared}
    for variable in found:
        where = f"{path}{variable.name}"
        given = known.get(variable.name)
        if given is None:
            yield where
        elif given.fields and not given.extra:
            yield from _undeclared(variable.fields, given.fields, f"{where}.")
        elif given.items is not None and given.items.fields and not given.items.extra and variable.items is not None:
            yield from _undeclared(variable.items.fields, given.items.fields, f"{where}[].")


def unused(found: Contract, declared: Contract) -> list[str]:
    """Declared variables that no part uses: harmless, and worth a word to the author."""
    names = {variable.name for variable in found.variables}
    return [variable.name for variable in declared.variables if variable.name not in names]


def merged(found: Contract, kept: Contract) -> Contract:
    """The contract of the templates as they are now, with what the author once said about names that are still used."""
    known = {variable.name: variable for variable in kept.variables}
    return Contract(
        variables=[_merged(variable, known.get(variable.name)) for variable in found.variables], extra=kept.extra
    )


def _merged(found: Variable, kept: Variable | None) -> Variable:
    if kept is None:
        return found
    return (
        kept
        if kept.type not in ("object", "list") or not (found.fields or found.items)
        else msgspec.structs.replace(
            found, required=kept.required, example=kept.example, description=kept.description, extra=kept.extra
        )
    )
