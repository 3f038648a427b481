"""The template language: what it writes, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jinja2.exceptions import TemplateError

from portal.message_templates.filters import FILTERS, FILTERS_BY_KIND, MAX_STEPS, TESTS, TooCostly
from portal.message_templates.language import LOOP_FACTS, MAX_NODES, MAX_OUTPUT, MAX_SOURCE, Program, Refused


def written(source: str, data: dict[str, Any] | None = None, *, kind: str = "text", locale: str = "en") -> str:
    return Program(source, kind).render(data or {}, locale=locale)


@pytest.mark.parametrize(
    ("source", "data", "expected"),
    [
        ("Hi {{ name }}!", {"name": "Ada"}, "Hi Ada!"),
        ("{{ a.b.c }}{{ a['b'].c }}", {"a": {"b": {"c": 1}}}, "11"),
        ("{{ order.items }}", {"order": {"items": 3}}, "3"),
        ("{% for k, v in facts.items() %}{{ k }}={{ v }};{% endfor %}", {"facts": {"a": 1, "b": 2}}, "a=1;b=2;"),
        (
            "{% for x in xs %}{{ loop.index }}{{ x }}{% if not loop.last %},{% endif %}{% endfor %}",
            {"xs": ["a", "b"]},
            "1a,2b",
        ),
        ("{% for x in xs if x > 1 %}{{ x }}{% else %}none{% endfor %}", {"xs": [1]}, "none"),
        ("{% if vip %}VIP{% else %}-{% endif %}", {}, "-"),
        ("{{ nick|default('you') }}{{ nick|d('x', true) }}", {"nick": None}, "youx"),
        ("{{ nick is defined }}{{ yes }}{{ nothing }}", {"yes": True, "nothing": None}, "falsetrue"),
        ("{% set total = price * 3 + 0.5 %}{{ total|round(1) }}", {"price": 2}, "6.5"),
        ("{{ xs|join(', ') }} {{ xs|length }} {{ xs|first }} {{ xs|last }}", {"xs": ["a", "b"]}, "a, b 2 a b"),
        ("{{ ps|map(attribute='n')|join('+') }}={{ ps|sum('n') }}", {"ps": [{"n": 1}, {"n": 2}]}, "1+2=3"),
        ("{{ 'a' ~ 1 ~ none }}{{ 'x' + 'y' }}", {}, "a1xy"),
        ("{{ 'abc'|upper|replace('B', '-') }}{{ 'long text here'|truncate(8) }}", {}, "A-Clong…"),
        ("{% for i in range(3) %}{{ i }}{% endfor %}", {}, "012"),
        ("{{ 'b' in 'abc' }}{{ 3 in xs }}{{ 'k' in o }}", {"xs": [1], "o": {"k": 1}}, "truefalsetrue"),
        ("{{ '%.2f|%5s|%%'|format(1.005, 'a') }}", {}, "1.00|    a|%"),
        ("{{ '2026-01-31T09:30:00Z'|datetime(zone='Europe/Berlin') }}", {}, "31 January 2026 10:30"),
        ("{{ '2026-01-31'|date('%d/%m %a') }}", {}, "31/01 Sat"),
        ("{{ 'abcdef'[1:3] }}{{ xs[-1] }}", {"xs": [1, 2]}, "bc2"),
        ("{# a comment #}{% raw %}{{ as it is }}{% endraw %}", {}, "{{ as it is }}"),
        ("{{ ps|sort(attribute='n', reverse=true)|map(attribute='n')|join }}", {"ps": [{"n": 1}, {"n": 2}]}, "21"),
    ],
)
def test_what_authors_use_works(source: str, data: dict[str, Any], expected: str) -> None:
    assert written(source, data) == expected


@pytest.mark.parametrize(
    ("locale", "expected"),
    [
        ("en", "1,234.50 €1,234.50 31 January 2026"),
        ("en-US", "1,234.50 €1,234.50 January 31, 2026"),
        ("de", "1.234,50 1.234,50\u00a0€ 31.01.2026"),
        ("fr-CA", "1\u202f234,50 1\u202f234,50\u00a0€ 31/01/2026"),
        ("zh-Hans", "1,234.50 €1,234.50 2026年1月31日"),
    ],
)
def test_numbers_and_dates_follow_the_locale(locale: str, expected: str) -> None:
    source = "{{ n|number(2) }} {{ n|currency('eur') }} {{ '2026-01-31'|date }}"
    assert written(source, {"n": 1234.5}, locale=locale) == expected


def test_html_is_escaped_and_text_is_not() -> None:
    data = {"x": "<b>&", "xs": ["<i>"]}
    assert (
        written("{{ x }}|{{ xs|join(',') }}|{{ x ~ '<' }}", data, kind="html")
        == "&lt;b&gt;&amp;|&lt;i&gt;|&lt;b&gt;&amp;&lt;"
    )
    assert written("{{ x }}", data) == "<b>&"
    assert written("{{ x|e }}|{{ y|nl2br }}", {"x": "<", "y": "<\n"}, kind="html") == "&lt;|&lt;<br>\n"


def test_json_strings_stay_inside_their_quotes() -> None:
    source = '{"text": "{{ x }}", "all": {{ all|tojson }}}'
    assert written(source, {"x": 'a"},\n"b', "all": {"k": [1, None, True]}}, kind="json") == (
        '{"text": "a\\"},\\n\\"b", "all": {"k": [1, null, true]}}'
    )


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{{ name", "line 1"),
        ("ok\n\n{{ x|uppr }}", "line 3: There is no filter uppr; did you mean upper?"),
        ("{{ x is evn }}", "did you mean even?"),
        ("{% macro m() %}{% endmacro %}", "macro"),
        ("{% import 'x' as y %}", "import"),
        ("{% from 'x' import y %}", "import"),
        ("{% include 'x' %}", "include"),
        ("{% extends 'x' %}", "extends"),
        ("{% block b %}{% endblock %}", "block"),
        ("{% call x() %}{% endcall %}", "call"),
        ("{% with a = 1 %}{% endwith %}", "with"),
        ("{% filter upper %}{% endfilter %}", "filter"),
        ("{% set x %}{% endset %}", "set blocks"),
        ("{% autoescape false %}{% endautoescape %}", "autoescape"),
        ("{% for a in x recursive %}{% endfor %}", "recursive"),
        ("{% for a in x %}{% for b in x %}{% for c in x %}{% endfor %}{% endfor %}{% endfor %}", "2 deep"),
        ("{{ x.upper() }}", "Nothing can be called"),
        ("{{ x() }}", "Nothing can be called"),
        ("{{ lipsum() }}", "Nothing can be called"),
        ("{{ cycler('a') }}", "Nothing can be called"),
        ("{{ x|attr('y') }}", "There is no filter attr"),
        ("{{ x|safe }}", "There is no filter safe"),
        ("{{ 2 ** 99 }}", "**"),
        ("{{ {'a': 1} }}", "objects written in place"),
        ("{{ x.__class__ }}", "underscore"),
        ("{{ x['__class__'] }}", "underscore"),
        ("{{ _x }}", "underscore"),
        ("{{ x|_loop(0) }}", "There is no filter _loop"),
        ("{% set loop = 1 %}", "word of the template language"),
        ("{{ self }}", "word of the template language"),
        ("{{ caller }}", "word of the template language"),
        ("{{ ﬁle }}", "look-alike"),
        ("{{ x|join(*y) }}", "written out"),
        ("{{ " + "(" * 500 + "1" + ")" * 500 + " }}", "nested too deeply"),
        ("{{ " + "not " * 60 + "x }}", "nested too deeply"),
        ("{{ x }}" * 9_000, "constructs"),
        ("x" * 300_000, "256000 characters"),
        ("{% set ns.x = 1 %}", "set takes one name"),
    ],
)
def test_what_is_not_in_the_language_is_refused_with_its_line(source: str, words: str) -> None:
    with pytest.raises(Refused, match=r"^line \d+: ") as refused:
        Program(source, "text")
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("source", "line", "words"),
    [
        ("a\nb {{ name }}", 2, "'name' is undefined"),
        ("{{ a.b }}", 1, "'dict object' has no attribute 'b'"),
        ("\n\n{{ a }}", 3, "cannot be shown"),
        ("{{ n / 0 }}", 1, "Division by zero"),
        ("{{ t - 1 }}", 1, "takes numbers"),
        ("{{ t|date }}", 1, "A date was expected"),
        ("{% for x in t %}{% endfor %}", 1, "A list was expected"),
        ("{{ n|first }}", 1, "A list was expected"),
        ("{{ [1] == [1] }}", 1, "cannot be compared"),
        ("{{ none.x }}", 1, "has no attribute"),
    ],
)
def test_data_that_do_not_fit_are_an_error_with_a_line(source: str, line: int, words: str) -> None:
    program = Program(source, "text")
    with pytest.raises(TemplateError) as failed:
        program.render({"a": {"x": 1}, "n": 3, "t": "text"})
    assert words in str(failed.value)
    assert program.line_of(failed.value) == line


def test_steps_are_counted_anew_for_every_render() -> None:
    program = Program("{% for x in xs %}{{ x }}{% endfor %}", "text")
    data = {"xs": list(range(5_000))}
    for _ in range(MAX_STEPS // 5_000):
        assert program.render(data).startswith("0123")
    with pytest.raises(TooCostly):
        program.render(data, steps=100)


def test_the_page_for_authors_names_everything_they_may_use() -> None:
    page = (Path(__file__).parents[3] / "docs" / "templates.md").read_text()
    kinds = [name for filters in FILTERS_BY_KIND.values() for name in filters]
    loop_facts = [f"loop.{name}" for name in LOOP_FACTS]
    assert [name for name in [*FILTERS, *kinds, *TESTS, *loop_facts] if f"`{name}`" not in page] == []
    for limit in (MAX_SOURCE, MAX_NODES, MAX_STEPS, MAX_OUTPUT):
        assert f"{limit:,}" in page
