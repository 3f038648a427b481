"""HTML parts made ready at publish time: MJML to HTML, style sheets inlined, a text part taken from the HTML.

All three work on template *sources*. Jinja's marks would not survive an HTML parser (it moves text out of tables and
escapes quotes in attributes), so they are taken out first and put back afterwards; when one does not come back exactly
once, in order, the result is refused rather than guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser

import css_inline
import mjml

MARK = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
STYLED = re.compile(r"<style[\s>]", re.IGNORECASE)
# The word is unlikely in mail, and letters and digits pass through every HTML parser unchanged.
WORD = "ppmark{}x"
STATEMENTS = re.compile(r"(?:<!--ppmark\d+x-->\s*)+")
PLACED = re.compile(r"<!--ppmark(\d+)x-->|ppmark(\d+)x")
# The parser adds the <tbody> that authors leave out, and would put it between a loop's beginning and its end.
BARE_TABLE = re.compile(r"(<table\b[^>]*>)(?=(?:\s|<!--ppmark\d+x-->)*<tr\b)", re.IGNORECASE)
VALUELESS = re.compile(r'(ppmark\d+x)=""')
STYLE_SHEET = re.compile(r"<style\b.*?</style", re.IGNORECASE | re.DOTALL)


class CannotConvert(Exception):
    """The source cannot be turned into HTML or text; the message says why and what to do."""


def html_of_mjml(source: str) -> str:
    """The HTML of an MJML source, with the template's marks intact."""
    if "<mj-include" in source.lower():
        raise CannotConvert("mj-include is not available: put the included text here.")
    try:
        return str(mjml.mjml2html(source))
    except Exception as error:  # the library raises plain errors of its own kinds
        raise CannotConvert(f"This is not MJML: {error}") from None


def inline_styles(source: str) -> str:
    """The HTML with the rules of its style sheets moved into `style` attributes; at-rules (media queries) stay.

    An HTML without a style sheet comes back unchanged. Nothing is ever fetched.
    """
    if not STYLED.search(source):
        return source
    try:
        return _aside(source, _inline)
    except css_inline.InlineError as error:
        raise CannotConvert(f"The style sheet cannot be read: {error}") from None


def _inline(html: str) -> str:
    inliner = css_inline.CSSInliner(load_remote_stylesheets=False, keep_at_rules=True)
    return inliner.inline(html)


def text_of_html(source: str) -> str:
    """A plain text with the same content: links in brackets, one line per block, list items with a dash."""
    reader = _TextReader()
    laid_out, marks = _take_out(source)
    reader.feed(laid_out)
    reader.close()
    return _put_back(reader.text(), marks).strip() + "\n"


def _aside(source: str, change: Callable[[str], str]) -> str:
    """`change(source)` with the template's marks out of its way."""
    laid_out, marks = _take_out(source)
    # A mark that stands as an attribute of its own gets an empty value from the parser.
    changed = VALUELESS.sub(r"\1", change(BARE_TABLE.sub(r"\1<tbody>", laid_out)))
    in_styles = {_place(mark) for sheet in STYLE_SHEET.finditer(laid_out) for mark in PLACED.finditer(sheet.group())}
    # A variable inside of a style sheet goes wherever its rule goes; everything else keeps its place.
    found = [place for mark in PLACED.finditer(changed) if (place := _place(mark)) not in in_styles]
    if found != [place for place in range(len(marks)) if place not in in_styles]:
        raise CannotConvert(
            "The template's marks stand where HTML allows no text, so its style sheet cannot be inlined: move {% … %} "
            "into a cell or an attribute's value, or write the styles inline and remove <style>."
        )
    if any(not marks[place].startswith("{{") for place in in_styles):
        raise CannotConvert("A style sheet that is inlined may hold {{ … }}, but no {% … %}.")
    return _put_back(changed, marks)


def _place(mark: re.Match[str]) -> int:
    return int(mark.group(1) or mark.group(2))


def _take_out(source: str) -> tuple[str, list[str]]:
    """The source with each mark replaced by a word (a comment where a statement stands between tags), and the marks."""
    marks: list[str] = []
    pieces: list[str] = []
    position = 0
    inside = _Where()
    for found in MARK.finditer(source):
        before = source[position : found.start()]
        inside.read(before)
        pieces.append(before)
        position = found.end()
        if found.group().startswith("{#"):
            continue
        word = WORD.format(len(marks))
        marks.append(found.group())
        between_tags = not inside.tag and not inside.raw
        pieces.append(f"<!--{word}-->" if between_tags and not found.group().startswith("{{") else word)
    pieces.append(source[position:])
    return "".join(pieces), marks


def _put_back(text: str, marks: list[str]) -> str:
    return PLACED.sub(lambda found: marks[_place(found)], text)


class _Where:
    """Whether the place reached so far is inside of a tag, or inside of an element whose content is raw text."""

    _STEP = re.compile(r"<!--|-->|</?[a-zA-Z][a-zA-Z0-9-]*|>|\"|'")

    def __init__(self) -> None:
        self.tag = ""
        self.quote = ""
        self.raw = ""

    def read(self, text: str) -> None:
        for found in self._STEP.finditer(text):
            self._step(found.group().lower())

    def _step(self, step: str) -> None:
        if self.tag == "<!--":
            self.tag = "" if step == "-->" else self.tag
        elif self.tag:
            self._inside_tag(step)
        elif self.raw:
            if step == f"</{self.raw}":
                self.raw, self.tag = "", step
        elif step.startswith("<"):
            self.tag = step

    def _inside_tag(self, step: str) -> None:
        if step in ('"', "'"):
            self.quote = "" if self.quote == step else (self.quote or step)
        elif step in (">", "-->") and not self.quote:
            name = self.tag[1:]
            self.raw = name if name in ("style", "script", "title", "textarea") else ""
            self.tag = ""


_BLOCKS = frozenset(
    {"p", "div", "table", "tr", "ul", "ol", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "section", "article",
     "header", "footer", "main", "body", "center", "pre", "hr"}
)  # fmt: skip
_APART = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6", "table", "ul", "ol", "blockquote"})
_SILENT = frozenset({"style", "script", "head", "title", "template"})


class _TextReader(HTMLParser):
    """Collects lines. Statements of the template come as comments and keep their place."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._lines: list[str] = [""]
        self._silent = 0
        self._links: list[tuple[str, str]] = []

    def text(self) -> str:
        lines = [re.sub(r"[ \t]+", " ", line).strip() for line in self._lines]
        # A line that holds statements only would leave an empty line in every turn of its loop.
        joined = "".join(line if STATEMENTS.fullmatch(line) else line + "\n" for line in lines)
        return re.sub(r"\n{3,}", "\n\n", joined)

    def _break(self, *, apart: bool = False) -> None:
        if self._lines[-1].strip():
            self._lines.append("")
        if apart and len(self._lines) > 1 and self._lines[-2].strip():
            self._lines.append("")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SILENT:
            self._silent += 1
        elif tag == "br":
            self._lines.append("")
        elif tag == "li":
            self._break()
            self._lines[-1] = "- "
        elif tag in ("td", "th"):
            self._lines[-1] += " "
        elif tag == "a":
            self._links.append((dict(attrs).get("href") or "", self._lines[-1]))
        elif tag == "img":
            self._lines[-1] += dict(attrs).get("alt") or ""
        elif tag in _BLOCKS:
            self._break(apart=tag in _APART)

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT:
            self._silent = max(self._silent - 1, 0)
        elif tag == "a" and self._links:
            target, before = self._links.pop()
            shown = self._lines[-1].removeprefix(before).strip()
            if target and not target.startswith("#") and shown != target:
                self._lines[-1] += f" ({target})"
        elif tag in _BLOCKS or tag == "li":
            self._break(apart=tag in _APART)

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self._lines[-1] += re.sub(r"\s+", " ", data)

    def handle_comment(self, data: str) -> None:
        if not self._silent and PLACED.fullmatch(data.strip()):
            self._lines[-1] += f"<!--{data.strip()}-->"
