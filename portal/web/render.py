"""`page()`: the whole page, or one block of it when htmx asked. Every htmx header of the server is in this file."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit
from uuid import UUID

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PrefixLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from litestar import Request, Response
from litestar.enums import MediaType
from markupsafe import Markup

from portal import __version__
from portal.web.assets import Assets
from portal.web.navigation import current_path, menu_for
from portal.web.visit import Visit, visit_of

AnyRequest = Request[Any, Any, Any]
Flash = tuple[str, str]
# What both a whole page and a fragment may be cached by: never mix the two.
VARY = "HX-Request, HX-Request-Type, Cookie"
PREVIEW_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data: https:; frame-ancestors 'self'"

log = logging.getLogger(__name__)


def make_environment(
    folder: Path, assets: Assets, plugins: Mapping[str, Path] | None = None, **more_globals: Any
) -> Environment:
    """The Jinja environment of all pages: autoescape, undefined names are errors, macros as `ui` and `forms`.

    Templates of a plugin are found as `plugins/<name>/<file>`.
    """
    # Nested, because a prefix loader splits the name at its first slash only.
    of_plugins = PrefixLoader({name: FileSystemLoader(path) for name, path in (plugins or {}).items()})
    loader = ChoiceLoader([FileSystemLoader(folder), PrefixLoader({"plugins": of_plugins})])
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.update(asset=assets.url, _=lambda text: text, url_with=url_with, now=lambda: datetime.now(UTC))
    environment.globals.update(csrf=_csrf_field, language="en", version=__version__)
    environment.globals.update(more_globals)
    environment.filters.update(when=when, ago=ago, number=number, pretty=pretty, duration=_duration, short=short)
    # As globals, because a block that is rendered alone does not run the imports at the top of its file.
    environment.globals["ui"] = environment.get_template("_ui.html").module
    environment.globals["forms"] = environment.get_template("_form.html").module
    return environment


def page(
    request: AnyRequest,
    template: str,
    *,
    block: str | None = None,
    status: int = 200,
    flash: Flash | None = None,
    headers: Mapping[str, str] | None = None,
    **context: Any,
) -> Response[str]:
    """The whole page, or only `block` of it when htmx wants a part.

    `flash` is (`success` | `info` | `warning` | `danger`, sentence). Templates see what is passed, and `actor`,
    `csrf_token`, `menu`, `here`, `theme`, `flashes`, `banners`, `request_path`.
    """
    environment: Environment = request.app.state.jinja
    found = environment.get_template(template)
    visit = visit_of(request)
    if block is not None and wants_fragment(request):
        shared = _shared(request, visit, [flash] if flash else [])
        drawn = found.new_context({**shared, **context})
        content = "".join(found.blocks[block](drawn))
        if flash:
            content += str(environment.globals["ui"].flashes([flash], oob=True))  # type: ignore[attr-defined]
    else:
        flashes = [*take_flash(visit), *([flash] if flash else [])]
        content = found.render({**_shared(request, visit, flashes), **context})
    return Response(
        content,
        media_type=MediaType.HTML,
        status_code=status,
        headers={"Vary": VARY, "Cache-Control": "no-store", **(headers or {})},
    )


def redirect(request: AnyRequest, path: str, *, flash: Flash | None = None) -> Response[str]:
    """Go on to another page after a POST, with a sentence to show there."""
    visit = visit_of(request)
    if flash:
        leave_flash(visit, flash)
    if is_htmx(request):
        return Response("", status_code=200, media_type=MediaType.HTML, headers={"HX-Redirect": path})
    return Response("", status_code=303, media_type=MediaType.HTML, headers={"Location": path})


def preview(html: str) -> Response[str]:
    """Foreign HTML (a rendered mail) for an `<iframe sandbox>` of ours: no scripts, no forms, no origin of ours."""
    headers = {"Content-Security-Policy": PREVIEW_POLICY, "X-Frame-Options": "SAMEORIGIN", "Cache-Control": "no-store"}
    return Response(html, media_type=MediaType.HTML, headers=headers)


def is_htmx(request: AnyRequest) -> bool:
    """True for any request that htmx makes."""
    return request.headers.get("hx-request") == "true"


def wants_fragment(request: AnyRequest) -> bool:
    """True when htmx will put the answer into a part of the page: not when boosted, restoring or swapping the body."""
    if not is_htmx(request) or request.headers.get("hx-history-restore-request") == "true":
        return False
    return (
        request.headers.get("hx-boosted") != "true" and request.headers.get("hx-request-type", "partial") == "partial"
    )


def fragment_target(selector: str) -> dict[str, str]:
    """Headers that make htmx put an answer elsewhere than the page asked for: errors go to the flash area."""
    return {"HX-Retarget": selector, "HX-Reswap": "innerHTML"}


def go_to(path: str) -> dict[str, str]:
    """Headers that make htmx load a whole page."""
    return {"HX-Redirect": path}


def local_path(path: str | None, default: str = "/") -> str:
    """`path` if it is a plain path on this site, else `default`: where people may be sent after sign-in."""
    if not path or not path.startswith("/") or path.startswith(("//", "/\\")):
        return default
    if any(ord(character) < 0x21 or character in "\\\x7f" for character in path):
        return default
    parts = urlsplit(path)
    return default if parts.scheme or parts.netloc else path


def leave_flash(visit: Visit, flash: Flash) -> None:
    """Keep a sentence for the next page, in a signed cookie that the next page takes."""
    text = base64.urlsafe_b64encode(json.dumps(flash).encode()).decode()
    name = visit.cookies.flash
    visit.set_cookies[name] = visit.cookies.header(name, f"{text}.{visit.sign('flash', text)}", max_age=60)


def take_flash(visit: Visit) -> list[Flash]:
    """The sentence kept for this page, once."""
    text, _, signature = visit.given.get(visit.cookies.flash, "").partition(".")
    if not text:
        return []
    if visit.cookies.flash not in visit.set_cookies:
        visit.forget(visit.cookies.flash)
    if not visit.signed("flash", text, signature):
        return []
    kind, sentence = json.loads(base64.urlsafe_b64decode(text))
    return [(str(kind), str(sentence))]


@pass_context
def _csrf_field(context: Context) -> Markup:
    """The hidden field that every form which posts must hold."""
    return Markup('<input type="hidden" name="csrf_token" value="{}">').format(context["csrf_token"])


def _shared(request: AnyRequest, visit: Visit, flashes: list[Flash]) -> dict[str, Any]:
    state = request.app.state
    menu = menu_for(visit.actor if not visit.by_key else None, state.mounted)
    banners = state.get("banners")
    return {
        "actor": visit.actor,
        "csrf_token": visit.csrf_token,
        "menu": menu,
        "here": current_path(request.url.path, menu),
        "theme": visit.theme,
        "flashes": flashes,
        "banners": list(banners()) if banners else [],
        "request_path": request.url.path,
    }


def url_with(path: str, query: Mapping[str, Any] | None = None, **changes: Any) -> str:
    """`path` with a query: what `query` has, changed; empty values and None are left out, lists are repeated."""
    merged = {**(query or {}), **changes}
    pairs = [
        (name, str(item))
        for name, value in merged.items()
        for item in (value if isinstance(value, (list, tuple)) else [value])
        if item not in (None, "")
    ]
    encoded = urlencode(pairs, quote_via=quote)
    return f"{path}?{encoded}" if encoded else path


def when(value: datetime | None, empty: str = "–") -> Markup:
    """A `<time>` in UTC that the browser shows in its own zone; the machine-readable instant stays in the attribute."""
    if value is None:
        return Markup("{}").format(empty)
    instant = value.astimezone(UTC)
    return Markup('<time datetime="{}" data-local>{}</time>').format(
        instant.isoformat(timespec="milliseconds"), instant.strftime("%Y-%m-%d %H:%M:%S UTC")
    )


def ago(value: datetime | None, empty: str = "never") -> Markup:
    """How long ago (or until), in one unit, as a `<time>` whose title is the instant."""
    if value is None:
        return Markup("{}").format(empty)
    seconds = (datetime.now(UTC) - value.astimezone(UTC)).total_seconds()
    text = duration(abs(seconds))
    words = "just now" if abs(seconds) < 1 else f"{text} ago" if seconds > 0 else f"in {text}"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        value.isoformat(timespec="seconds"), value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"), words
    )


def duration(seconds: float) -> str:
    """Seconds as the largest whole unit: 850 ms, 12 s, 5 min, 3 h, 2 d."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"


def short(value: Any) -> str:
    """The end of an id: the ids of one moment begin alike."""
    return f"…{str(value)[-8:]}"


def _duration(seconds: float | None) -> str:
    """As `duration`, with a dash for nothing."""
    return "–" if seconds is None else duration(seconds)


def number(value: float | None) -> str:
    """12,345, with a dash for nothing."""
    return "–" if value is None else f"{value:,}"


def pretty(value: Any) -> str:
    """Any JSON value, indented."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value) if isinstance(value, UUID) else repr(value)
