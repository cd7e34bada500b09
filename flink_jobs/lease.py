"""Who alone may do a thing now?

Reads and writes one cell of the HBase table `published` for each thing, by check-and-put. A lease lasts `LASTS` and is
renewed while its holder lives; one that was left by a process that died on this machine is taken over at once, one of
another machine when it has run out.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from zoneinfo import ZoneInfo

import happybase
from pydantic import BaseModel, ValidationError

from flink_jobs import process_id, runs, stores
from flink_jobs.errors import UserError
from flink_jobs.settings import Settings

LASTS = dt.timedelta(minutes=2)
_RENEWED_EACH_S = 30.0
_COLUMN = b"p:lease"


class Lease(BaseModel):
    """Who holds it: `started` is the process's, for a pid is used again. `until`: ISO-8601 with zone."""

    who: str
    host: str
    pid: int
    started: float
    since: str
    until: str


class _One:
    """The lease of one thing."""

    def __init__(self, settings: Settings, thing: str) -> None:
        self._settings = settings
        self._thing = thing
        self._value = b""

    def take(self) -> None:
        """Raises `UserError`, naming the holder, while somebody else has it."""
        with stores.hbase(self._settings) as connection:
            stores.ensure_tables(connection)
            # Who is beaten at the same moment looks again, and names who beat him.
            while True:
                old = connection.table("published").row(self._thing.encode(), columns=[_COLUMN]).get(_COLUMN)
                holder = _read(old)
                if holder is not None and not _is_over(holder):
                    raise UserError(
                        f"{self._thing} is being made by {holder.who} (pid {holder.pid}) since {holder.since}; "
                        "wait until that has ended"
                    )
                if self._put(connection, old):
                    return

    def renew(self) -> None:
        """Raises `_Taken` if another one has taken it over."""
        with stores.hbase(self._settings) as connection:
            if not self._put(connection, self._value):
                raise _Taken(f"{self._thing} was taken over by somebody else")

    def give_back(self) -> None:
        """Let others have it; nothing happens if somebody has taken it over."""
        with stores.hbase(self._settings) as connection:
            runs.check_and_put_cell(connection, "published", self._thing.encode(), _COLUMN, self._value, b"")

    def _put(self, connection: happybase.Connection, old: bytes | None) -> bool:
        """Whether it is ours from now on: false if it is not as it was (`old`)."""
        now = dt.datetime.now(ZoneInfo(self._settings.time.zone)).replace(microsecond=0)
        before = _read(self._value)
        host, pid, started = process_id.own()
        lease = Lease(
            who=runs.submitter(),
            host=host,
            pid=pid,
            started=started,
            since=before.since if before else now.isoformat(),
            until=(now + LASTS).isoformat(),
        )
        value = lease.model_dump_json().encode()
        if not runs.check_and_put_cell(connection, "published", self._thing.encode(), _COLUMN, old, value):
            return False
        self._value = value
        return True


class _Taken(UserError):
    pass


class Held:
    """The leases of this process; `lost` is set when somebody else has taken one over."""

    def __init__(self, settings: Settings, things: Sequence[str]) -> None:
        self._all = [_One(settings, thing) for thing in things]
        self._taken: list[_One] = []
        self._ended = threading.Event()
        self.lost = False

    def take(self) -> None:
        """All or none. Raises `UserError`, naming the holder, while somebody else has one."""
        try:
            for one in self._all:
                one.take()
                self._taken.append(one)
        except BaseException:
            self.give_back()
            raise

    def keep(self) -> None:
        """Renew them until `give_back`; runs in a thread of its own."""
        while not self._ended.wait(_RENEWED_EACH_S):
            for one in self._taken:
                try:
                    one.renew()
                except _Taken:
                    self.lost = True
                    return
                except UserError:
                    break  # HBase is away: until it is back, nobody else can take a lease either

    def give_back(self) -> None:
        """Let others have them."""
        self._ended.set()
        with ExitStack() as all_of_them:  # one that cannot be given back keeps no other
            for one in self._taken:
                all_of_them.callback(one.give_back)


@contextmanager
def held(settings: Settings, *things: str) -> Iterator[Held]:
    """Hold the leases of things (rows of `published`) inside the block. Raises `UserError` while another has one."""
    leases = Held(settings, things)
    leases.take()
    renewing = threading.Thread(target=leases.keep, daemon=True)
    renewing.start()
    try:
        yield leases
    finally:
        leases.give_back()
        renewing.join()


def holders(connection: happybase.Connection) -> dict[str, str]:
    """Thing -> who holds its lease now."""
    held = {key.decode(): _read(cells[_COLUMN]) for key, cells in connection.table("published").scan(columns=[_COLUMN])}
    return {thing: lease.who for thing, lease in held.items() if lease is not None and not _is_over(lease)}


def _read(value: bytes | None) -> Lease | None:
    try:
        return Lease.model_validate_json(value) if value else None
    except ValidationError as bad:
        raise UserError(f"a lease in HBase cannot be read: {bad.errors()[0]['msg']}") from bad


def _is_over(lease: Lease) -> bool:
    gone = process_id.is_gone(lease.host, lease.pid, lease.started)
    if gone is not None:
        return gone
    return dt.datetime.fromisoformat(lease.until) < dt.datetime.now(dt.UTC)
