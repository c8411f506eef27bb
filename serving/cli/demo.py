"""`huaxiang demo`."""

from __future__ import annotations

import signal
from contextlib import suppress
from typing import Annotated

import typer

from serving.cli.output import Port, reporter
from serving.demo import EVENTS, one_time_link, prepare, serve
from serving.server import with_secret
from serving.settings import ProcessSettings


def demo(
    events: Annotated[int, typer.Option("--events", min=1_000, help="Size of the sample shop's past.")] = EVENTS,
    seed: Annotated[int, typer.Option("--seed", help="The same seed makes the same shop.")] = 0,
    port: Port = None,
) -> None:
    """Sample shop, nightly, serve: from nothing to a page in the browser.

    Listens on 127.0.0.1 only, prints a link that works once, and stops with Ctrl-C.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # asked to end, it ends its server, too
    process = with_secret(ProcessSettings.from_env(), port)
    with reporter() as report:
        prepare(process, events, seed, report)
        server = serve(process, report)
    with server, suppress(KeyboardInterrupt):
        typer.echo(f"\n  {one_time_link(process)}\n\nThe link opens the console once. Ctrl-C ends the demo.")
        server.wait()
