"""The `portal` command. Each command imports what it needs when it runs, so that none pays for the others."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from portal.errors import PortalError
from portal.settings import Settings, load

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="One service and one portal for every notification.",
)
keys = typer.Typer(no_args_is_help=True, help="API keys of calling systems.")
users = typer.Typer(no_args_is_help=True, help="People who sign in to the portal.")
plugins = typer.Typer(no_args_is_help=True, help="Channels and providers.")
providers = typer.Typer(no_args_is_help=True, help="Provider accounts.")
verify = typer.Typer(no_args_is_help=True, help="Proofs.")
app.add_typer(keys, name="keys")
app.add_typer(users, name="users")
app.add_typer(plugins, name="plugins")
app.add_typer(providers, name="providers")
app.add_typer(verify, name="verify")


def main() -> None:
    """Run the command; an error that the user can mend is one sentence and exit code 1."""
    try:
        app()
    except PortalError as error:
        typer.echo(f"portal: {error.message}", err=True)
        raise SystemExit(1) from None


def _settings() -> Settings:
    """The settings, pointed at the installation that runs on the data folder when there is one."""
    from portal.runtime import logs

    settings = load()
    logs.configure("warning", as_json=settings.log_json)
    return settings


@app.command()
def up() -> None:
    """Everything on one machine: migrations, an embedded Valkey, web and workers; Ctrl-C stops it."""
    from portal.ops.up import up as run_up

    raise SystemExit(run_up(load()))


@app.command()
def serve() -> None:
    """The web server: portal and JSON API."""
    from portal.ops.serve import serve as run_server
    from portal.runtime import logs

    settings = load()
    logs.configure(settings.log_level, as_json=settings.log_json)
    run_server(settings)


@app.command()
def worker() -> None:
    """A worker: takes high before medium before low, delivers, sweeps."""
    import uvloop

    from portal import worker as lane_worker
    from portal.runtime import logs

    settings = load()
    logs.configure(settings.log_level, as_json=settings.log_json)
    uvloop.run(lane_worker.run(settings))


@app.command()
def migrate() -> None:
    """Bring the database to this version."""
    from portal.db.migrate import upgrade

    asyncio.run(upgrade(_settings().database))


@app.command()
def doctor() -> None:
    """Check durability, Redis, clocks, plugins and keys; says what to do. Exit code 1 when something is wrong."""
    from portal.ops.doctor import examine

    findings = asyncio.run(examine(_settings()))
    for finding in findings:
        typer.echo(finding.line())
    raise SystemExit(1 if any(finding.bad for finding in findings) else 0)


@app.command()
def send(
    template: Annotated[str | None, typer.Option(help="Key of the template.")] = None,
    to: Annotated[str | None, typer.Option(help="channel:address, person:ID or SOURCE:ID of an external id.")] = None,
    data: Annotated[list[str] | None, typer.Option(help="name=value; a value that is JSON is taken as JSON.")] = None,
    priority: Annotated[str | None, typer.Option(help="high, medium or low.")] = None,
    reference: Annotated[str | None, typer.Option(help="Your own reference.")] = None,
    file: Annotated[Path | None, typer.Option(help="A JSON file with the whole request; - for standard input.")] = None,
    key: Annotated[str, typer.Option(envvar="PORTAL_API_KEY", help="API key.")] = "",
    url: Annotated[
        str, typer.Option(envvar="PORTAL_URL", help="Address of the portal; empty: from the settings.")
    ] = "",
) -> None:
    """Send one notification through the JSON API and print its id."""
    from portal.client import Client
    from portal.ops.compose import compose

    body = compose(template=template, to=to, data=data or [], priority=priority, reference=reference, file=file)
    with Client(url or load().base_url, key) as client:
        typer.echo(client.send(body)["id"])


@keys.command("create")
def keys_create(
    name: str,
    scopes: Annotated[str, typer.Option(help="Comma-separated scopes; empty: what a sending system needs.")] = "",
    application: Annotated[str, typer.Option(help="Key of the application; it is made when new.")] = "default",
    test: Annotated[bool, typer.Option("--test", help="A test key: everything goes to the sandbox.")] = False,
) -> None:
    """Create an API key; prints nothing but the key, once."""
    from portal.ops.keys import create

    wanted = [scope.strip() for scope in scopes.split(",") if scope.strip()]
    typer.echo(asyncio.run(create(_settings(), name, application=application, scopes=wanted, test=test)))


@users.command("create")
def users_create(
    email: str,
    role: Annotated[list[str] | None, typer.Option(help="admin, designer, approver, operator, viewer.")] = None,
) -> None:
    """Create a user; prints a one-time sign-in link."""
    from portal.ops.users import create

    typer.echo(asyncio.run(create(_settings(), email, role or ["viewer"])))


@plugins.command("list")
def plugins_list() -> None:
    """Every plugin that was found, and why one is off."""
    from portal.plugin_loader import load as load_plugins

    for info in load_plugins(_settings()).plugins:
        state = f"broken: {info.problem}" if info.problem else "on" if info.enabled else "off"
        typer.echo(f"{info.name:<16} {info.version:<10} {state:<8} {', '.join([*info.channels, *info.providers])}")


@plugins.command("new")
def plugins_new(
    name: str, folder: Annotated[Path | None, typer.Option(help="Where to; default: the plugins folder.")] = None
) -> None:
    """Write a tested plugin to start from."""
    from portal.plugin_loader.scaffold import new_plugin

    settings = _settings()
    target = folder or Path(settings.plugins_dir or "plugins")
    typer.echo(f"Wrote {new_plugin(name, target)}. Enable it with PORTAL_PLUGINS.")


@providers.command("reseal")
def providers_reseal() -> None:
    """Seal all secrets under the first key of PORTAL_SECRET_KEY; afterwards the old key may be taken out."""
    from portal.ops.reseal import reseal_all

    typer.echo(f"{asyncio.run(reseal_all(_settings()))} accounts sealed anew.")


@verify.command("audit")
def verify_audit() -> None:
    """Check the audit's chain: names the first broken entry, a truncation, and the age of the unsealed tail."""
    from portal.ops.verify import audit

    intact, text = asyncio.run(audit(_settings()))
    typer.echo(text)
    raise SystemExit(0 if intact else 1)


if __name__ == "__main__":
    main()
