"""HTML parts made ready: styles inlined, text taken, MJML turned into HTML; the template's marks survive."""

from __future__ import annotations

import pytest

from portal.message_templates.html import CannotConvert, html_of_mjml, inline_styles, text_of_html

STYLE = "<style>td { color: red } p { margin: 0 } @media print { p { color: blue } }</style>"


def test_rules_become_attributes_and_marks_keep_their_place() -> None:
    source = (
        f"{STYLE}<p class='a {{% if vip %}}v{{% endif %}}'>Hi {{{{ name|default(\"you\") }}}} &amp; co</p>"
        "<table>{% for i in xs %}<tr><td>{{ i.n }}</td></tr>{% endfor %}</table>"
        '<a href="{{ url|default("https://a.example/?x=1&y=2") }}">go</a>{% if a < 3 %}<p>more</p>{% endif %}'
    )
    made = inline_styles(source)
    assert '<p class="a {% if vip %}v{% endif %}" style="margin: 0;">Hi {{ name|default("you") }} &amp; co</p>' in made
    assert '<tbody>{% for i in xs %}<tr><td style="color: red;">{{ i.n }}</td></tr>{% endfor %}</tbody>' in made
    assert '<a href="{{ url|default("https://a.example/?x=1&y=2") }}">' in made
    assert '{% if a < 3 %}<p style="margin: 0;">more</p>{% endif %}' in made
    assert "@media print" in made


def test_html_without_a_style_sheet_is_left_alone() -> None:
    source = "<p {% if x %}class=a{% endif %}>{{ y }}"
    assert inline_styles(source) == source


def test_a_variable_in_a_style_sheet_goes_where_its_rule_goes() -> None:
    made = inline_styles("<style>td{color:{{ colour }}}</style><table><tr><td>1</td><td>2</td></tr></table>")
    assert made.count("color: {{ colour }}") == 2


def test_a_condition_around_an_attribute_survives() -> None:
    made = inline_styles(f'{STYLE}<table><tr><td {{% if x %}} class="a" {{% endif %}}>1</td></tr></table>')
    assert "{% if x %}" in made
    assert '=""' not in made


@pytest.mark.parametrize(
    "source",
    [
        "<style>{% if x %}p{color:red}{% endif %}</style><p>x</p>",
        f"{STYLE}<{{{{ tag }}}}>x</{{{{ tag }}}}><p>",
    ],
)
def test_what_cannot_be_inlined_is_refused_rather_than_broken(source: str) -> None:
    with pytest.raises(CannotConvert, match="style"):
        inline_styles(source)


def test_nothing_is_fetched() -> None:
    linked = f'{STYLE}<link rel="stylesheet" href="http://127.0.0.1:9/x.css"><p>x</p>'
    assert '<p style="margin: 0;">' in inline_styles(linked)


def test_a_text_says_the_same() -> None:
    source = (
        f"<html><head><title>no</title>{STYLE}</head><body><h1>Hello {{{{ name }}}}</h1><p>One &amp; two<br>three</p>"
        '<ul>{% for x in xs %}<li>{{ x }}</li>{% endfor %}</ul><p><a href="{{ url }}">Pay</a> '
        '<a href="https://a.example">https://a.example</a></p><img alt="Logo" src="x"><script>no</script></body></html>'
    )
    assert text_of_html(source) == (
        "Hello {{ name }}\n\nOne & two\nthree\n\n{% for x in xs %}- {{ x }}\n{% endfor %}\n"
        "Pay ({{ url }}) https://a.example\n\nLogo\n"
    )


def test_mjml_becomes_html_with_its_marks() -> None:
    source = "<mjml><mj-body><mj-section><mj-column><mj-text>Hi {{ name }}</mj-text></mj-column></mj-section></mj-body></mjml>"
    assert "Hi {{ name }}" in html_of_mjml(source)


@pytest.mark.parametrize(
    "source", ["<mjml><mj-bo", "<p>html</p>", '<mjml><mj-body><mj-include path="/etc/passwd"/></mj-body></mjml>']
)
def test_what_is_not_mjml_is_refused(source: str) -> None:
    with pytest.raises(CannotConvert):
        html_of_mjml(source)
