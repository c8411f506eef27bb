"""`huaxiang serve`."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from serving.cli.output import Port
from serving.server import command, with_secret
from serving.settings import ProcessSettings


def serve(
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1", port: Port = None
) -> None:
    """Serve /v1 and /console with BentoML.

    HUAXIANG_WORKERS sets the number of processes. Without HUAXIANG_SECRET the console's sessions and
    visitors' tokens end with this process.
    """
    process = with_secret(ProcessSettings.from_env(), port)
    arguments = command(host, process.port)
    os.execve(arguments[0], arguments, os.environ | process.environment())  # noqa: S606 - it replaces this process
