"""The JSON API of notifications, uploaded files, the sandbox outbox and the balance."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from litestar import Request, Response, Router, delete, get, patch, post
from litestar.openapi.spec import Operation
from litestar.params import FromPath, FromQuery, QueryParameter

from portal.access import Actor
from portal.db import Database
from portal.errors import InvalidInput
from portal.ledger.counts import Balance
from portal.message_templates import Templates
from portal.notifications.attachments import get_attachment_for, upload
from portal.notifications.body import read_body
from portal.notifications.bulk import BulkDoor
from portal.notifications.cancel import cancel
from portal.notifications.erase import erase
from portal.notifications.intake import Answer, Intake
from portal.notifications.patch import patch as change
from portal.notifications.queries import (
    Filters,
    get_notification_for,
    list_notifications_for,
    sandbox_messages_for,
    show_recent,
    steady_balance,
)
from portal.notifications.replay import replay
from portal.notifications.schemas import (
    AttachmentOut,
    BulkItem,
    BulkOut,
    NotificationAccepted,
    NotificationIn,
    NotificationList,
    NotificationOut,
    NotificationPatch,
    Priority,
    ReplayIn,
    SandboxMessageList,
)
from portal.notifications.show import attachment, listed, sandbox_message, shown
from portal.plugin_loader import Registry
from portal.queues import Bell
from portal.settings import Settings
from portal.web.documented import body_schema, problems
from portal.web.guards import machines, require
from portal.web.if_match import IfMatch, etag, revision_of
from portal.web.paging import MAX_PAGE_SIZE, PAGE_SIZE, decode_cursor, page_of

AnyRequest = Request[Any, Any, Any]
SEND: dict[str, Any] = {"guards": [require("notifications:send")], "opt": {"permission": "notifications:send"}}
# The intake checks the key itself, the same way for both doors.
DOOR: dict[str, Any] = {"guards": [machines], "opt": {"permission": "notifications:send"}}
READ: dict[str, Any] = {"guards": [require("notifications:read")], "opt": {"permission": "notifications:read"}}
WRITE: dict[str, Any] = {"guards": [require("notifications:write")], "opt": {"permission": "notifications:write"}}
SANDBOX: dict[str, Any] = {"guards": [require("sandbox:read")], "opt": {"permission": "sandbox:read"}}
METADATA = "metadata."
Status = Literal["held", "scheduled", "accepted", "planned", "sent", "failed", "skipped", "expired", "cancelled"]
Limit = Annotated[int, QueryParameter(ge=1, le=MAX_PAGE_SIZE, description="Rows of one page.")]
CursorText = Annotated[str | None, QueryParameter(description="`next` of the page before.")]


class OneNotification(Operation):
    """Documents the body of the single door, which the intake decodes itself."""

    def to_schema(self) -> dict[str, Any]:
        return super().to_schema() | {"requestBody": body_schema({"application/json": NotificationIn})}


class ManyNotifications(Operation):
    """Documents the body of the bulk door, which is read as it comes."""

    def to_schema(self) -> dict[str, Any]:
        shapes = {"application/json": list[BulkItem], "application/x-ndjson": BulkItem}
        return super().to_schema() | {"requestBody": body_schema(shapes)}


@post(
    "/notifications",
    summary="Send a notification",
    status_code=202,
    operation_class=OneNotification,
    responses=problems(400, 409, 413, 422),
    **DOOR,
)
async def sent(request: AnyRequest, intake: Intake) -> Response[NotificationAccepted]:
    """Accept one notification. `Idempotency-Key` makes it safe to send the same request again within a day."""
    body = await read_body(request.receive)
    return _response(None if body is None else await intake.answer(dict(request.scope["headers"]), body))


@post(
    "/notifications/bulk",
    summary="Send many notifications",
    status_code=202,
    operation_class=ManyNotifications,
    responses=problems(400, 413, 415),
    **DOOR,
)
async def sent_in_bulk(request: AnyRequest, bulk: BulkDoor) -> Response[BulkOut]:
    """Accept many notifications, as a JSON array or one per line (NDJSON); the answers are in the order of the items.

    Nothing is stored before the whole body was read: a request that breaks off stores nothing. Items with an
    `idempotency_key` may be sent again when the answer was lost.
    """
    return _response(await bulk.answer(dict(request.scope["headers"]), request.receive))


@get("/notifications", summary="List notifications", responses=problems(400), **READ)
async def listed_page(
    request: AnyRequest,
    db: Database,
    actor: Actor,
    created_from: FromQuery[datetime | None] = None,
    created_to: FromQuery[datetime | None] = None,
    priority: FromQuery[Priority | None] = None,
    status: FromQuery[Status | None] = None,
    channel: FromQuery[str | None] = None,
    template: FromQuery[str | None] = None,
    category: FromQuery[str | None] = None,
    group: FromQuery[str | None] = None,
    person: FromQuery[UUID | None] = None,
    reference: FromQuery[str | None] = None,
    application: FromQuery[str | None] = None,
    limit: Limit = PAGE_SIZE,
    cursor: CursorText = None,
) -> NotificationList:
    """Notifications, newest first. `metadata.NAME=VALUE` filters by metadata; `group` and `application` take id or key."""
    filters = Filters(
        created_from=_aware("created_from", created_from),
        created_to=_aware("created_to", created_to),
        priority=priority,
        status=status,
        channel=channel,
        template=template,
        category=category,
        group=group,
        person_id=person,
        reference=reference,
        application=application,
        metadata=_metadata(request),
    )
    return await _page(db, actor, filters, limit, cursor)


@get("/notifications/{notification_id:uuid}", summary="Get a notification", responses=problems(400, 404), **READ)
async def one(
    notification_id: FromPath[UUID], db: Database, actor: Actor, registry: Registry
) -> Response[NotificationOut]:
    """A notification with its deliveries, their attempts and the reason of every skip."""
    return await _shown(db, actor, registry, notification_id)


@patch(
    "/notifications/{notification_id:uuid}",
    summary="Change a notification that no worker has",
    responses=problems(400, 404, 409, 412),
    **WRITE,
)
async def changed(
    notification_id: FromPath[UUID],
    data: NotificationPatch,
    db: Database,
    actor: Actor,
    registry: Registry,
    templates: Templates,
    bell: Bell,
    if_match: IfMatch = None,
) -> Response[NotificationOut]:
    """Change time, priority or data. `If-Match` is required; once a worker has the notification the answer is 409."""
    await change(db, actor, notification_id, data, revision=revision_of(if_match), templates=templates, bell=bell)
    return await _shown(db, actor, registry, notification_id)


@post(
    "/notifications/{notification_id:uuid}/cancel",
    summary="Cancel a notification",
    status_code=200,
    responses=problems(400, 404, 409, 412),
    **WRITE,
)
async def cancelled(
    notification_id: FromPath[UUID], db: Database, actor: Actor, if_match: IfMatch = None
) -> NotificationAccepted:
    """Cancel what waits for its time, its turn or a retry. Cancelling twice changes nothing."""
    status = await cancel(db, actor, notification_id, revision=revision_of(if_match))
    return NotificationAccepted(notification_id, status)


@post(
    "/notifications/{notification_id:uuid}/replay",
    summary="Send an ended notification again",
    status_code=202,
    responses=problems(400, 404, 409),
    **WRITE,
)
async def replayed(
    notification_id: FromPath[UUID], db: Database, actor: Actor, bell: Bell, data: ReplayIn | None = None
) -> NotificationAccepted:
    """A new notification that is linked to the old one. A second replay needs `{"again": true}`."""
    again = data is not None and data.again
    return NotificationAccepted(await replay(db, actor, notification_id, bell=bell, again=again), "accepted")


@delete(
    "/notifications/{notification_id:uuid}",
    summary="Erase a notification's content",
    status_code=204,
    responses=problems(400, 404, 409, 412),
    **WRITE,
)
async def erased(notification_id: FromPath[UUID], db: Database, actor: Actor, if_match: IfMatch = None) -> None:
    """Delete what it said and to whom; the record that it existed stays. A live notification is cancelled first."""
    await erase(db, actor, notification_id, revision=revision_of(if_match))


@post("/attachments", summary="Upload a file", status_code=201, responses=problems(400, 413), **SEND)
async def uploaded(
    request: AnyRequest,
    db: Database,
    actor: Actor,
    registry: Registry,
    settings: Settings,
    name: FromQuery[str | None] = None,
    application_id: FromQuery[UUID | None] = None,
) -> AttachmentOut:
    """A file to go with notifications: multipart with the field `file`, or the bytes as the body with `?name=`."""
    given, content_type, content = await _file(request, name)
    row = await upload(
        db,
        actor,
        registry,
        name=given,
        content_type=content_type,
        content=content,
        limit=settings.max_attachment_bytes,
        application_id=application_id,
    )
    return attachment(row)


@get("/attachments/{attachment_id:uuid}", summary="Get the facts of a file", responses=problems(404), **SEND)
async def file_facts(attachment_id: FromPath[UUID], db: Database, actor: Actor) -> AttachmentOut:
    async with db.read() as conn:
        return attachment(await get_attachment_for(conn, actor, attachment_id))


@get("/sandbox/messages", summary="List what sandbox accounts took", responses=problems(400), **SANDBOX)
async def sandbox_messages(
    db: Database,
    actor: Actor,
    reference: FromQuery[str | None] = None,
    notification_id: FromQuery[UUID | None] = None,
    channel: FromQuery[str | None] = None,
    limit: Limit = PAGE_SIZE,
    cursor: CursorText = None,
) -> SandboxMessageList:
    """Messages that would have been sent, rendered, newest first."""
    after = decode_cursor(cursor)
    filters = {"reference": reference, "notification_id": notification_id, "channel": channel}
    async with db.read() as conn:
        rows = await sandbox_messages_for(conn, actor, limit=limit + 1, after=after, **filters)  # type: ignore[arg-type]
    page = page_of(rows, limit)
    return SandboxMessageList([sandbox_message(row) for row in page.rows], page.next)


@get("/balance", summary="Get the balance", **READ)
async def balance_now(db: Database) -> Balance:
    """All that was accepted, what ended by status, and what is in flight; `difference` is 0 when all is well."""
    return await steady_balance(db)


async def _page(db: Database, actor: Actor, filters: Filters, limit: int, cursor: str | None) -> NotificationList:
    after = decode_cursor(cursor)
    if after is None:
        await show_recent(db, actor)
    async with db.read() as conn:
        rows = await list_notifications_for(conn, actor, filters, limit=limit + 1, after=after)
    page = page_of(rows, limit)
    return NotificationList([listed(row) for row in page.rows], page.next)


async def _shown(db: Database, actor: Actor, registry: Registry, notification_id: UUID) -> Response[NotificationOut]:
    async with db.read() as conn:
        found = await get_notification_for(conn, actor, notification_id)
    return Response(shown(found, registry, actor), headers=etag(found.row["revision"]))


async def _file(request: AnyRequest, name: str | None) -> tuple[str, str, bytes]:
    """Name, content type and content of the uploaded file, in whichever of the two forms it came."""
    content_type = request.content_type[0]
    if content_type != "multipart/form-data":
        return name or "", content_type or "application/octet-stream", await request.body()
    file = (await request.form()).get("file")
    if file is None or isinstance(file, str):
        raise InvalidInput({"file": "expected a file in the form field `file`"})
    # Some clients send the whole path.
    base = (name or file.filename).replace("\\", "/").rpartition("/")[2]
    return base, file.content_type.partition(";")[0].strip().lower(), await file.read()


def _metadata(request: AnyRequest) -> dict[str, str]:
    wanted: dict[str, str] = {}
    for parameter, value in request.query_params.multi_items():
        name = parameter.removeprefix(METADATA)
        if parameter.startswith(METADATA) and name:
            if wanted.setdefault(name, value) != value:
                raise InvalidInput({parameter: "expected one value"})
    return wanted


def _aware(field: str, moment: datetime | None) -> datetime | None:
    if moment is not None and moment.tzinfo is None:
        raise InvalidInput({field: "expected an instant with its zone, such as 2026-01-31T09:00:00Z"})
    # Beyond these, a change of zone leaves the calendar.
    if moment is not None and not 1970 <= moment.year <= 9000:
        raise InvalidInput({field: "expected a year from 1970 to 9000"})
    return moment


def _response(answer: Answer | None) -> Response[Any]:
    """A door's answer as the framework sends it; without one nobody is there to read it."""
    if answer is None:
        return Response(b"", status_code=400, media_type="application/json")
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in answer.headers}
    media_type = headers.pop("content-type")
    return Response(answer.body, status_code=answer.status, headers=headers, media_type=media_type)


api_router = Router(
    path="/",
    tags=["Notifications"],
    route_handlers=[
        sent,
        sent_in_bulk,
        listed_page,
        one,
        changed,
        cancelled,
        replayed,
        erased,
        uploaded,
        file_facts,
        sandbox_messages,
        balance_now,
    ],
)
