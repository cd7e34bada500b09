"""How does one server of the stack run in a container of its own?

`python -m flink_jobs.stack.container fill` fills in the configuration of all servers, when an image is built;
`serve` becomes the server that `SERVER` names; `ask` asks it the question of `ready`, and is its health check.

Reads the settings file that `SAMEWATER_CONF` names. The same commands, options and questions as on one machine: only
the hosts are others. supervisord has no part in it, for restarting is the container engine's work.
"""

from __future__ import annotations

import os
import sys

import psutil

from flink_jobs.errors import UserError
from flink_jobs.settings import Settings
from flink_jobs.stack import servers
from flink_jobs.stack.instance import Instance, home


def open_contained() -> Instance:
    """The instance that the settings describe, spread over containers."""
    settings = Settings.load()
    return Instance(settings, home() / settings.instance, contained=True)


def find(instance: Instance, name: str) -> servers.Server:
    """One server by name; `UserError` for a name that is none."""
    if name not in servers.NAMES:
        raise UserError(f"SERVER={name!r} is no server; the servers are {', '.join(servers.NAMES)}")
    if name == "screen":
        return servers.screen_server(instance)
    # The image of the jobs has Flink alone: there nobody may ask for the others' jars.
    of = servers.flink_servers if name.startswith(servers.CLUSTERS) else servers.data_servers
    return next(server for server in of(instance) if server.name == name)


def serve(instance: Instance, name: str) -> None:
    """Become the server, with its data folder made on its first start."""
    server = find(instance, name)
    if server.prepare:
        server.prepare()
    os.execve(server.command[0], server.command, dict(os.environ) | dict(server.environment))


def ask(instance: Instance, name: str) -> None:
    """Return when the server is of use; raises otherwise."""
    # Process 1 is the engine's init, which the server is the only child of.
    find(instance, name).ask(psutil.Process(1).children()[0].pid)


def main(command: str) -> None:
    """Do what the command says; a server that is not of use is told in one line."""
    instance = open_contained()
    name = os.environ.get("SERVER", "")
    if command == "fill":
        servers.fill_templates(instance)
    elif command == "serve":
        serve(instance, name)
    elif command == "ask":
        try:
            ask(instance, name)
        except Exception as reason:  # whatever the client library raises: the engine keeps the line
            raise UserError(f"{name} is not ready: {reason or type(reason).__name__}") from reason
    else:
        raise UserError(f"{command!r} is none of fill, serve, ask")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except UserError as error:
        sys.exit(f"error: {error}")
