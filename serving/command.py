"""The command `samewater serve`: run the screen until it is ended.

Reads the settings; listens on one port. Kafka, Flink, HBase or Redis may be down: the page names what is missing.
"""

from __future__ import annotations

import logging
import os
import socket

import click
import uvicorn

from flink_jobs.errors import UserError
from flink_jobs.settings import Settings
from serving.app import create_app


def serve(settings: Settings, listen: str, port: int) -> None:
    """Serve the screen. Raises `UserError` if the address cannot be listened on, or for a bad regions file."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    app = create_app(settings, listen)
    try:
        # Bound here: uvicorn would tell a taken port in its log, and end with another code.
        family = socket.AF_INET6 if ":" in listen else socket.AF_INET
        listener = socket.create_server((listen, port), family=family)
    except OSError as taken:
        why = os.strerror(taken.errno or 0)
        raise UserError(f"{listen}:{port} cannot be listened on ({why}); choose another --port or --listen") from taken
    click.echo(f"http://{listen}:{listener.getsockname()[1]}; Ctrl-C ends it")
    # Streams never end by themselves: one second for what is under way.
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1, server_header=False)
    uvicorn.Server(config).run(sockets=[listener])
