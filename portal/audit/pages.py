"""Page: the audit."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from litestar import Request, Response, Router, get, post

from portal.audit.queries import AuditFilter, entries
from portal.audit.verify import verify
from portal.db import Database
from portal.errors import InvalidInput
from portal.sealing import Keyring
from portal.web.forms import read_datetime
from portal.web.guards import require
from portal.web.paging import PAGE_SIZE, decode_cursor, page_of
from portal.web.render import page

AnyRequest = Request[Any, Any, Any]
FILTERS = ("action", "actor", "target", "since", "until")


@get("/audit", guards=[require("audit:read")])
async def audit_page(request: AnyRequest, db: Database) -> Response[str]:
    """Who changed what, newest first."""
    query = {name: request.query_params.get(name, "").strip() for name in (*FILTERS, "cursor")}
    wanted = AuditFilter(
        action=query["action"],
        actor=query["actor"],
        target=query["target"],
        since=_day("since", query["since"]),
        until=_day("until", query["until"], after=1),
    )
    async with db.read() as conn:
        rows = await entries(conn, wanted, PAGE_SIZE + 1, decode_cursor(query["cursor"]))
    return page(request, "audit/audit.html", block="results", found=page_of(rows, PAGE_SIZE), query=query)


@post("/audit/verify", guards=[require("audit:read")])
async def verify_page(request: AnyRequest, db: Database, keyring: Keyring) -> Response[str]:
    """Check the chain and say what was found."""
    verdict = await verify(db, keyring)
    return page(request, "audit/verdict.html", block="verdict", verdict=verdict)


def _day(name: str, text: str, after: int = 0) -> datetime | None:
    if not text:
        return None
    try:
        return read_datetime(text) + timedelta(days=after)
    except (ValueError, OverflowError) as error:
        raise InvalidInput({name: str(error)}) from None


pages_router = Router(path="/", route_handlers=[audit_page, verify_page], include_in_schema=False)
