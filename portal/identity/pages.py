"""Pages: sign-in, the account of whoever is signed in, and users."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from litestar import Request, Response, Router, get, post

from portal.access import ROLES, Actor
from portal.access.roles import ROLE_TITLES
from portal.db import Database
from portal.errors import InvalidInput, NotFound, TooMany
from portal.identity import users as verbs
from portal.identity.links import look_at_link
from portal.identity.queries import user_by_id, users
from portal.identity.sign_in import set_password, sign_in_by_link, sign_in_by_password
from portal.identity.sign_out import sign_out, sign_out_elsewhere
from portal.sealing import Keyring
from portal.settings import Settings
from portal.web.forms import Field, many, with_errors
from portal.web.guards import public, require, signed_in
from portal.web.problems import status_of
from portal.web.render import local_path, page, redirect
from portal.web.sessions import sessions_of
from portal.web.visit import client_address, visit_of

AnyRequest = Request[Any, Any, Any]
Answer = Response[str]

SIGN_IN_FIELDS = (
    Field(name="email", label="E-mail", kind="email", required=True, attributes={"autocomplete": "username"}),
    Field(
        name="password",
        label="Password",
        kind="password",
        required=True,
        attributes={"autocomplete": "current-password"},
    ),
)
INVITE_FIELDS = (
    Field(name="email", label="E-mail", kind="email", required=True, attributes={"autocomplete": "off"}),
    Field(name="name", label="Name", attributes={"maxlength": "200", "autocomplete": "off"}),
)


@get("/sign-in", guards=[public])
async def sign_in_page(request: AnyRequest) -> Answer:
    """The form; somebody who is signed in goes on to where they wanted."""
    wanted = local_path(request.query_params.get("next"))
    if visit_of(request).session:
        return redirect(request, wanted)
    return page(request, "identity/sign_in.html", fields=SIGN_IN_FIELDS, errors={}, wanted=wanted)


@post("/sign-in", guards=[public])
async def sign_in(request: AnyRequest, db: Database, keyring: Keyring) -> Answer:
    """Check the password and start a session."""
    form, visit = many(await request.form()), visit_of(request)
    wanted = local_path(str(form.get("next", "")))
    try:
        identifier = await sign_in_by_password(
            db,
            keyring,
            str(form.get("email", "")),
            str(form.get("password", "")),
            **_browser(request),
        )
    except (InvalidInput, TooMany) as error:
        errors = error.fields if isinstance(error, InvalidInput) else {"": error.message}
        return page(
            request,
            "identity/sign_in.html",
            status=status_of(error) if isinstance(error, TooMany) else 422,
            fields=with_errors(SIGN_IN_FIELDS, {}, form),
            errors=errors,
            wanted=wanted,
        )
    visit.sign_in(identifier)
    return redirect(request, wanted)


@get("/sign-in/link", guards=[public])
async def link_page(request: AnyRequest, db: Database) -> Answer:
    """Ask before the link is used up: mail scanners open every link they see."""
    token = request.query_params.get("token", "")
    async with db.read() as conn:
        user = await look_at_link(conn, token)
    return page(request, "identity/link.html", user=user, token=token)


@post("/sign-in/link", guards=[public])
async def use_link(request: AnyRequest, db: Database) -> Answer:
    """Use the link and start a session."""
    form = many(await request.form())
    user_id, identifier = await sign_in_by_link(db, str(form.get("token", "")), **_browser(request))
    visit_of(request).sign_in(identifier)
    async with db.read() as conn:
        user = await user_by_id(conn, user_id)
    if user is not None and not user.has_password:
        return redirect(request, "/account", flash=("info", "You are signed in. Set a password for the next time."))
    return redirect(request, "/")


@post("/sign-out", guards=[signed_in])
async def sign_out_here(request: AnyRequest, db: Database, actor: Actor) -> Answer:
    """End this session."""
    visit = visit_of(request)
    if visit.session:
        await db.transact(sign_out, actor, visit.session.id_hash)
    visit.sign_out()
    return redirect(request, "/sign-in", flash=("info", "You are signed out."))


@get("/account", guards=[signed_in])
async def account(request: AnyRequest, db: Database, actor: Actor) -> Answer:
    """The user's own page."""
    return await _account(request, db, actor)


@post("/account/password", guards=[signed_in])
async def change_password(request: AnyRequest, db: Database, actor: Actor) -> Answer:
    """Set the password; this session is renewed and all others end."""
    form, visit = many(await request.form()), visit_of(request)
    assert visit.session is not None  # the guard lets only users in, and users have sessions
    try:
        if form.get("password") != form.get("again"):
            raise InvalidInput({"again": "expected the same password again"})
        await set_password(
            db,
            actor,
            str(form.get("password", "")),
            present=str(form.get("present", "")),
            without_present=visit.session.method == "link",
        )
    except InvalidInput as error:
        return await _account(request, db, actor, errors=error.fields, status=422)
    visit.sign_in(await db.transact(sign_out_elsewhere, actor, **_browser(request)))
    return redirect(request, "/account", flash=("success", "The password is set; every other session has ended."))


@post("/account/sessions/end", guards=[signed_in])
async def end_other_sessions(request: AnyRequest, db: Database, actor: Actor) -> Answer:
    """End all sessions but this one."""
    visit_of(request).sign_in(await db.transact(sign_out_elsewhere, actor, **_browser(request)))
    return redirect(request, "/account", flash=("success", "Every other session has ended."))


@get("/users", guards=[require("users:write")])
async def users_page(request: AnyRequest, db: Database) -> Answer:
    """Users with their roles, and the form to invite one."""
    return await _users(request, db)


@post("/users", guards=[require("users:write")])
async def invite(request: AnyRequest, db: Database, actor: Actor, settings: Settings) -> Answer:
    """Create a user and show the link for them, once."""
    form = many(await request.form())
    try:
        path = await verbs.invite_user(
            db, actor, str(form.get("email", "")), _list(form.get("roles")), str(form.get("name", ""))
        )
    except InvalidInput as error:
        return await _users(request, db, form=form, errors=error.fields, status=422)
    return await _users(request, db, link=settings.base_url + path, link_for=verbs.fold_email(str(form["email"])))


@get("/users/{user_id:uuid}", guards=[require("users:write")])
async def user_page(request: AnyRequest, db: Database, user_id: UUID) -> Answer:
    """One user: roles, a new link, disable."""
    return await _user(request, db, user_id)


@post("/users/{user_id:uuid}/roles", guards=[require("users:write")])
async def change_roles(request: AnyRequest, db: Database, actor: Actor, user_id: UUID) -> Answer:
    """Give the user exactly the ticked roles."""
    form = many(await request.form())
    await db.transact(verbs.set_roles, actor, user_id, _list(form.get("roles")))
    flash = ("success", "The roles are changed; the user's sessions have ended.")
    return redirect(request, f"/users/{user_id}", flash=flash)


@post("/users/{user_id:uuid}/link", guards=[require("users:write")])
async def make_new_link(request: AnyRequest, db: Database, actor: Actor, settings: Settings, user_id: UUID) -> Answer:
    """Show a new one-time link for the user."""
    path = await db.transact(verbs.new_link, actor, user_id)
    return await _user(request, db, user_id, link=settings.base_url + path)


@post("/users/{user_id:uuid}/disable", guards=[require("users:write")])
async def disable(request: AnyRequest, db: Database, actor: Actor, user_id: UUID) -> Answer:
    """Shut the user out."""
    await db.transact(verbs.disable_user, actor, user_id)
    return redirect(request, f"/users/{user_id}", flash=("success", "The user is disabled and signed out everywhere."))


@post("/users/{user_id:uuid}/enable", guards=[require("users:write")])
async def enable(request: AnyRequest, db: Database, actor: Actor, user_id: UUID) -> Answer:
    """Let the user in again."""
    await db.transact(verbs.enable_user, actor, user_id)
    return redirect(request, f"/users/{user_id}", flash=("success", "The user may sign in again."))


async def _account(
    request: AnyRequest, db: Database, actor: Actor, *, errors: dict[str, str] | None = None, status: int = 200
) -> Answer:
    session = visit_of(request).session
    async with db.read() as conn:
        user = await user_by_id(conn, actor.id)
        sessions = await sessions_of(conn, actor.id)
    if user is None or session is None:
        raise NotFound("user", actor.id)
    needs_present = user.has_password and session.method != "link"
    return page(
        request,
        "identity/account.html",
        status=status,
        user=user,
        sessions=sessions,
        this_session=session.id_hash,
        fields=with_errors(_password_fields(needs_present), errors or {}, {}),
        errors=errors or {},
    )


async def _users(
    request: AnyRequest,
    db: Database,
    *,
    form: dict[str, Any] | None = None,
    errors: dict[str, str] | None = None,
    link: str = "",
    link_for: str = "",
    status: int = 200,
) -> Answer:
    search = request.query_params.get("q", "").strip()
    async with db.read() as conn:
        found = await users(conn, search)
    return page(
        request,
        "identity/users.html",
        block="results" if request.method == "GET" else None,
        status=status,
        users=found,
        search=search,
        fields=[*with_errors(INVITE_FIELDS, errors or {}, form or {}), _roles_field(form, errors)],
        link=link,
        link_for=link_for,
    )


async def _user(request: AnyRequest, db: Database, user_id: UUID, *, link: str = "") -> Answer:
    async with db.read() as conn:
        user = await user_by_id(conn, user_id)
        sessions = await sessions_of(conn, user_id)
    if user is None:
        raise NotFound("user", user_id)
    field = _roles_field({"roles": user.roles}, None)
    return page(request, "identity/user.html", user=user, sessions=sessions, roles_field=field, link=link)


def _roles_field(form: dict[str, Any] | None, errors: dict[str, str] | None) -> Field:
    options = [(role, role.capitalize(), ROLE_TITLES[role]) for role in ROLES]
    chosen = _list((form or {}).get("roles", []))
    return Field(
        name="roles", label="Roles", kind="checks", options=options, value=chosen, error=(errors or {}).get("roles", "")
    )


def _password_fields(needs_present: bool) -> list[Field]:
    present = Field(
        name="present",
        label="Present password",
        kind="password",
        required=True,
        attributes={"autocomplete": "current-password"},
    )
    new = Field(
        name="password",
        label="New password",
        kind="password",
        required=True,
        help="At least 12 characters; a few unrelated words are easy to keep in mind.",
        attributes={"autocomplete": "new-password", "minlength": "12", "maxlength": "256"},
    )
    again = Field(
        name="again", label="Again", kind="password", required=True, attributes={"autocomplete": "new-password"}
    )
    return [present, new, again] if needs_present else [new, again]


def _browser(request: AnyRequest) -> dict[str, str]:
    """What a new session keeps of the browser, and the session that it replaces."""
    session = visit_of(request).session
    return {
        "address": client_address(request.scope),
        "user_agent": request.headers.get("user-agent", ""),
        "replaces": session.id_hash if session else "",
    }


def _list(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)] if value else []


pages_router = Router(
    path="/",
    route_handlers=[
        sign_in_page,
        sign_in,
        link_page,
        use_link,
        sign_out_here,
        account,
        change_password,
        end_other_sessions,
        users_page,
        invite,
        user_page,
        change_roles,
        make_new_link,
        disable,
        enable,
    ],
    include_in_schema=False,
)
