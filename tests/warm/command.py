"""What stands for the commands `flink` and `python`: hands its arguments to what stays, and prints what that says.

Started as `python -IS command.py SOCKET flink run …`; imports nothing but what is at hand at once.
"""

import json
import os
import socket
import sys


def main(place: str, arguments: list[str]) -> int:
    """Exit code of a program (`flink` or `python`) with its arguments."""
    asked = {"arguments": arguments, "environment": dict(os.environ), "folder": os.getcwd()}  # noqa: PTH109
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(place)
        connection.sendall(json.dumps(asked).encode())
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    if not answer:
        sys.stderr.write("what stays gave no answer; see the test run's own output\n")
        return 1
    code, said = json.loads(answer)
    sys.stdout.write(said)
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
