"""`edge-platform ca`: the authority that issues certificates for boxes, servers and the platform's programs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from sync.platform.commands import options
from sync.platform.commands.output import echo
from sync.redaction import log_without_passwords
from sync.signals import until_signalled

app = typer.Typer(no_args_is_help=True, help="The certificate authority of this district.")


@app.callback()
def ca() -> None:
    """The certificate authority of this district."""


@app.command()
def init(
    url: Annotated[str, typer.Option(help="https://host:port at which boxes reach `ca enrol`.")],
    district: options.District = options.DISTRICT,
    data: options.Data = options.DATA,
) -> None:
    """Create the root, the issuing key and the registry of boxes; an existing file is never replaced."""
    from sync.contract.enrolment import check_est_url
    from sync.platform.authority.certificates import CaFiles
    from sync.platform.authority.registry import Registry

    async def store_url() -> None:
        async with Registry.opened(data / "boxes.db") as registry:
            await registry.change(lambda transaction: transaction.set_url(address))

    files = CaFiles.below(data / "ca")
    try:
        address = check_est_url(url)
    except ValueError as exc:
        raise typer.BadParameter(str(exc), param_hint="--url") from exc
    with options.report_errors():
        files.check_absent()
        asyncio.run(store_url())
        authority = files.create(district)
    echo(f"根证书 root: {files.root}", f"指纹 fingerprint (SHA-256): {authority.sha256}")
    echo(f"签发密钥 issuing key, secret: {files.issuing_key}")
    echo(
        f"根密钥 root key, secret: {files.root_key}",
        "  请移到离线介质并锁好，日常不再需要。 Move it to a medium in a safe; no command needs it again.",
    )


@app.command()
def issue(
    name: Annotated[str, typer.Argument(help="platform, or the base name of the files of a server.")],
    host: Annotated[list[str], typer.Option(help="Host name or address of the server; may be repeated.")] = [],  # noqa: B006
    out: Annotated[Path, typer.Option(help="Folder for NAME.pem and NAME.key.")] = Path(),
    data: options.Data = options.DATA,
) -> None:
    """Issue a key and certificate for the platform's programs, or with --host for a server."""
    from sync.contract.topics import check_name
    from sync.platform.authority.certificates import CaFiles
    from sync.platform.authority.own import expiry, write_platform_files, write_server_files

    with options.report_errors():
        authority = CaFiles.below(data / "ca").load()
        if host:
            files = write_server_files(authority, out, check_name(name), host)
        elif name == "platform":
            files = write_platform_files(authority, out)
        else:
            raise ValueError("boxes enrol themselves: give --host for a server, or the name platform")
        until = expiry(out / f"{name}.pem")
    echo(str(files.certificate), str(files.key), str(files.ca), f"有效期至 valid until: {until:%Y-%m-%d}")


@app.command()
def enrol(
    listen: Annotated[
        str, typer.Option(help="host:port; 0.0.0.0:8443 makes it reachable for boxes.")
    ] = "127.0.0.1:8443",
    accept_rule: Annotated[
        list[str], typer.Option(help="Accept serials with this prefix without an operator; may be repeated.")
    ] = [],  # noqa: B006
    days: Annotated[int, typer.Option(help="Validity of a box certificate in days.", min=1, max=1825)] = 365,
    grace_days: Annotated[
        int,
        typer.Option(
            help="Days after expiry in which a certificate may still request renewal, with an operator's approval.",
            min=0,
        ),
    ] = 365,
    pid_file: Annotated[
        Path, typer.Option(help="PID file of a mosquitto on this machine, which reloads the list after a renewal.")
    ] = options.PID_FILE,
    data: options.Data = options.DATA,
) -> None:
    """Serve enrolment and renewal to boxes (EST, RFC 7030) until interrupted.

    A renewed certificate replaces the earlier one, which is added to the revocation lists of the brokers.
    """
    from sync.contract.enrolment import est_host
    from sync.platform.authority.certificates import CaFiles
    from sync.platform.authority.enroller import Enroller, Rules
    from sync.platform.authority.est import EstServer
    from sync.platform.authority.registry import Registry
    from sync.platform.brokers.revocation_lists import RevocationLists

    async def run() -> None:
        async with contextlib.AsyncExitStack() as stack:
            registry = await stack.enter_async_context(Registry.opened(data / "boxes.db"))
            url = await registry.change(lambda transaction: transaction.url())
            lists = RevocationLists(authority, files, registry, pid_file)
            rules = Rules(tuple(accept_rule), days, timedelta(days=grace_days))
            enroller = Enroller(authority, registry, rules, lists.update)
            await lists.update()  # what an earlier process left to do
            server = EstServer(authority, enroller, data / "ca", [est_host(url)])
            await stack.enter_async_context(server.served(host, port))
            echo(f"登记服务 enrolment at {url}, district {authority.district}")
            await asyncio.Event().wait()

    log_without_passwords(logging.INFO, options.LOG)
    files = CaFiles.below(data / "ca")
    with options.report_errors():
        host, port = options.address("--listen", listen)
        authority = files.load()
        asyncio.run(until_signalled(run()))
