"""Many pages at once, as the screen's server sees them: streams of events that are read to the end.

    python -m tests.bench.pages ADDRESS COUNT FILE

Reads until its standard input ends, then writes for each page the country's minutes of the day that it has come to, and
when it got which number of orders of a province: `[{"minutes": {n: [final, orders, amount]}, "arrivals": [[epoch s,
province, orders], …]}, …]`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any


class Page:
    """What one page knows."""

    def __init__(self) -> None:
        self.minutes: dict[str, dict[int, list[Any]]] = {}
        self.orders: dict[str, int] = {}
        self.arrivals: list[tuple[float, str, int]] = []
        self.day = ""

    def take(self, name: str, data: dict[str, Any]) -> None:
        """One event."""
        if name not in ("snapshot", "changes"):
            return
        if name == "snapshot":
            self.day, self.minutes = data["day"], {}
        for day, rows in data["minutes"].items():
            self.minutes.setdefault(day, {}).update({row[0]: row[1:] for row in rows})
        now = time.time()
        for province, (orders, *_) in data["provinces"].items():
            if orders != self.orders.get(province):
                self.orders[province] = orders
                self.arrivals.append((now, province, orders))

    async def read(self, host: str, port: int) -> None:
        """Follow the stream until cancelled. Raises if it ends: nobody has asked for that."""
        reader, writer = await asyncio.open_connection(host, port, limit=2**24)
        writer.write(f"GET /stream HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n\r\n".encode())
        status = await reader.readline()
        if b" 200 " not in status:
            raise ConnectionError(f"the screen refused a page: {status.decode().strip()}")
        name = ""
        while line := await reader.readline():
            if line.startswith(b"event: "):
                name = line[7:].strip().decode()
            elif line.startswith(b"data: "):
                self.take(name, json.loads(line[6:]))
        raise ConnectionError("the screen has ended a stream")


async def main(address: str, count: int, file: Path) -> None:
    """Open the pages one by one, and read."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    pages = [Page() for _ in range(count)]
    async with asyncio.TaskGroup() as tasks:
        reading = []
        for page in pages:
            reading.append(tasks.create_task(page.read(host, int(port))))
            await asyncio.sleep(0.02)
        print("open", flush=True)  # noqa: T201 - the benchmark waits for it
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        for task in reading:
            task.cancel()
    found = [{"minutes": page.minutes.get(page.day, {}), "arrivals": page.arrivals} for page in pages]
    file.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
