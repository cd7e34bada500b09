"""How do minutes get into Redis?

Called by SQL through udfs/bodies.py, a batch of rows a call; returns only when Redis has taken them. Writes the keys
`{prefix}:{run}:minutes:{day}`, `…:days`, `…:changes` and `…:progress` (formats: README.md, "What stands where").
Money is integer cents. Every write is idempotent and guarded by minutes.lua. Imports nothing of ours.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

SCRIPT = Path(__file__).with_name("minutes.lua")
RETRY_S = 10.0
_PROGRESS = """
local old = redis.call('HGET', KEYS[1], 'final_until')
if not old or tonumber(ARGV[1]) >= tonumber(old) then redis.call('HSET', KEYS[1], 'final_until', ARGV[1]) end
return 1
"""


@dataclass(frozen=True)
class RedisTarget:
    """Where a run writes. `run_id` is the generation of the keys; offset of the business zone in ms east."""

    host: str
    port: int
    db: int
    prefix: str
    run_id: str
    zone_offset_ms: int


class RedisSink:
    """The writes of one dashboard run. One per Python worker.

    A call that Redis does not answer is tried again for `RETRY_S` seconds; then the error goes up, the job fails
    visibly and restarts from its checkpoint. Nothing is skipped.
    """

    def __init__(self, target: RedisTarget, changes_kept: int) -> None:
        """`changes_kept`: about how many changes the stream of changes may hold; 0: write no change."""
        self.target = target
        self.changes_kept = changes_kept
        self._client = redis.Redis(
            host=target.host,
            port=target.port,
            db=target.db,
            socket_timeout=10,
            socket_connect_timeout=10,
            # Its own retries cover a refused connection not at all, or (told to) one within the other, for minutes.
            retry=Retry(NoBackoff(), 0),
        )
        # A Script loads itself again when Redis has forgotten it (restart, SCRIPT FLUSH).
        self._minutes = self._client.register_script(SCRIPT.read_text(encoding="utf-8"))
        self._progress = self._client.register_script(_PROGRESS)

    def put_minutes(
        self,
        final: bool,
        minutes: Iterable[int],
        provinces: Iterable[str | None],
        orders: Iterable[int],
        cents: Iterable[int],
    ) -> int:
        """Write minutes (start, epoch ms) of provinces (`ALL`: the country). Returns how many were not outdated.

        A minute without province had no orders: there is nothing to write.
        """
        keys = [self._key("days"), self._key("changes")]
        places: dict[str, int] = {}
        values: list[str | int] = [self.changes_kept]
        for minute, province, count, amount in zip(minutes, provinces, orders, cents, strict=True):
            if province is None:
                continue
            local = dt.datetime(1970, 1, 1) + dt.timedelta(milliseconds=int(minute) + self.target.zone_offset_ms)
            day = local.date().isoformat()
            if day not in places:
                keys.append(self._key(f"minutes:{day}"))
                places[day] = len(keys)
            values += [places[day], day, f"{local:%H:%M}|{province}", int(final), int(count), int(amount)]
        return int(self._call(lambda: self._minutes(keys=keys, args=values)))

    def put_progress(self, final_until: int) -> None:
        """Say that every minute before this instant (epoch ms) is final and written; never goes back."""
        self._call(lambda: self._progress(keys=[self._key("progress")], args=[int(final_until)]))

    def _call(self, script: Callable[[], Any]) -> Any:
        retrying = Retrying(
            retry=retry_if_exception_type((redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError)),
            stop=stop_after_delay(RETRY_S),
            wait=wait_exponential(multiplier=0.1, max=2),
            reraise=True,
        )
        return retrying(script)

    def _key(self, name: str) -> str:
        return f"{self.target.prefix}:{self.target.run_id}:{name}"
