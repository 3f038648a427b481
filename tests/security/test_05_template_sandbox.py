"""Row 5: templates as code. Escapes reach nothing, and no template or data keep a process busy."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import pytest
from jinja2.exceptions import TemplateError

from portal.message_templates.filters import TooCostly
from portal.message_templates.language import KINDS, Program, Refused

# Known ways out of Jinja, the sandboxed one included (CVE-2016-10745, CVE-2019-10906, CVE-2024-56201, CVE-2024-56326,
# CVE-2025-27516), and the reading of attributes that objects of Python have.
ESCAPES = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ name.__init__.__globals__ }}",
    "{{ name['__class__'] }}",
    "{{ name['_' ~ '_class_' ~ '_'] }}",
    "{{ name[('_', '_class_', '_')|join] }}",
    "{{ name|attr('__class__') }}",
    "{{ name|attr('for' ~ 'mat') }}",
    "{{ '{0.__class__}'.format(name) }}",
    "{{ '{0.__class__}'|format(name) }}",
    "{{ '{x.__class__}'.format_map({'x': name}) }}",
    "{% set f = name.format %}{{ f(name) }}",
    "{{ name|map('attr', '__class__')|list }}",
    "{{ [name]|map(attribute='__class__')|join }}",
    "{{ [name]|sort(attribute='__class__')|join }}",
    "{{ [name]|sum('__class__') }}",
    "{{ ('%c' * 3)|format(95, 95, 99) }}",
    "{{ config }}{{ request }}{{ g }}",
    "{{ self._TemplateReference__context }}",
    "{{ self.__init__.__globals__.__builtins__ }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ joiner.__init__.__globals__ }}",
    "{{ namespace.__init__ }}",
    "{{ lipsum.__globals__['os'] }}",
    "{{ lipsum(n=20000) }}",
    "{{ dict(a=1).__class__ }}",
    "{{ range.__class__ }}",
    "{{ range(3).__class__ }}",
    "{{ loop }}",
    "{% for x in [1] %}{{ loop.__class__ }}{% endfor %}",
    "{% for x in [1] %}{{ loop._iterable }}{% endfor %}",
    "{% for x in [1] %}{{ loop.cycle('a') }}{% endfor %}",
    "{% for x in [1] %}{{ loop.changed }}{{ loop['_iterator'] }}{% endfor %}",
    "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "{% import 'os' as os %}{{ os.popen('id') }}",
    "{% include '/etc/passwd' %}",
    "{% extends name %}",
    "{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}{% endcall %}",
    "{{ m.__closure__ }}",
    "{% set x = namespace(a=1) %}{% set x.a = 2 %}",
    "{% set __builtins__ = 1 %}",
    "{% filter upper %}{{ name.__class__ }}{% endfilter %}",
    "{{ name is sameas(name.__class__) }}",
    "{{ name is filter('attr') }}",
    "{{ obj.items }}{{ obj.pop }}{{ obj.update }}{{ obj.keys() }}",
    "{{ obj.clear() }}{{ items.append(1) }}{{ items.pop() }}",
    "{{ name.encode }}{{ name.join }}{{ name.upper() }}",
    "{{ items.__len__ }}{{ items.sort }}",
    "{{ none.__class__ }}{{ true.__class__ }}{{ 1 .__class__ }}",
    "{{ undefined_thing.__class__ }}",
    "{{ undefined_thing._undefined_name }}",
    "{{ environment }}{{ context }}{{ resolve }}{{ missing }}",
    "{{ name|pprint }}{{ name|xmlattr }}{{ name|random }}",
    "{{ name.ｆｏｒｍａｔ }}",
    "{{ name|safe }}",
    "{{ items|tojson }}",
    "{{ name }}{% autoescape false %}{{ name }}{% endautoescape %}",
]
TELLTALE = ("class", "function", "method", "built-in", "object at 0x", "module", "root:", "uid=", "<bound", "generator")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source", ESCAPES)
def test_an_escape_is_refused_or_writes_nothing_of_python(source: str, kind: str) -> None:
    try:
        program = Program(source, kind)
    except Refused:
        return
    data = {"name": "Ada", "obj": {"k": "v"}, "items": [1, 2]}
    try:
        made = program.render(data)
    except TemplateError as error:
        made = str(error).replace("'dict object'", "").replace("'str object'", "").replace("'list object'", "")
        made = made.replace("__class__", "")  # the name that the author wrote
    assert not [word for word in TELLTALE if word in made], made
    assert data == {"name": "Ada", "obj": {"k": "v"}, "items": [1, 2]}


class Account:
    """An object that must never get into a template; if it did, nothing of it could be read."""

    password_hash = "$argon2id$"

    def delete(self) -> str:
        return "deleted"


def test_an_object_that_slipped_into_the_data_shows_nothing() -> None:
    for source in ("{{ a.password_hash }}", "{{ a['password_hash'] }}", "{{ a.delete }}"):
        with pytest.raises(TemplateError):
            Program(source, "text").render({"a": Account()})


BIG = "x" * 400_000
ROWS = [{"n": str(number), "t": "abc" * 20} for number in range(10_000)]
# (source, data): each would run for seconds or take gigabytes in plain Jinja, or is the worst the language allows.
BOMBS: list[tuple[str, dict[str, Any]]] = [
    ("{% for a in range(1000) %}{% for b in range(1000) %}{{ a * b }}{% endfor %}{% endfor %}", {}),
    ("{% for a in range(1000) %}{% for b in range(1000) %}{% endfor %}{% endfor %}", {}),
    ("{% for a in rows %}{% for b in rows %}{{ a.n ~ b.n }}{% endfor %}{% endfor %}", {"rows": ROWS}),
    ("{% for a in range(10**9) %}{% endfor %}", {}),
    ("{% for a in range(999999999) %}{% endfor %}", {}),
    ("{{ 'x' * 1000000000 }}", {}),
    ("{{ [1] * 1000000000 }}", {}),
    ("{{ 10 ** 10 ** 10 }}", {}),
    ("{{ n * n * n * n }}", {"n": 10**17}),
    ("{{ '%1000000000d' % 3 }}", {}),
    ("{{ '%1000000000d'|format(3) }}", {}),
    ("{{ '%*d'|format(1000000000, 3) }}", {}),
    ("{{ '%.1000000000f'|format(3) }}", {}),
    ("{{ 'x'|center(1000000000) }}{{ 'x'|ljust(1000000000) }}{{ 'x'|indent(1000000000) }}", {}),
    ("{{ 'x'|wordwrap(1)|indent(1000000000) }}", {}),
    ("{% set a = big %}" + "{% set a = a ~ a %}" * 40 + "{{ a }}", {"big": BIG}),
    ("{% set a = big %}" + "{% set a = a + a %}" * 40 + "{{ a }}", {"big": BIG}),
    ("{{ big|replace('x', big) }}", {"big": BIG}),
    ("{{ big|replace('', big) }}", {"big": BIG}),
    ("{{ rows|join(big) }}", {"rows": ["a"] * 10_000, "big": BIG}),
    ("{{ big|striptags }}", {"big": "<" * 400_000}),
    ("{{ big|title|truncate(3)|urlencode }}", {"big": " <" * 200_000}),
    ("{{ big|int }}{{ big|float }}{{ big|round }}", {"big": "9" * 400_000}),
    ("{{ n|number(999999) }}{{ n|round(999999) }}", {"n": 1.5}),
    ("{% for a in range(1000) %}{% if big|upper|lower == big %}{% endif %}{% endfor %}", {"big": BIG}),
    ("{% for a in range(1000) %}{% if 'zz' in big %}{% endif %}{% endfor %}", {"big": BIG}),
    ("{% for a in range(1000) %}{{ big[1:] }}{% endfor %}", {"big": BIG}),
    ("{% for a in rows %}{{ a.t|upper|lower|title|trim|replace('a', 'b') }}{% endfor %}", {"rows": ROWS}),
    ("{% for a in rows %}{{ loop.revindex }}{{ a.n|int|currency('EUR') }}{% endfor %}", {"rows": ROWS}),
    ("{% for a in rows %}{{ '2026-01-31T00:00:00Z'|datetime(zone='Europe/Berlin') }}{% endfor %}", {"rows": ROWS}),
    ("{% for i in range(1000) %}{{ rows|sort(attribute='t')|length }}{% endfor %}", {"rows": ROWS}),
    ("{% for i in range(1000) %}{{ rows|map(attribute='n')|join }}{% endfor %}", {"rows": ROWS}),
    ("{{ '2026-01-31'|date('%Y' * 1000) }}", {}),
    ("{{ '2026-01-31'|date(big) }}", {"big": BIG}),
    ("{{ big }}" * 8_000, {"big": BIG}),
    ("{{ big }}" * 2_000, {"big": BIG}),
    ("{{ " + "a ~ " * 5_000 + "a }}", {"a": BIG}),
    ("{{ " + "(" * 10_000 + "1" + ")" * 10_000 + " }}", {}),
    ("{% if 1 %}" * 500 + "{% endif %}" * 500, {}),
    ("{{ " + "-" * 20_000 + "1 }}", {}),
    ("{{ x" + ".a" * 20_000 + " }}", {"x": {}}),
    ("{{ x" + "|upper" * 20_000 + " }}", {"x": "x"}),
    ("{" * 250_000, {}),
    ("{%" * 100_000, {}),
    ("{{ '" + "\\" * 200_000, {}),
    ("{# " * 80_000, {}),
]
# On an idle machine the worst takes about half a second of processor time (parsing 256,000 characters); room for a busy one.
SECONDS = 2.0


@pytest.mark.parametrize("kind", ["text", "html"])
@pytest.mark.parametrize(("source", "data"), BOMBS, ids=[source[:50] for source, _ in BOMBS])
def test_a_bomb_is_refused_or_stops_within_its_steps(source: str, data: dict[str, Any], kind: str) -> None:
    started = time.process_time()
    try:
        program = Program(source, kind)
    except Refused:
        assert time.process_time() - started < SECONDS
        return
    started = time.process_time()
    with suppress(TemplateError):
        assert len(program.render(data)) <= 1_000_000
    assert time.process_time() - started < SECONDS


def test_steps_are_spent_before_the_work_is_done() -> None:
    program = Program("{% for a in range(1000) %}{% for b in range(1000) %}{{ a }}{% endfor %}{% endfor %}", "text")
    with pytest.raises(TooCostly):
        program.render({})
