"""The real servers behind the interface of the sandbox's own: what a demo needs of a mail world."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from warmupd.errors import UsageError
from warmupd.sandbox.fate import Shares
from warmupd.sandbox.real.box import Box
from warmupd.sandbox.real.chronicle import read_record
from warmupd.sandbox.real.dovecot import Sorting
from warmupd.sandbox.real.policy import Request
from warmupd.sandbox.real.stack import RealStack
from warmupd.sandbox.record import FolderState, Record, Snapshot
from warmupd.sandbox.weather import CALM, Weather

_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"  # a Message-ID of ours ends with chance: each letter is one of 32


class RealMailWorld:
    """Dovecot and Postfix of this machine as `SandboxProcess` has its server: an async context manager, for root only.

    Of the weather the shares of spam, tab, refused and deferred messages count, to the nearest 32nd (refused: 1,024th);
    the others, events and absences are beyond these servers: with such a weather UsageError is raised.
    """

    smtp_port: int  # submission, STARTTLS demanded
    smtps_port: int  # submission, TLS from the first byte
    imap_port: int  # TLS from the first byte
    ca_file: Path

    def __init__(self, *, accounts: Mapping[str, str], weather: Weather = CALM, seed: int = 0) -> None:
        if weather.events or weather.away_seconds:
            raise UsageError(
                f"Dovecot and Postfix do not make {weather.name} weather",
                remedy="use --weather calm or fair, or the sandbox's own mail server",
            )
        self._shares = Shares(**(weather.shares | {"seed": seed}))
        self._tries: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._put_off: set[tuple[str, str]] = set()  # pairs whose next try is taken
        junk, other = round(self._shares.spam_share * 32), round(self._shares.other_share * 32)
        refused = _LETTERS[: round(self._shares.refuse_share * 32 * 32)]
        self._stack = RealStack(
            [Box(address=address.lower(), password=password) for address, password in accounts.items()],
            sorting=Sorting(junk=_LETTERS[:junk] or "1", other=_LETTERS[junk : junk + other] or "1"),
            refused=f"<[a-z2-7]{{38}}7[{refused}]@" if refused else "",
            decide=self._decide,
        )

    async def __aenter__(self) -> Self:
        self._stack.__enter__()  # before anything else runs: nobody is kept waiting
        self.smtp_port, self.smtps_port = self._stack.smtp_port, self._stack.smtps_port
        self.imap_port, self.ca_file = self._stack.imap_port, self._stack.ca_file
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._stack.close()

    async def begin(self, *, day_seconds: float, away_after: float = 0.0, away_for: float = 0.0) -> None:
        """Nothing here depends on the day."""

    def record(self) -> Record:
        """All that Postfix took and refused up to now, and where Sieve put it."""
        stack = self._stack
        return read_record(stack.policy.requests, stack.postfix.log_file, stack.dovecot.log_file)

    async def snapshot(self) -> Snapshot:
        """What every folder of every account holds at the moment, as doveadm sees it; empty ones are left out."""
        wanted = ("-f", "flow", "fetch", "-A", "user mailbox flags hdr.message-id", "all")
        return _snapshot(await asyncio.to_thread(self._stack.dovecot.doveadm, *wanted))

    def _decide(self, request: Request) -> str:
        """Put off the first try of some pairs, as the sandbox does."""
        pair = request["sender"], request["recipient"]
        if request.state != "RCPT":
            return "DUNNO"
        if pair in self._put_off:
            self._put_off.discard(pair)
            return "DUNNO"
        count = self._tries[pair]
        self._tries[pair] += 1
        if not self._shares.defers(*pair, count):
            return "DUNNO"
        self._put_off.add(pair)
        return "450 4.2.0 Mailbox busy, try later"


def _snapshot(told: str) -> Snapshot:
    """From lines such as `user=ann@one.test mailbox=INBOX flags=\\Seen hdr.message-id=<...>`."""
    messages: defaultdict[str, defaultdict[str, list[tuple[str, str]]]] = defaultdict(lambda: defaultdict(list))
    for line in told.splitlines():
        user, _, rest = line.removeprefix("user=").partition(" mailbox=")
        mailbox, _, rest = rest.partition(" flags=")
        flags, _, message_id = rest.partition(" hdr.message-id=")
        messages[user][mailbox].append((flags, message_id))
    return {
        user: {name: _state(its) for name, its in folders.items()} for user, folders in messages.items()
    }  # fmt: skip


def _state(messages: list[tuple[str, str]]) -> FolderState:
    return FolderState(
        messages=len(messages),
        seen=sum("\\Seen" in flags for flags, _ in messages),
        flagged=sum("\\Flagged" in flags for flags, _ in messages),
        answered=sum("\\Answered" in flags for flags, _ in messages),
        message_ids=tuple(message_id for _, message_id in messages),
    )
