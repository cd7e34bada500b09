"""`flink` without the start of a JVM: the same command line in JVMs that stay, as many as are at work at once.

A submission takes some 26 seconds of CPU, most of them to load and compile the same planner again. Here Flink's own
`CliFrontend` is given the arguments of `flink run` in a JVM that has done so before: options, the client's Python
process, what is uploaded and what is said are those of the real command. It differs in two ways: nothing is niced, and
the Python process begins by a script (`python.client.executable`), which gives it the folder and environment that the
command was called in (it would inherit those of the JVM) and has it forked from one that stays (tests/warm/forks.py).
"""

from __future__ import annotations

import json
import shlex
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import py4j.java_gateway
import py4j.protocol
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from flink_jobs.stack.instance import is_free
from tests.warm import command, forks

START_S = 120.0
_GATEWAY = "org.apache.flink.api.python.shaded.py4j.GatewayServer"
# As the script `flink` does, but for the class that is run: so the archive of classes holds for it too.
_START = """
. "$FLINK_HOME/bin/config.sh"
logging="-Dlog.file=$FLINK_LOG_DIR/client.log -Dlog4j.configurationFile=file:$FLINK_CONF_DIR/log4j-cli.properties"
exec "$JAVA_RUN" $JVM_ARGS $FLINK_ENV_JAVA_OPTS $FLINK_ENV_JAVA_OPTS_CLI -Xmx1g $logging \\
  -classpath "$(constructFlinkClassPath):$HADOOP_CLASSPATH" "$@"
"""


class _Jvm:
    """A JVM with the class path and the options of `flink` in this environment."""

    def __init__(self, environment: Mapping[str, str], folder: Path, call: str) -> None:
        """`call`: a shell command that has this process do what its arguments say."""
        self._call = call
        self.environment = {name: value for name, value in environment.items() if name != "PYTHONPATH"}
        self._folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        # Ends with this process: it reads from a pipe of ours.
        self._process: subprocess.Popen[bytes] = subprocess.Popen(
            [
                "bash",
                "-c",
                _START,
                f"{environment['FLINK_HOME']}/bin/flink",
                _GATEWAY,
                "--die-on-broken-pipe",
                str(port),
            ],
            env={**self.environment, "FLINK_LOG_DIR": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,  # it tells its port
            stderr=subprocess.PIPE,
            start_new_session=True,  # who interrupts the tests does not end it before they have cleaned up
        )
        waiting = Retrying(
            retry=retry_if_result(lambda there: not there), stop=stop_after_delay(START_S), wait=wait_fixed(0.1)
        )
        waiting(lambda: not is_free(port) or self._process.poll() is not None)
        if self._process.poll() is not None:
            assert self._process.stderr is not None
            raise RuntimeError(f"the warm JVM did not start: {self._process.stderr.read().decode()}")
        self._gateway = py4j.java_gateway.JavaGateway(
            gateway_parameters=py4j.java_gateway.GatewayParameters(port=port, auto_convert=True)
        )

    def run(self, arguments: Sequence[str], environment: Mapping[str, str], folder: str) -> tuple[int, str]:
        """As `flink` with these arguments, in this folder; its exit code, and all that it printed."""
        java = self._gateway.jvm.java.lang
        flink = self._gateway.jvm.org.apache.flink
        verb, *rest = arguments
        given = [verb, "-pyclientexec", str(self._python(environment, folder)), *rest]
        array = self._gateway.new_array(java.String, len(given))
        for n, argument in enumerate(given):
            array[n] = argument
        flink.client.python.PythonEnvUtils.setPythonException(None)  # else that of an earlier failure would be told
        said = self._folder / "said"
        printing = self._gateway.jvm.java.io.PrintStream(str(said))
        before = java.System.out, java.System.err
        java.System.setOut(printing)
        java.System.setErr(printing)
        try:
            conf = environment["FLINK_CONF_DIR"]
            configuration = flink.configuration.GlobalConfiguration.loadConfiguration(conf)
            frontend = flink.client.cli.CliFrontend
            code = frontend(configuration, frontend.loadCustomCommandLines(configuration, conf)).parseAndRun(array)
        except py4j.protocol.Py4JJavaError as failure:
            # What the program `flink` ends with when the job's program did not come to its end.
            code = 31
            printing.println(flink.util.ExceptionUtils.stringifyException(failure.java_exception))
        finally:
            java.System.setOut(before[0])
            java.System.setErr(before[1])
            printing.close()
        return int(code), said.read_text(encoding="utf-8")

    def _python(self, environment: Mapping[str, str], folder: str) -> Path:
        """A Python that works in this folder and environment; what Flink sets for it comes first."""
        others = {name: value for name, value in environment.items() if self.environment.get(name) != value}
        path = others.pop("PYTHONPATH", "")
        lines = [f"export {name}={shlex.quote(value)}" for name, value in others.items() if name.isidentifier()]
        lines.append(f'export PYTHONPATH="$PYTHONPATH":{shlex.quote(path)}')
        script = self._folder / "python"
        start = f'cd {shlex.quote(folder)} && exec {self._call} python "$@"'
        script.write_text("\n".join(["#!/bin/sh", *lines, start, ""]), encoding="utf-8")
        script.chmod(0o755)
        return script

    def close(self) -> None:
        self._gateway.close()
        self._process.terminate()
        self._process.wait(30)


class WarmFlink:
    """The command `flink` (`command`: its path), answered by JVMs that start when they are first needed."""

    def __init__(self, timeout_s: float = forks.TIMEOUT_S) -> None:
        """`timeout_s`: so long a job's program may work."""
        self._timeout_s = timeout_s
        self._temporary = TemporaryDirectory(prefix="warm-")
        self._folder = Path(self._temporary.name)
        self._all: list[_Jvm] = []
        self._idle: dict[str, list[_Jvm]] = {}
        self._lock = threading.Lock()
        place = self._folder / "socket"
        self.command = self._folder / "flink"
        self._call = shlex.join([sys.executable, "-IS", command.__file__, str(place)])
        self.command.write_text(f'#!/bin/sh\nexec {self._call} flink "$@"\n', encoding="utf-8")
        self.command.chmod(0o755)
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                asked = json.loads(self.rfile.read())
                try:
                    answer = outer._answer(asked)
                except Exception as failure:  # noqa: BLE001, told by the command that asked
                    answer = (1, f"error: the JVM that stays: {failure!r}\n")
                self.wfile.write(json.dumps(answer).encode())

        self._server = socketserver.ThreadingUnixStreamServer(str(place), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _answer(self, asked: Mapping[str, Any]) -> tuple[int, str]:
        environment, (program, *arguments) = asked["environment"], asked["arguments"]
        if program == "python":
            done = forks.module(
                arguments, folder=Path(asked["folder"]), environment=environment, timeout_s=self._timeout_s
            )
            return done.returncode, done.stdout + done.stderr
        conf = environment["FLINK_CONF_DIR"]
        jvm = self._take(environment)
        answer = jvm.run(arguments, environment, asked["folder"])
        with self._lock:  # after a failure of its own it is not used again
            self._idle[conf].append(jvm)
        return answer

    def _take(self, environment: Mapping[str, str]) -> _Jvm:
        """A JVM that nobody uses now; a client has one context, so each serves one request at a time."""
        with self._lock:
            idle = self._idle.setdefault(environment["FLINK_CONF_DIR"], [])
            if idle:
                return idle.pop()
            folder = self._folder / str(len(self._all))
            folder.mkdir(exist_ok=True)
            self._all.append(_Jvm(environment, folder, self._call))
            return self._all[-1]

    def __enter__(self) -> WarmFlink:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        for jvm in self._all:
            jvm.close()
        self._temporary.cleanup()
