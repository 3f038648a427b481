"""The filters and tests a template may use, and the meter that pays for them.

Everything a template does that may take more than a moment is charged in *steps*: a step is about the work of one node
of the template or of 64 characters. A render that has spent its steps stops. Because every loop, filter and comparison
is charged before or while it runs, the time of a render is bounded by its steps, whatever the template and its data are.
"""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time
from functools import lru_cache
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from jinja2 import Undefined, pass_context
from jinja2.exceptions import TemplateRuntimeError
from markupsafe import Markup, escape

MAX_STEPS = 100_000
MAX_TEXT = 500_000
MAX_NUMBER = 10**18
MAX_RANGE = 1_000
MAX_PADDING = 200


class TooCostly(TemplateRuntimeError):
    """The template asked for more work than one message may take."""


class _Meter(threading.local):
    """What is left for the render that runs in this thread. `locale` is the one whose parts are being rendered."""

    left: int = MAX_STEPS
    locale: str = "en"


meter = _Meter()


def charge(steps: int) -> None:
    """Take `steps` from this render; raise `TooCostly` when there are none left."""
    meter.left -= steps
    if meter.left < 0:
        raise TooCostly("This does more work than one message may take: shorten its loops or its data.")


def refill(steps: int = MAX_STEPS, locale: str = "en") -> None:
    """Begin a render with so many steps."""
    meter.left = steps
    meter.locale = locale


# --- values -----------------------------------------------------------------------------------------------------------


def text(value: Any) -> str:
    """A value as text, paid for. Markup stays Markup; lists and objects are not text."""
    if isinstance(value, str):
        charge(1 + (len(value) >> 6))
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple, dict)):
        raise TemplateRuntimeError("A list or an object is not text: loop over it, or use the filter join.")
    charge(1)
    return str(value)


def finished(made: str) -> str:
    """A text that was just made: paid for, and refused beyond the size of a message."""
    charge(len(made) >> 6)
    if len(made) > MAX_TEXT:
        raise TooCostly(f"A text of more than {MAX_TEXT} characters.")
    return made


def number(value: Any) -> int | float:
    """A number, or a text that holds one."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        written = text(value)[:40].strip()
        try:
            value = int(written) if written.lstrip("+-").isdecimal() else float(written)
        except ValueError:
            raise TemplateRuntimeError("A number was expected here.") from None
    return checked_number(value)


def checked_number(value: float) -> int | float:
    if not -MAX_NUMBER <= value <= MAX_NUMBER:  # also refuses NaN
        raise TooCostly("A number outside of ±10^18.")
    return value


def items_of(value: Any) -> list[Any]:
    """A list, or an object's keys, paid for per item."""
    if isinstance(value, Undefined):
        value._fail_with_undefined_error()
    if not isinstance(value, (list, tuple, dict)):
        raise TemplateRuntimeError("A list was expected here.")
    charge(1 + len(value))
    return list(value)


def scalar(value: Any) -> Any:
    """An operand of a comparison: no lists or objects, whose comparison has no bound; long texts are paid for."""
    if isinstance(value, str):
        charge(1 + (len(value) >> 6))
    elif isinstance(value, (list, tuple, dict)):
        raise TemplateRuntimeError("Lists and objects cannot be compared; compare their length or their items.")
    return value


def haystack(value: Any) -> Any:
    """The right side of `in`."""
    if isinstance(value, str):
        charge(1 + (len(value) >> 4))
    elif isinstance(value, (list, tuple)):
        charge(1 + len(value) + sum(len(item) >> 6 if isinstance(item, str) else 1 for item in value))
    return value


def loop(value: Any, weight: int) -> Any:
    """What a loop runs over: its whole cost is paid before it starts."""
    found = items_of(value)
    charge(len(found) * weight)
    return found


def bounded_range(*bounds: Any) -> list[int]:
    numbers = [int(number(bound)) for bound in bounds]
    if not 1 <= len(numbers) <= 3 or (len(numbers) == 3 and numbers[2] == 0):
        raise TemplateRuntimeError("range takes one to three numbers; the third is not 0.")
    made = range(*numbers)
    if len(made) > MAX_RANGE:
        raise TooCostly(f"range is limited to {MAX_RANGE} numbers.")
    charge(len(made))
    return list(made)


def concat(first: Any, *rest: Any) -> str:
    """The `~` operator."""
    return _joined("", [first, *rest])


def _joined(separator: Any, values: Iterable[Any]) -> str:
    made = [text(value) for value in values]
    between = text(separator)
    total = sum(map(len, made)) + len(between) * max(len(made) - 1, 0)
    if total > MAX_TEXT:
        raise TooCostly(f"A text of more than {MAX_TEXT} characters.")
    charge(total >> 6)
    if any(isinstance(piece, Markup) for piece in made):
        return escape(between).join(made)
    return between.join(made)


def add(left: Any, right: Any) -> Any:
    if isinstance(left, str) and isinstance(right, str):
        return _joined("", [left, right])
    return arithmetic("+", left, right)


_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": lambda left, right: left / right,
    "//": lambda left, right: left // right,
    "%": lambda left, right: left % right,
}


def arithmetic(operator: str, left: Any, right: Any) -> int | float:
    """Plain arithmetic on numbers; texts and lists are never multiplied or formatted by an operator."""
    for side in (left, right):
        if isinstance(side, Undefined):
            side._fail_with_undefined_error()
        if isinstance(side, bool) or not isinstance(side, (int, float)):
            raise TemplateRuntimeError(f"The operator {operator} takes numbers; use ~ to join texts.")
    charge(1)
    try:
        return checked_number(_ARITHMETIC[operator](left, right))
    except ZeroDivisionError:
        raise TemplateRuntimeError("Division by zero.") from None


# --- filters: text ----------------------------------------------------------------------------------------------------


def do_replace(value: Any, old: Any, new: Any, count: Any = None) -> str:
    source, before, after = text(value), text(old), text(new)
    times = source.count(before) if count is None else min(source.count(before), int(number(count)))
    if len(source) + max(times, 0) * len(after) > MAX_TEXT:
        raise TooCostly(f"A text of more than {MAX_TEXT} characters.")
    return finished(source.replace(before, after, times))


def do_truncate(value: Any, length: Any = 255, killwords: Any = False, end: Any = "…") -> str:
    source, limit, ending = text(value), max(int(number(length)), 0), text(end)
    if len(source) <= limit:
        return source
    kept = source[: max(limit - len(ending), 0)]
    if not killwords and " " in kept:
        kept = kept.rsplit(" ", 1)[0]
    return kept + ending


def do_indent(value: Any, width: Any = 4, first: Any = False) -> str:
    spaces = " " * _padding(width)
    lines = text(value).split("\n")
    charge(len(lines) * (1 + (len(spaces) >> 6)))
    made = ("\n" + spaces).join(lines)
    return finished(spaces + made if first else made)


def _padding(width: Any) -> int:
    asked = int(number(width))
    if not 0 <= asked <= MAX_PADDING:
        raise TooCostly(f"A width of at most {MAX_PADDING}.")
    return asked


_FORMAT = re.compile(r"%(?:%|[-+ 0#]{0,4}(\d{0,3})(?:\.(\d{1,2}))?[sdifgexX])")


def do_format(pattern: Any, *values: Any) -> str:
    """`"%.2f"|format(amount)`: the usual conversions, with widths that stay small."""
    source = text(pattern)
    rest = _FORMAT.sub("", source)
    widths = [found.group(1) for found in _FORMAT.finditer(source) if found.group(1)]
    if "%" in rest or any(int(width) > MAX_PADDING for width in widths):
        raise TemplateRuntimeError(f"format knows %s %d %i %f %g %e %x %X, with widths up to {MAX_PADDING}.")
    plain = tuple(value if isinstance(value, (int, float)) else text(value) for value in values)
    try:
        return finished(source % plain)
    except (TypeError, ValueError):
        raise TemplateRuntimeError("The format does not fit its values.") from None


_TAG = re.compile(r"<[^<>]*>")


def do_striptags(value: Any) -> str:
    return " ".join(_TAG.sub("", str(text(value))).split())


def do_nl2br(value: Any) -> Markup:
    return Markup(finished(str(escape(text(value))).replace("\n", "<br>\n")))  # noqa: S704 - escaped in this line


def do_urlencode(value: Any) -> str:
    return finished(quote(str(text(value)), safe=""))


def do_escape(value: Any) -> Markup:
    return escape(text(value))


def do_default(value: Any, instead: Any = "", boolean: Any = False) -> Any:
    if isinstance(value, Undefined) or value is None or (boolean and not value):
        return instead
    return value


def do_tojson(value: Any) -> Markup:
    _charge_deep(value, 0)
    return Markup(finished(json.dumps(value, ensure_ascii=False)))  # noqa: S704 - a mark for the JSON parts: leave as it is


def _charge_deep(value: Any, depth: int) -> None:
    if depth > 20:
        raise TooCostly("Data nested more than 20 deep.")
    if isinstance(value, Undefined):
        value._fail_with_undefined_error()
    if isinstance(value, dict):
        charge(1 + len(value))
        for item in value.values():
            _charge_deep(item, depth + 1)
    elif isinstance(value, (list, tuple)):
        charge(1 + len(value))
        for item in value:
            _charge_deep(item, depth + 1)
    elif isinstance(value, str):
        charge(1 + (len(value) >> 5))


# --- filters: lists ---------------------------------------------------------------------------------------------------


def _field(item: Any, attribute: Any) -> Any:
    for key in str(attribute).split("."):
        if not isinstance(item, dict) or key not in item:
            raise TemplateRuntimeError(f"An item of the list has no {attribute}.")
        item = item[key]
    return item


def do_join(value: Any, separator: Any = "", attribute: Any = None) -> str:
    found = items_of(value)
    return _joined(separator, found if attribute is None else [_field(item, attribute) for item in found])


def do_length(value: Any) -> int:
    if isinstance(value, Undefined):
        value._fail_with_undefined_error()
    if not isinstance(value, (str, list, tuple, dict)):
        raise TemplateRuntimeError("Only texts, lists and objects have a length.")
    return len(value)


def do_first(value: Any) -> Any:
    found = value if isinstance(value, str) else items_of(value)
    if not found:
        raise TemplateRuntimeError("The first of nothing.")
    return found[0]


def do_last(value: Any) -> Any:
    found = value if isinstance(value, str) else items_of(value)
    if not found:
        raise TemplateRuntimeError("The last of nothing.")
    return found[-1]


def do_reverse(value: Any) -> Any:
    return text(value)[::-1] if isinstance(value, str) else items_of(value)[::-1]


def do_map(value: Any, *, attribute: Any) -> list[Any]:
    return [_field(item, attribute) for item in items_of(value)]


def do_selectattr(value: Any, attribute: Any) -> list[Any]:
    return [item for item in items_of(value) if isinstance(item, dict) and item.get(str(attribute))]


def do_rejectattr(value: Any, attribute: Any) -> list[Any]:
    return [item for item in items_of(value) if not (isinstance(item, dict) and item.get(str(attribute)))]


def do_sort(value: Any, reverse: Any = False, attribute: Any = None) -> list[Any]:
    found = items_of(value)
    charge(len(found) * max(len(found).bit_length(), 1) >> 2)
    keys = [scalar(item if attribute is None else _field(item, attribute)) for item in found]
    # A comparison costs at most the longest text in it, and each item is compared about log2(n) times.
    charge(sum(len(key) >> 6 for key in keys if isinstance(key, str)) * max(len(found).bit_length(), 1))
    try:
        order = sorted(range(len(found)), key=keys.__getitem__, reverse=bool(reverse))
    except TypeError:
        raise TemplateRuntimeError("The list mixes kinds that have no order.") from None
    return [found[position] for position in order]


def _numbers(value: Any, attribute: Any) -> list[int | float]:
    return [number(item if attribute is None else _field(item, attribute)) for item in items_of(value)]


def do_sum(value: Any, attribute: Any = None) -> int | float:
    found = _numbers(value, attribute)
    return checked_number(math.fsum(found) if any(isinstance(item, float) for item in found) else sum(found))


def do_min(value: Any, attribute: Any = None) -> int | float:
    return min(_numbers(value, attribute), default=0)


def do_max(value: Any, attribute: Any = None) -> int | float:
    return max(_numbers(value, attribute), default=0)


def do_items(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, Undefined):
        value._fail_with_undefined_error()
    if not isinstance(value, dict):
        raise TemplateRuntimeError("Only an object has items.")
    charge(1 + 2 * len(value))
    return list(value.items())


def do_dictsort(value: Any) -> list[tuple[Any, Any]]:
    pairs = do_items(value)
    charge(len(pairs) * max(len(pairs).bit_length(), 1))
    return sorted(pairs, key=lambda pair: str(pair[0]))


# --- filters: numbers, money, dates -----------------------------------------------------------------------------------

# Grouping and decimal marks by language (CLDR 46, the common ones); every other language reads as English.
_NARROW = "\u202f"
_MARKS: dict[str, tuple[str, str]] = {
    "de": (".", ","), "es": (".", ","), "it": (".", ","), "nl": (".", ","), "pt": (".", ","), "da": (".", ","),
    "id": (".", ","), "tr": (".", ","), "el": (".", ","), "fr": (_NARROW, ","), "ru": ("\u00a0", ","),
    "pl": ("\u00a0", ","), "cs": ("\u00a0", ","), "sv": ("\u00a0", ","), "fi": ("\u00a0", ","), "uk": ("\u00a0", ","),
    "nb": ("\u00a0", ","), "de-ch": ("’", "."), "de-at": ("\u00a0", ","),
}  # fmt: skip
_SYMBOLS = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥", "CNY": "¥", "INR": "₹", "KRW": "₩"}
_NO_CENTS = frozenset({"JPY", "KRW", "VND", "CLP", "ISK", "HUF"})
_DATE_PATTERNS = {
    "zh": "%Y年%-m月%-d日", "ja": "%Y年%-m月%-d日", "de": "%d.%m.%Y", "fr": "%d/%m/%Y", "es": "%d/%m/%Y",
    "it": "%d/%m/%Y", "pt": "%d/%m/%Y", "nl": "%d-%m-%Y", "ru": "%d.%m.%Y", "pl": "%d.%m.%Y", "en": "%-d %B %Y",
    "en-us": "%B %-d, %Y", "sv": "%Y-%m-%d",
}  # fmt: skip


def _by_locale(table: Mapping[str, Any], locale: str) -> Any:
    """What a table says of a locale or of its language; None where it has neither."""
    tag = locale.lower()
    return table.get(tag) or table.get(tag.split("-")[0])


@lru_cache(maxsize=500)
def _marks(locale: str) -> dict[int, str] | None:
    """How to write the marks of an English number in this locale; None for the same."""
    found = _by_locale(_MARKS, locale)
    return {ord(","): found[0], ord("."): found[1]} if found else None


def do_number(value: Any, digits: Any = None) -> str:
    """`1234.5|number(2)` → `1,234.50`, with the marks of the language."""
    places = min(max(int(number(digits)), 0), 12) if digits is not None else None
    return _written(number(value), places)


def _written(amount: float, places: int | None) -> str:
    charge(5)
    plain = f"{amount:,.{places}f}" if places is not None else f"{amount:,}"
    marks = _marks(meter.locale)
    return plain.translate(marks) if marks else plain


def do_currency(value: Any, code: Any) -> str:
    """`12.5|currency("EUR")` → `€12.50`, or `12,50 €` where the amount comes first."""
    name = str(text(code)).upper()
    if not (len(name) == 3 and name.isascii() and name.isalpha()):
        raise TemplateRuntimeError('currency takes a code of three letters, such as "EUR".')
    worth = number(value)
    amount = _written(abs(worth), 0 if name in _NO_CENTS else 2)
    sign = "-" if worth < 0 else ""
    symbol = _SYMBOLS.get(name)
    if _marks(meter.locale):
        return f"{sign}{amount}\u00a0{symbol or name}"
    return f"{sign}{symbol}{amount}" if symbol else f"{sign}{name}\u00a0{amount}"


def do_percent(value: Any, digits: Any = 0) -> str:
    return do_number(number(value) * 100, digits) + "%"


_DIRECTIVES = re.compile(r"%(-?[dmYyHIMSpBbAaj%])")


def _strftime(when: date | time, pattern: Any) -> str:
    source = str(text(pattern))
    if len(source) > 100 or "%" in _DIRECTIVES.sub("", source):
        raise TemplateRuntimeError("A date format uses %d %m %Y %y %H %I %M %S %p %B %b %A %a %j only.")
    # strftime goes through the C library's locale encoding; text between the directives stays out of it.
    return _DIRECTIVES.sub(lambda found: when.strftime(found.group()), source)


def _instant(value: Any, zone: Any) -> datetime:
    charge(20)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise TemplateRuntimeError("A date was expected here, such as 2026-01-31 or 2026-01-31T09:30:00Z.")
    try:
        when = datetime.fromtimestamp(value, UTC) if not isinstance(value, str) else datetime.fromisoformat(value[:40])
        if zone is not None:
            when = (when if when.tzinfo else when.replace(tzinfo=UTC)).astimezone(_zone(str(text(zone))))
    except (ValueError, OverflowError, OSError):
        raise TemplateRuntimeError("A date was expected here, such as 2026-01-31 or 2026-01-31T09:30:00Z.") from None
    return when


def _date_pattern() -> str:
    return _by_locale(_DATE_PATTERNS, meter.locale) or "%Y-%m-%d"


@lru_cache(maxsize=600)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise TemplateRuntimeError("A time zone was expected, such as Europe/Berlin.") from None


def do_date(value: Any, format: Any = None, zone: Any = None) -> str:  # noqa: A002 - the name that template authors write
    return _strftime(_instant(value, zone), format if format is not None else _date_pattern())


def do_time(value: Any, format: Any = "%H:%M", zone: Any = None) -> str:  # noqa: A002
    return _strftime(_instant(value, zone), format)


def do_datetime(value: Any, format: Any = None, zone: Any = None) -> str:  # noqa: A002
    pattern = format if format is not None else _date_pattern() + " %H:%M"
    return _strftime(_instant(value, zone), pattern)


def do_round(value: Any, digits: Any = 0) -> int | float:
    places = min(max(int(number(digits)), 0), 12)
    made = round(number(value), places)
    return int(made) if places == 0 else made


def _for_reader(function: Callable[..., str]) -> Callable[..., str]:
    """A filter that depends on the locale: Jinja would compute it while compiling, when its value is a constant."""

    @pass_context
    def filtered(_scope: Any, *args: Any, **kwargs: Any) -> str:
        return function(*args, **kwargs)

    return filtered


FILTERS: dict[str, Callable[..., Any]] = {
    # text
    "upper": lambda value: finished(text(value).upper()),
    "lower": lambda value: finished(text(value).lower()),
    "title": lambda value: finished(text(value).title()),
    "capitalize": lambda value: finished(text(value).capitalize()),
    "trim": lambda value: text(value).strip(),
    "string": text,
    "replace": do_replace,
    "truncate": do_truncate,
    "indent": do_indent,
    "center": lambda value, width=80: finished(text(value).center(_padding(width))),
    "ljust": lambda value, width=80: finished(text(value).ljust(_padding(width))),
    "rjust": lambda value, width=80: finished(text(value).rjust(_padding(width))),
    "format": do_format,
    "striptags": do_striptags,
    "urlencode": do_urlencode,
    "escape": do_escape,
    "e": do_escape,
    "default": do_default,
    "d": do_default,
    # lists and objects
    "join": do_join,
    "length": do_length,
    "count": do_length,
    "first": do_first,
    "last": do_last,
    "reverse": do_reverse,
    "map": do_map,
    "selectattr": do_selectattr,
    "rejectattr": do_rejectattr,
    "sort": do_sort,
    "sum": do_sum,
    "min": do_min,
    "max": do_max,
    "items": do_items,
    "dictsort": do_dictsort,
    # numbers, money, dates
    "int": lambda value, default=0: int(_or(value, default)),
    "float": lambda value, default=0.0: float(_or(value, default)),
    "abs": lambda value: abs(number(value)),
    "round": do_round,
    "number": _for_reader(do_number),
    "currency": _for_reader(do_currency),
    "percent": _for_reader(do_percent),
    "date": _for_reader(do_date),
    "time": do_time,
    "datetime": _for_reader(do_datetime),
}
# Of use in one kind of part only.
FILTERS_BY_KIND: dict[str, dict[str, Callable[..., Any]]] = {"html": {"nl2br": do_nl2br}, "json": {"tojson": do_tojson}}


def _or(value: Any, default: Any) -> int | float:
    try:
        return number(value)
    except TooCostly:
        raise
    except TemplateRuntimeError:
        return number(default)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _divisible(value: Any, by: Any) -> bool:
    return arithmetic("%", value, by) == 0


TESTS: dict[str, Callable[..., bool]] = {
    "defined": lambda value: not isinstance(value, Undefined),
    "undefined": lambda value: isinstance(value, Undefined),
    "none": lambda value: value is None,
    "number": _is_number,
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "mapping": lambda value: isinstance(value, dict),
    "sequence": lambda value: isinstance(value, (list, tuple)),
    "true": lambda value: value is True,
    "false": lambda value: value is False,
    "even": lambda value: _divisible(value, 2),
    "odd": lambda value: not _divisible(value, 2),
    "divisibleby": _divisible,
    "eq": lambda value, other: bool(scalar(value) == scalar(other)),
    "equalto": lambda value, other: bool(scalar(value) == scalar(other)),
    "ne": lambda value, other: bool(scalar(value) != scalar(other)),
    "gt": lambda value, other: number(value) > number(other),
    "ge": lambda value, other: number(value) >= number(other),
    "lt": lambda value, other: number(value) < number(other),
    "le": lambda value, other: number(value) <= number(other),
    "in": lambda value, other: scalar(value) in haystack(other),
}
