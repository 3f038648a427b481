"""Contracts: taken from templates, checked against data."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.message_templates.contract import Checker, Contract, Variable, infer, merged, problems_of, undeclared
from portal.message_templates.language import parse


def taken(*sources: str) -> Contract:
    return infer([parse(source, "text") for source in sources])


def shape(variable: Variable) -> Any:
    if variable.type == "object":
        return {field.name: shape(field) for field in variable.fields}
    if variable.type == "list":
        return [shape(variable.items)] if variable.items else []
    return variable.type + ("" if variable.required else "?")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("plain", {}),
        ("{{ a }} {{ b|upper }}", {"a": "any", "b": "any"}),
        ("{{ a.b.c }}", {"a": {"b": {"c": "any"}}}),
        ("{{ a['b'] }}", {"a": {"b": "any"}}),
        ("{% for x in xs %}{{ x.n }}{{ loop.index }}{% endfor %}", {"xs": [{"n": "any"}]}),
        ("{% for x in xs|sort(attribute='n') %}{{ x.n * 2 }}{% endfor %}", {"xs": [{"n": "number"}]}),
        ("{% for k, v in o.items() %}{{ k }}{% endfor %}", {"o": {}}),
        ("{% for x in a.xs %}{% for y in x.ys %}{{ y }}{% endfor %}{% endfor %}", {"a": {"xs": [{"ys": ["any"]}]}}),
        ("{{ xs|join }} {{ ys|map(attribute='n')|join }}", {"xs": ["any"], "ys": [{"n": "any"}]}),
        ("{{ n|number }}{{ m - 1 }}{{ -k }}", {"n": "number", "m": "number", "k": "number"}),
        ("{% for i in range(n) %}{{ i }}{% endfor %}", {"n": "integer"}),
        ("{% set p = person %}{{ p.name }}", {"person": {"name": "any"}}),
        ("{% if a %}{{ a }}{% endif %}{{ b|default('') }}", {"a": "any?", "b": "any?"}),
        ("{% if a %}{% endif %}{{ a }}", {"a": "any"}),
        ("{{ a if a is defined else b }}", {"a": "any?", "b": "any"}),
        ("{% if not a %}x{% else %}{{ a }}{% endif %}", {"a": "any?"}),
        ("{% if a and a > 3 %}{% endif %}", {"a": "any?"}),
    ],
)
def test_a_contract_is_taken_from_what_templates_use(source: str, expected: Any) -> None:
    assert {variable.name: shape(variable) for variable in taken(source).variables} == expected


def test_a_name_is_required_when_one_part_shows_it_unasked() -> None:
    contract = taken("{% if nick %}{{ nick }}{% endif %}", "{{ nick }}")
    assert [variable.required for variable in contract.variables] == [True]


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("string", ["", "x"], [1, None, True, []]),
        ("integer", [0, -5, 2**62], [1.5, "1", True, 2**64]),
        ("number", [0, 1.5], ["1", False, 2**70]),
        ("boolean", [True, False], [0, "true"]),
        ("date", ["2026-01-31"], ["31.1.2026", 3, "2026-02-30"]),
        ("datetime", ["2026-01-31T09:30:00Z"], ["yesterday", 5]),
        (
            "url",
            ["https://a.example/x?y=1", "http://localhost:8000/"],
            ["javascript:alert(1)", "ftp://x", "https://", 3],
        ),
        ("any", ["x", 1, 1.5, True], [[], {}, None]),
        ("list", [[], [1, "x"]], [{}, "x", None]),
        ("object", [{}, {"x": 1}], [[], "x"]),
    ],
)
def test_each_type_takes_what_it_says(kind: Any, good: list[Any], bad: list[Any]) -> None:
    checker = Checker(Contract(variables=[Variable(name="class", type=kind)]))
    assert [value for value in good if checker.check({"class": value})] == []
    assert [value for value in bad if not checker.check({"class": value})] == []
    assert all(list(checker.check({"class": value})) == ["data.class"] for value in bad)


def test_every_fault_is_named_with_what_was_expected() -> None:
    checker = Checker(taken("{{ amount|number }} {{ name }} {% for l in lines %}{{ l.title }}{% endfor %}"))
    assert checker.check({"amount": "12", "nmae": "x", "lines": [{"title": "a"}, {"title": {}}, {}]}) == {
        "data.amount": "expected a number, got text",
        "data.name": "expected a text, a number or true/false, and it is missing",
        "data.nmae": "the template has no such variable; did you mean name?",
        "data.lines[1].title": "expected a text, a number or true/false, got an object",
        "data.lines[2].title": "expected a text, a number or true/false, and it is missing",
    }


def test_an_optional_variable_may_be_null_or_left_out() -> None:
    checker = Checker(taken("{{ nick|default('') }}"))
    assert checker.check({}) == checker.check({"nick": None}) == checker.check({"nick": "x"}) == {}


def test_extra_names_pass_only_where_the_contract_says_so() -> None:
    assert Checker(Contract(extra=True)).check({"x": object}) == {}
    assert Checker(Contract()).check({"x": 1}) == {"data.x": "the template has no such variable; it has none"}


def test_a_result_belongs_to_its_caller() -> None:
    checker = Checker(Contract())
    checker.check({})["to"] = "somebody adds a problem"
    assert checker.check({}) == {}


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
leaf = st.builds(
    Variable,
    name=st.sampled_from("abc"),
    type=st.sampled_from(["any", "string", "integer", "number", "boolean", "date", "datetime", "url"]),
    required=st.booleans(),
)


@given(st.lists(leaf, max_size=3, unique_by=lambda variable: variable.name), st.booleans(), plain)
def test_the_quick_check_and_the_explanation_agree(variables: list[Variable], extra: bool, value: Any) -> None:
    inner = Contract(
        variables=[
            Variable(name="o", type="object", fields=variables, extra=extra),
            Variable(name="l", type="list", items=Variable(type="object", fields=variables, extra=extra)),
        ]
    )
    checker = Checker(inner)
    for data in ({"o": value, "l": []}, {"o": {}, "l": [value]}):
        try:
            checker._convert(data)
            good = True
        except Exception:  # whatever the quick check raises, it means no
            good = False
        found: dict[str, str] = checker.check(data)
        assert (found == {}) == good
        assert "data" not in found, f"no words for {data}: {found}"


@given(plain)
def test_no_data_make_the_check_fail(value: Any) -> None:
    checker = Checker(taken("{{ a }}{% for x in xs %}{{ x.y }}{% endfor %}{{ o.p.q }}"))
    checker.check({"a": value, "xs": value, "o": value})
    checker.check({"a": 1, "xs": [value], "o": {"p": value}})


def test_a_written_contract_is_checked() -> None:
    wrong = Contract(
        variables=[
            Variable(name="1x"),
            Variable(name="d", type="date", example="x"),
            Variable(name="n", fields=[Variable(name="y")]),
            Variable(name="l", type="string", items=Variable()),
            Variable(name="d"),
        ]
    )
    assert set(problems_of(wrong)) == {
        "contract.variables[0].name",
        "contract.variables[1].example",
        "contract.variables[2].fields",
        "contract.variables[3].items",
        "contract.variables[4].name",
    }


def test_names_that_a_contract_lacks_are_told_by_path() -> None:
    found = taken("{{ a }}{{ o.x }}{% for l in ls %}{{ l.y }}{% endfor %}")
    declared = Contract(
        variables=[
            Variable(name="o", type="object", fields=[Variable(name="z")]),
            Variable(name="ls", type="list", items=Variable(type="object", fields=[Variable(name="z")])),
        ]
    )
    assert undeclared(found, declared) == ["a", "ls[].y", "o.x"]
    assert undeclared(found, Contract(extra=True)) == []


def test_what_an_author_said_is_kept_for_names_that_remain() -> None:
    kept = Contract(variables=[Variable(name="a", type="url", description="the link"), Variable(name="gone")])
    assert [(v.name, v.type, v.description) for v in merged(taken("{{ a }}{{ b }}"), kept).variables] == [
        ("a", "url", "the link"),
        ("b", "any", ""),
    ]


def test_the_example_fits_its_own_contract() -> None:
    contract = taken(
        "{{ a }}{{ n|number }}{{ d|date }}{% for x in xs %}{{ x.y }}{% endfor %}{{ o.p }}{% for i in range(k) %}{% endfor %}"
    )
    assert Checker(contract).check(contract.example()) == {}
