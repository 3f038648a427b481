"""The template language: the part of Jinja that authors may use, and its compiler.

A template is parsed by Jinja, checked against an allow-list of constructs, rewritten so that all work is metered
(`filters.py`), and compiled for a sandboxed environment in which an attribute is a key of an object of the data and
nothing else: no method, no Python attribute is ever reached. What a template can cost is bounded by three numbers:
its size and nodes (checked here), its steps and its output (checked while it renders).
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Any, NoReturn

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, nodes
from jinja2.exceptions import TemplateError, TemplateRuntimeError
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing
from jinja2.visitor import NodeTransformer
from markupsafe import Markup

from portal.message_templates import filters
from portal.message_templates.filters import TooCostly

KINDS = ("text", "html", "markdown", "json")
MAX_SOURCE = 256_000
MAX_NODES = 5_000
MAX_DEPTH = 40
MAX_LOOPS = 2
MAX_OUTPUT = 1_000_000

LOOP_FACTS = frozenset({"index", "index0", "revindex", "revindex0", "first", "last", "length"})
RESERVED = frozenset({"self", "super", "caller", "varargs", "kwargs", "loop", "range"})
ALLOWED: frozenset[type[nodes.Node]] = frozenset(
    {
        nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.For, nodes.Assign,
        nodes.Name, nodes.Const, nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.List, nodes.Tuple, nodes.Keyword,
        nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not,
        nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Neg, nodes.Pos, nodes.Concat,
        nodes.Filter, nodes.Test, nodes.Call,
    }
)  # fmt: skip
REFUSED_WORDS = {
    nodes.Macro: "macro", nodes.CallBlock: "call", nodes.Import: "import", nodes.FromImport: "import",
    nodes.Include: "include", nodes.Extends: "extends", nodes.Block: "block", nodes.FilterBlock: "filter blocks",
    nodes.AssignBlock: "set blocks", nodes.With: "with", nodes.Pow: "**", nodes.Dict: "objects written in place",
    nodes.ScopedEvalContextModifier: "autoescape", nodes.Scope: "autoescape", nodes.NSRef: "namespace",
}  # fmt: skip


class Refused(Exception):
    """The source is not a template we take. `line` counts from 1."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(f"line {line}: {message}")
        self.message = message
        self.line = line


class Missing(StrictUndefined):
    """A variable that was not given: an error wherever it is shown or compared, and simply false in an `if`."""

    __slots__ = ()

    def __bool__(self) -> bool:  # type: ignore[override]  # strict everywhere else
        return False


class Scope(dict[str, Any]):
    """The variables of one render, in the shape that compiled Jinja code expects of its context."""

    __slots__ = ("exported_vars", "resolve_or_missing", "vars")

    def __init__(self, data: dict[str, Any]) -> None:
        super().__init__(data)
        self.resolve_or_missing = self.__getitem__
        self.vars: dict[str, Any] = {}
        self.exported_vars: set[str] = set()

    def __missing__(self, key: str) -> Any:
        return missing


class _Environment(ImmutableSandboxedEnvironment):
    """Attributes and items are looked up in the data only; arithmetic goes through the meter."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        if type(obj) is dict:
            found = obj.get(attribute, missing)
            return found if found is not missing else Missing(obj=obj, name=attribute)
        if isinstance(obj, LoopContext) and attribute in LOOP_FACTS:
            return getattr(obj, attribute)
        return Missing(obj=obj, name=attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if type(obj) is dict and isinstance(argument, str):
            return self.getattr(obj, argument)
        if isinstance(obj, (list, tuple, str)) and isinstance(argument, slice):
            filters.charge(1 + (len(obj) >> 4))
            return obj[argument]
        if isinstance(obj, (list, tuple, str)) and type(argument) is int and -len(obj) <= argument < len(obj):
            return obj[argument]
        return Missing(obj=obj, name=argument)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        return filters.add(left, right) if operator == "+" else filters.arithmetic(operator, left, right)

    def call(self, context: Any, obj: Any, /, *args: Any, **kwargs: Any) -> NoReturn:
        raise TemplateRuntimeError("Nothing can be called.")

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return False


def _shown(value: Any) -> Any:
    """What `{{ value }}` writes."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple, dict)):
        raise TemplateRuntimeError("A list or an object cannot be shown: loop over it, or use the filter join.")
    return value


def _shown_in_json(value: Any) -> Any:
    """What `{{ value }}` writes between the quotes of a JSON string; `tojson` writes a whole JSON value."""
    shown = _shown(value)
    return (
        shown
        if not isinstance(shown, str) or isinstance(shown, Markup)
        else json.dumps(shown, ensure_ascii=False)[1:-1]
    )


def _environment(kind: str) -> _Environment:
    made = _Environment(
        undefined=Missing,
        autoescape=kind == "html",
        finalize=_shown_in_json if kind == "json" else _shown,
        optimized=False,
        cache_size=0,
    )
    made.globals.clear()
    made.filters = {**filters.FILTERS, **filters.FILTERS_BY_KIND.get(kind, {}), **_INTERNAL}
    made.tests = dict(filters.TESTS)
    return made


# Reached only by the rewriting below: a name that begins with an underscore is refused in a source.
_INTERNAL: dict[str, Callable[..., Any]] = {
    "_loop": filters.loop,
    "_range": filters.bounded_range,
    "_concat": filters.concat,
    "_scalar": filters.scalar,
    "_haystack": filters.haystack,
}
_ENVIRONMENTS = {kind: _environment(kind) for kind in KINDS}


def parse(source: str, kind: str) -> nodes.Template:
    """The syntax tree of a source that keeps to the language; raises `Refused` otherwise."""
    if len(source) > MAX_SOURCE:
        raise Refused(f"At most {MAX_SOURCE} characters; this has {len(source)}.", 1)
    try:
        tree = _ENVIRONMENTS[kind].parse(source)
    except TemplateSyntaxError as error:
        raise Refused(error.message or "This is not a template.", error.lineno) from None
    except RecursionError:
        raise Refused("This is nested too deeply.", 1) from None
    _check(tree, kind)
    return tree


class Program:
    """One part of one version, compiled. `render` is the hot path."""

    __slots__ = ("_metered", "_root", "_template")

    def __init__(self, source: str, kind: str) -> None:
        """Raises `Refused` when the source does not keep to the language."""
        tree = parse(source, kind)
        environment = _ENVIRONMENTS[kind]
        self._metered = _is_metered(tree)
        rewritten = _Meters().visit(tree)
        filters.refill()  # constant filters are evaluated while compiling
        try:
            code = environment.compile(rewritten, name="template", filename="<template>")
            self._template = Template.from_code(environment, code, {})
        except (TemplateError, SyntaxError, RecursionError, MemoryError, ValueError) as error:
            raise Refused(f"This cannot be compiled: {error}", getattr(error, "lineno", None) or 1) from None
        self._root = self._template.root_render_func

    def render(self, data: dict[str, Any], *, locale: str = "en", steps: int = filters.MAX_STEPS) -> str:
        """The text for these data. Raises `TemplateError` (see `line_of`) when it cannot be made or costs too much."""
        if self._metered:
            filters.refill(steps, locale)
        pieces = []
        left = MAX_OUTPUT
        for piece in self._root(Scope(data)):  # type: ignore[arg-type]  # Scope has what the compiled code uses
            left -= len(piece)
            if left < 0:
                raise TooCostly(f"This makes a text of more than {MAX_OUTPUT} characters.")
            pieces.append(piece)
        return "".join(pieces)

    def line_of(self, error: BaseException) -> int:
        """The line of the source, from 1, in which a failed render stopped."""
        line = 1
        trace = error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == "<template>":
                line = self._template.get_corresponding_lineno(trace.tb_lineno)
            trace = trace.tb_next
        return line


# --- the check --------------------------------------------------------------------------------------------------------


def _check(tree: nodes.Template, kind: str) -> None:
    environment = _ENVIRONMENTS[kind]
    count = 0
    todo: list[tuple[nodes.Node, int, int]] = [(tree, 0, 0)]
    while todo:
        node, depth, loops = todo.pop()
        count += 1
        if count > MAX_NODES:
            raise Refused(f"This has more than {MAX_NODES} constructs; make it simpler.", node.lineno or 1)
        if depth > MAX_DEPTH:
            raise Refused("This is nested too deeply.", node.lineno or 1)
        loops += isinstance(node, nodes.For)
        if (problem := _problem(node, environment, loops)) is not None:
            raise Refused(problem, node.lineno or 1)
        todo.extend((child, depth + 1, loops) for child in _children(node))


def _children(node: nodes.Node) -> Iterator[nodes.Node]:
    """The children to check; a call that will be rewritten is judged as a whole."""
    if isinstance(node, nodes.Call) and _call_kind(node) == "range":
        return iter(node.args)
    return node.iter_child_nodes()


def _problem(node: nodes.Node, environment: _Environment, loops: int) -> str | None:
    if type(node) not in ALLOWED:
        return f"“{REFUSED_WORDS.get(type(node), type(node).__name__.lower())}” is not part of the template language."
    if isinstance(node, (nodes.Filter, nodes.Test)):
        return _applied_problem(node, environment)
    match node:
        case nodes.For():
            return _loop_problem(node, loops)
        case nodes.Name():
            return _name_problem(node.name, stored=node.ctx != "load")
        case nodes.Getattr():
            return _name_problem(node.attr, stored=False)
        case nodes.Getitem(arg=nodes.Const(value=str(key))):
            return _name_problem(key, stored=False, identifier=False)
        case nodes.Call() if _call_kind(node) is None:
            return "Nothing can be called but range(…) and items()."
        case nodes.Assign() if not isinstance(node.target, nodes.Name):
            return "set takes one name."
    return None


def _loop_problem(node: nodes.For, loops: int) -> str | None:
    if node.recursive:
        return "A recursive loop is not part of the template language."
    return f"Loops are nested at most {MAX_LOOPS} deep." if loops > MAX_LOOPS else None


def _applied_problem(node: nodes.Filter | nodes.Test, environment: _Environment) -> str | None:
    if node.dyn_args is not None or node.dyn_kwargs is not None:
        return "Arguments are written out; * and ** are not part of the template language."
    what, known = ("filter", environment.filters) if isinstance(node, nodes.Filter) else ("test", environment.tests)
    if node.name.startswith("_") or node.name not in known:
        return _unknown(what, node.name, known)
    return None


def _name_problem(name: str, *, stored: bool, identifier: bool = True) -> str | None:
    if name.startswith("_"):
        return f"{name} begins with an underscore, which no variable may."
    if (stored and name in RESERVED) or (name in RESERVED and name != "loop"):
        return f"{name} is a word of the template language."
    if identifier and unicodedata.normalize("NFKC", name) != name:
        return f"{name} is written with look-alike characters."
    return None


def _unknown(what: str, name: str, known: dict[str, Any]) -> str:
    offered = [key for key in known if not key.startswith("_")]
    near = get_close_matches(name, offered, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(offered))}."
    return f"There is no {what} {name}; {hint}"


def _call_kind(node: nodes.Call) -> str | None:
    if node.kwargs or node.dyn_args is not None or node.dyn_kwargs is not None:
        return None
    if isinstance(node.node, nodes.Name) and node.node.name == "range" and 1 <= len(node.args) <= 3:
        return "range"
    if isinstance(node.node, nodes.Getattr) and node.node.attr == "items" and not node.args:
        return "items"
    return None


# --- the meter is woven in --------------------------------------------------------------------------------------------

_FREE = (nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Getattr, nodes.If, nodes.Const)


def _is_metered(tree: nodes.Template) -> bool:
    """False for a template of text, variables and plain conditions, which cannot cost more than its own size."""
    return any(not isinstance(node, _FREE) for node in tree.find_all(nodes.Node))


def _weight(node: nodes.Node) -> int:
    """Steps that one pass over this node's children costs, without its inner loops, which pay for themselves."""
    # A filter is a call in Python and costs several times what other nodes do.
    weight = 4 if isinstance(node, nodes.Filter) else 1
    for child in node.iter_child_nodes():
        weight += _weight(child)
        if isinstance(child, nodes.TemplateData):
            weight += len(child.data) >> 8
    return weight


class _Meters(NodeTransformer):
    """Rewrites what could run long into internal filters that charge for it."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - the visitor's own naming
        weight = sum(_weight(child) for child in node.body) + (_weight(node.test) if node.test else 0)
        self.generic_visit(node)
        node.iter = _filter("_loop", node.iter, [nodes.Const(weight)])
        return node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.expr = _filter("_scalar", node.expr)
        for operand in node.ops:
            operand.expr = _filter("_haystack" if operand.op in ("in", "notin") else "_scalar", operand.expr)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _filter("_concat", node.nodes[0], list(node.nodes[1:]))

    def visit_Call(self, node: nodes.Call) -> nodes.Node:  # noqa: N802
        if _call_kind(node) == "range":
            self.generic_visit(node)
            return _filter("_range", node.args[0], list(node.args[1:]))
        assert isinstance(node.node, nodes.Getattr)
        return _filter("items", self.visit(node.node.node))


def _filter(name: str, value: nodes.Node, args: list[nodes.Expr] | None = None) -> nodes.Filter:
    assert isinstance(value, nodes.Expr)
    made = nodes.Filter(value, name, args or [], [], None, None)
    made.set_lineno(value.lineno)
    environment = value.environment
    assert environment is not None
    return made.set_environment(environment)  # type: ignore[return-value]  # returns the node itself
