"""`huaxiang serve` and `huaxiang demo`."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from serving.cli.output import reporter
from serving.demo import EVENTS, run_demo
from serving.server import command, with_secret
from serving.settings import ProcessSettings

Port = Annotated[int | None, typer.Option("--port", min=0, max=65535, help="0: a free one; default: HUAXIANG_PORT.")]


def serve(
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1", port: Port = None
) -> None:
    """Serve /v1 and /console with BentoML.

    HUAXIANG_WORKERS sets the number of processes. Without HUAXIANG_SECRET the console's sessions end with this process.
    """
    process = with_secret(ProcessSettings.from_env(), port)
    arguments = command(host, process.port)
    os.execve(arguments[0], arguments, os.environ | process.environment())  # noqa: S606 - it replaces this process


def demo(
    events: Annotated[int, typer.Option("--events", min=1_000, help="How many events the sample shop writes.")] = EVENTS,
    seed: Annotated[int, typer.Option("--seed", help="The same seed makes the same shop.")] = 0,
    port: Port = None,
) -> None:
    """Sample shop, nightly, serve: from nothing to a page in the browser.

    Listens on 127.0.0.1 only, prints a link that works once, and stops with Ctrl-C.
    """
    process = with_secret(ProcessSettings.from_env(), port)
    with reporter() as report:
        server = run_demo(process, events, seed, report.say, report.now)
    server.until_interrupted(typer.echo)
