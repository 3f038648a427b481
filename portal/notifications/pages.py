"""The pages of notifications: list, timeline, send."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from litestar import Response, Router, get, post
from litestar.params import FromPath, FromQuery

from portal.access import Actor
from portal.access.queries import applications
from portal.db import Database, new_id
from portal.errors import Conflict, InvalidInput, NotAllowed, NotFound, TooMany
from portal.ledger.statuses import LANES, LIVE, NOTIFICATION_MOVES
from portal.message_templates import Renderer
from portal.message_templates.contract import Contract
from portal.message_templates.preview import preview as rendered
from portal.message_templates.queries import get_template, list_templates
from portal.message_templates.schemas import PreviewIn, PreviewOut
from portal.notifications.accept import Acceptor
from portal.notifications.cancel import cancel
from portal.notifications.intake import Intake
from portal.notifications.queries import Filters, get_notification_for, list_notifications_for, show_recent
from portal.notifications.replay import replay
from portal.notifications.schemas import NotificationOut
from portal.notifications.send_as import send_as
from portal.notifications.send_form import data_fields, read_data, request_of
from portal.notifications.show import listed, shown
from portal.notifications.timeline import timeline
from portal.people.queries import all_addresses, list_people
from portal.plugin_loader import Registry
from portal.providers import Accounts
from portal.queues import Bell
from portal.web.forms import Field, many, with_errors
from portal.web.guards import require
from portal.web.paging import PAGE_SIZE, decode_cursor, page_of
from portal.web.render import AnyRequest, page, preview, redirect

READ: dict[str, Any] = {"guards": [require("notifications:read")], "opt": {"permission": "notifications:read"}}
WRITE: dict[str, Any] = {"guards": [require("notifications:write")], "opt": {"permission": "notifications:write"}}
SEND: dict[str, Any] = {"guards": [require("notifications:send")], "opt": {"permission": "notifications:send"}}
FILTERS = ("status", "priority", "template", "channel", "application", "reference", "person", "group", "since", "until")
PEOPLE_SHOWN = 8


@get("/notifications", **READ)
async def listed_page(request: AnyRequest, db: Database, registry: Registry, actor: Actor) -> Response[str]:
    query = {name: request.query_params.get(name, "").strip() for name in (*FILTERS, "cursor")}
    problems: dict[str, str] = {}
    filters = _filters(query, problems)
    await show_recent(db, actor)
    after = decode_cursor(query["cursor"])
    async with db.read() as conn:
        senders = await applications(conn)
        rows = await list_notifications_for(conn, actor, filters, limit=PAGE_SIZE + 1, after=after)
    found = page_of(rows, PAGE_SIZE)
    return page(
        request,
        "notifications/list.html",
        block="results",
        found=found,
        rows=[listed(row) for row in found.rows],
        query=query,
        problems=problems,
        filtered=any(query.values()),
        names={row.id: row.name for row in senders},
        choices=_choices(registry, senders),
    )


@get("/notifications/{notification_id:uuid}", **READ)
async def detail(
    request: AnyRequest,
    notification_id: FromPath[UUID],
    db: Database,
    registry: Registry,
    accounts: Accounts,
    actor: Actor,
) -> Response[str]:
    async with db.read() as conn:
        found = await get_notification_for(conn, actor, notification_id)
        names = {row.id: row.name for row in await applications(conn)}
    told = shown(found, registry, actor)
    channels = dict(_channels(registry))
    titles = {account.id: account.title for account in accounts.all()}
    return page(
        request,
        "notifications/detail.html",
        block="state",
        told=told,
        steps=timeline(told, titles, channels),
        live=told.status in LIVE,
        every=_refresh_seconds(told, datetime.now(UTC)),
        channels=channels,
        accounts=titles,
        application=names.get(told.application_id, told.application_id),
    )


@post("/notifications/{notification_id:uuid}/cancel", status_code=200, **WRITE)
async def cancelled(request: AnyRequest, notification_id: FromPath[UUID], db: Database, actor: Actor) -> Response[str]:
    try:
        status = await cancel(db, actor, notification_id)
        flash = ("success", "Cancelled.") if status == "cancelled" else ("warning", f"It is {status} already.")
    except Conflict as error:
        flash = ("warning", error.message)
    return redirect(request, f"/notifications/{notification_id}", flash=flash)


@post("/notifications/{notification_id:uuid}/replay", status_code=200, **WRITE)
async def replayed(
    request: AnyRequest, notification_id: FromPath[UUID], db: Database, bell: Bell, actor: Actor
) -> Response[str]:
    again = (await request.form()).get("again") == "true"
    try:
        new = await replay(db, actor, notification_id, bell=bell, again=again)
    except Conflict as error:
        words = (
            "It was replayed already. To send it once more, tick the box."
            if error.code == "replayed"
            else error.message
        )
        return redirect(request, f"/notifications/{notification_id}", flash=("warning", words))
    return redirect(request, f"/notifications/{new}", flash=("success", "Sent again, as a new notification."))


@get("/send", **SEND)
async def send_page(
    request: AnyRequest,
    db: Database,
    registry: Registry,
    renderer: Renderer,
    actor: Actor,
    template: FromQuery[str] = "",
    examples: FromQuery[str] = "",
    search: FromQuery[str] = "",
    cursor: FromQuery[str] = "",
) -> Response[str]:
    if template:
        made = await _made(db, registry, renderer, template, {})
        return await _form(request, db, registry, actor, template, {}, made=made, examples=bool(examples))
    after = decode_cursor(cursor)
    before = (after.at, after.id) if after else None
    async with db.read() as conn:
        rows = await list_templates(conn, limit=PAGE_SIZE + 1, before=before, search=search)
    query = {"search": search, "cursor": cursor}
    return page(request, "notifications/choose.html", block="results", found=page_of(rows, PAGE_SIZE), query=query)


@post("/send", status_code=200, **SEND)
async def sent(
    request: AnyRequest,
    db: Database,
    registry: Registry,
    intake: Intake,
    acceptor: Acceptor,
    renderer: Renderer,
    actor: Actor,
) -> Response[str]:
    form = many(await request.form())
    key = str(form.get("template", ""))
    made = await _made(db, registry, renderer, key, form)
    if form.get("action") in ("preview", "find"):
        return await _form(request, db, registry, actor, key, form, made=made)
    try:
        contract = await _contract(db, key)
        mode: Any = "test" if form.get("sandbox") else "live"
        asked, once = request_of(key, contract, form), str(form.get("once", ""))
        accepted = await send_as(db, intake, acceptor, actor, asked, mode=mode, once=once)
    except InvalidInput as error:
        return await _form(request, db, registry, actor, key, form, made=made, errors=error.fields)
    except (NotAllowed, TooMany) as error:
        return await _form(request, db, registry, actor, key, form, made=made, errors={"": error.message})
    words = (
        "This very form was sent before; here is what it made."
        if accepted.before
        else "Accepted. This page follows it."
    )
    return redirect(request, f"/notifications/{accepted.id}", flash=("info" if accepted.before else "success", words))


@get("/send/people", **SEND)
async def people(
    request: AnyRequest,
    db: Database,
    registry: Registry,
    actor: Actor,
    template: FromQuery[str],
    person: FromQuery[str] = "",
) -> Response[str]:
    return await _form(request, db, registry, actor, template, {"person": person, "to": "person"}, block="people")


@post("/send/preview", status_code=200, **SEND)
async def previewed(
    request: AnyRequest, db: Database, registry: Registry, renderer: Renderer, actor: Actor
) -> Response[str]:
    form = many(await request.form())
    key = str(form.get("template", ""))
    made = await _made(db, registry, renderer, key, form)
    return await _form(request, db, registry, actor, key, form, made=made, block="preview")


@post("/send/preview/mail", status_code=200, **SEND)
async def previewed_mail(request: AnyRequest, db: Database, registry: Registry, renderer: Renderer) -> Response[str]:
    form = many(await request.form())
    made = await _made(db, registry, renderer, str(form.get("template", "")), form)
    return preview(made.parts.get("html", "") if made else "")


def _refresh_seconds(told: NotificationOut, now: datetime) -> int:
    """How often the page of a living notification looks again: often while something is bound to happen."""
    soon, calm = told.send_at - timedelta(seconds=10), told.send_at + timedelta(minutes=1)
    return 1 if soon <= now < calm else 10


async def _form(
    request: AnyRequest,
    db: Database,
    registry: Registry,
    actor: Actor,
    key: str,
    form: Mapping[str, Any],
    *,
    errors: Mapping[str, str] | None = None,
    made: PreviewOut | None = None,
    examples: bool = False,
    block: str | None = None,
) -> Response[str]:
    """The form of a template, with what was typed."""
    async with db.read() as conn:
        row = await get_template(conn, key)
    if row.version is None or row.archived_at is not None:
        raise NotFound("published template", key)
    contract = msgspec.convert(row.published_contract, Contract)
    wrong = dict(errors or {})
    fields = data_fields(contract, form, wrong, examples=examples)
    options = with_errors(_options(row), wrong, form)
    placed = {field.name for field in options} | {"to.address", "to.channel", "person", "external_id"}
    rest = {
        path: text
        for path, text in wrong.items()
        if path not in placed and not any(f.error for f in fields if path.startswith(f.name))
    }
    return page(
        request,
        "notifications/send.html",
        block=block,
        status=422 if wrong else 200,
        row=row,
        fields=fields,
        options=options,
        typed={"to": "person" if actor.may("people:read") else "address", "once": new_id().hex, **form},
        channels=[(name, title) for name, title in _channels(registry) if name in row.channels],
        registry=registry,
        found=await _found_people(db, actor, str(form.get("person", "")), str(form.get("person_id", ""))),
        made=made,
        kind=registry.channels[made.channel].preview if made and made.channel in registry.channels else "text",
        errors=wrong,
        rest=rest,
    )


def _options(row: Any) -> list[Field]:
    now = datetime.now(UTC).strftime("%H:%M")
    lanes = [
        ("", f"{(row.priority or 'medium').capitalize()}, as the template says"),
        *((lane, lane.capitalize()) for lane in LANES),
    ]
    return [
        Field(name="priority", label="Priority", kind="select", options=lanes),
        Field(name="send_at", label="Send at", kind="datetime", help=f"In UTC, where it is {now} now. Empty: at once."),
        Field(
            name="locale",
            label="Language",
            placeholder=row.default_locale,
            help="Empty: the person's own, else the template's.",
            attributes={"maxlength": "35"},
        ),
        Field(name="reference", label="Reference", help="Your own, to find it again.", attributes={"maxlength": "200"}),
    ]


async def _found_people(db: Database, actor: Actor, wanted: str, chosen: str) -> list[dict[str, Any]]:
    """People whose name begins so, or who have this very address."""
    text = wanted.strip()
    if not actor.may("people:read") or len(text) < 2:
        return []
    async with db.read() as conn:
        address = ("", text) if "@" in text or text.startswith("+") else None
        rows = await list_people(conn, limit=PEOPLE_SHOWN, search="" if address else text, address=address)
        addresses = await all_addresses(conn, [row.id for row in rows])
    return [
        {
            "id": row.id,
            "name": row.name,
            "addresses": [each.value for each in addresses.get(row.id, [])],
            "chosen": str(row.id) == chosen,
        }
        for row in rows
    ]


async def _contract(db: Database, key: str) -> Contract:
    async with db.read() as conn:
        row = await get_template(conn, key)
    if row.published_contract is None:
        raise NotFound("published template", key)
    return msgspec.convert(row.published_contract, Contract)


async def _made(
    db: Database, registry: Registry, renderer: Renderer, key: str, form: Mapping[str, Any]
) -> PreviewOut | None:
    """The published version with what was typed; examples stand in for what is still missing."""
    async with db.read() as conn:
        row = await get_template(conn, key)
    if row.version is None:
        return None
    contract = msgspec.convert(row.published_contract, Contract)
    wanted = str(form.get("preview", "")) or (str(form.get("channel", "")) if form.get("to") == "address" else "")
    channel = wanted if wanted in row.channels else row.channels[0]
    data = {**contract.example(), **read_data(contract, form)}
    locale = str(form.get("locale", "")).strip()
    asked = PreviewIn(
        channel=channel, locale=locale if 2 <= len(locale) <= 35 else None, data=data, version=row.version
    )
    return await rendered(db, registry, renderer, key, asked)


def _filters(query: Mapping[str, str], problems: dict[str, str]) -> Filters:
    """The list's filters; what does not fit is said and otherwise left out."""
    person = None
    if query["person"]:
        try:
            person = UUID(query["person"])
        except ValueError:
            problems["person"] = "expected the id of a person"
    return Filters(
        created_from=_day(query["since"], "since", problems),
        created_to=_day(query["until"], "until", problems, days=1),
        priority=query["priority"] or None,
        status=query["status"] or None,
        channel=query["channel"] or None,
        template=query["template"] or None,
        group=query["group"] or None,
        person_id=person,
        reference=query["reference"] or None,
        application=query["application"] or None,
    )


def _day(text: str, name: str, problems: dict[str, str], *, days: int = 0) -> datetime | None:
    """The beginning of a day in UTC, or of one some days later."""
    if not text:
        return None
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
        if not 1970 <= day.year <= 9000:
            raise ValueError
        return day + timedelta(days=days)
    except ValueError:
        problems[name] = "expected a day such as 2026-01-31"
        return None


def _choices(registry: Registry, senders: Sequence[Any]) -> dict[str, Any]:
    """What the filters offer."""
    return {
        "statuses": list(NOTIFICATION_MOVES),
        "lanes": list(LANES),
        "channels": _channels(registry),
        "applications": [(row.key, row.name) for row in senders],
    }


def _channels(registry: Registry) -> list[tuple[str, str]]:
    return [(name, adapter.title) for name, adapter in sorted(registry.channels.items())]


pages_router = Router(
    path="/",
    include_in_schema=False,
    route_handlers=[listed_page, detail, cancelled, replayed, send_page, sent, people, previewed, previewed_mail],
)
