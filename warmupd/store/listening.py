"""LISTEN on a connection outside the pool: hints of what others changed, for as long as the connection lasts."""

import asyncio
from contextlib import suppress
from typing import Protocol

from warmupd.clock import Clock
from warmupd.errors import DatabaseUnavailable, WarmupdError
from warmupd.store.database import Connection, Database
from warmupd.store.failures import reached

MAILBOX = "warmupd_mailbox"  # payload: the id of a mailbox that was added or changed
FLEET = "warmupd_fleet"  # payload: slots, stop, start, trigger, limits or workers: what changed
PROBE_EVERY = 10.0  # real seconds between questions whether anybody is still there: a dead network says nothing
PROBE_TIMEOUT = 5.0
LONGEST_PAUSE = 15.0  # real seconds between tries to connect; the first is 0.5, then twice as long each time


class Hearer(Protocol):
    """Who is told. Its methods return at once."""

    def hear(self, channel: str, payload: str) -> None:
        """Somebody changed something."""
        ...

    def connected(self) -> None:
        """From now on changes are heard; what there was before was missed."""
        ...

    def lost(self, why: str) -> None:
        """The connection was lost, or there was none to be had: told once, until `connected`."""
        ...


class Listener:
    """Listens to both channels for one worker. Notifications may be lost, so nothing may depend on them."""

    def __init__(self, db: Database, clock: Clock, *, url: str = "") -> None:
        """`url` leads past a pooler to the server itself; empty: the URL of `db`."""
        self.up = False  # whether it hears now
        self._source = db.beside(url, application_name="warmupd listen")
        self._clock = clock

    async def run(self, hearer: Hearer) -> None:
        """Listen until cancelled, and connect again for ever."""
        pause, told = 0.5, False
        while True:
            try:
                await self._listen(hearer)
            except WarmupdError as error:
                if self.up:
                    pause, told = 0.5, False
                self.up = False
                if not told:
                    hearer.lost(Exception.__str__(error))
                told = True
            await self._clock.pause(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _listen(self, hearer: Hearer) -> None:
        """Until the connection ends: always with an error."""
        connection = await self._source.connect()
        ended = asyncio.Event()
        connection.add_termination_listener(lambda _: ended.set())
        try:
            with reached():
                for channel in (MAILBOX, FLEET):
                    await connection.add_listener(channel, lambda _, __, name, payload: hearer.hear(name, str(payload)))
                self.up = True
                hearer.connected()
                while not ended.is_set():
                    await _probe(connection, ended)
        finally:
            connection.terminate()
        raise DatabaseUnavailable("the server ended the connection")


async def check_hearing(db: Database, *, url: str = "") -> None:
    """Raise DatabaseUnavailable unless a notification sent by way of `db` is heard on such a connection."""
    connection = await db.beside(url, application_name="warmupd listen").connect()
    heard = asyncio.Event()
    try:
        with reached():
            await connection.add_listener("warmupd_probe", lambda *_: heard.set())
            await db.execute("SELECT pg_notify('warmupd_probe', '')")
            async with asyncio.timeout(PROBE_TIMEOUT):
                await heard.wait()
    finally:
        connection.terminate()


async def _probe(connection: Connection, ended: asyncio.Event) -> None:
    """Wait a while for the connection's end, then ask; a server that was demoted tells no news either."""
    with suppress(TimeoutError):
        async with asyncio.timeout(PROBE_EVERY):
            await ended.wait()
    if not ended.is_set() and await connection.fetchval("SELECT pg_is_in_recovery()", timeout=PROBE_TIMEOUT):
        raise DatabaseUnavailable("the server is a standby now")
