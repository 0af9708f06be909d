"""A mailbox full of other people's mail, and days of warmup beside it; the owner's own client is witness."""

import datetime as dt
import imaplib
import re
import ssl
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import cycle

from tests.daemon.rig import Rig, after
from tests.mail.reports import delivery_report
from warmupd.mail.message_id import MessageKey
from warmupd.mail.vault import Vault

# UID, flags but \Recent, internal date, octets: all that IMAP knows of a message
Stock = dict[str, tuple[int, list[tuple[int, frozenset[str], str, bytes]]]]  # folder -> UIDVALIDITY, messages

MARK = b"X-Foreign: "
FOLDERS = ("INBOX", "Junk", "Sent", "Trash", "Drafts", "Warmup", "Clients", "Clients/Old", "Clients/Old/2019")
FLAGS = ("", "\\Seen", "\\Flagged", "\\Seen \\Answered", "\\Deleted", "\\Seen \\Flagged", "\\Draft", "\\Draft \\Seen")
KEYWORDS = ("$Forwarded Work", "$Junk", "$NotJunk \\Seen", "$MDNSent $Label1")
CONFIG: Mapping[str, object] = {  # everything that can be done is done, and soon
    "engagement.reply_rate": 1.0,
    "engagement.reply_after_min_minutes": 45,
    "engagement.reply_after_max_minutes": 90,
    "engagement.star_rate": 1.0,
    "engagement.file_after_hours": 1,
    "engagement.retention_days": 0.5,
    "engagement.visits_per_day": 12,
}
PLAIN = (
    "Subject: plain\r\nMessage-ID: <{n}@elsewhere.test>\r\n\r\nHello.\r\n",
    "Subject: no id\r\n\r\nHello {n}.\r\n",
    "Subject: about us\r\nReferences: {ours}\r\nIn-Reply-To: {ours}\r\n\r\nAs I said.\r\n",
    "Subject: =?utf-8?q?\r\nMessage-ID: <<>\r\nFrom: @@\r\n\r\n{n}\x7f\r\n",
    "Subject: forged\r\nMessage-ID: {forged}\r\nX-Warmupd: {forged}\r\nFrom: {sender}\r\n\r\nMine!\r\n",
    "Subject: near\r\nMessage-ID: {near}\r\nX-Warmupd: nonsense\r\nFrom: {sender}\r\n\r\nHello.\r\n",
    # What follows bears the true name of a message to this mailbox, or to another one.
    "Subject: a stranger's\r\nMessage-ID: {ours}\r\nX-Warmupd: {ours}\r\nFrom: Eve <eve@evil.test>\r\n\r\nHello.\r\n",
    "Subject: Fwd: lunch\r\nMessage-ID: <f{n}@elsewhere.test>\r\nX-Warmupd: {ours}\r\nFrom: eve@evil.test\r\n\r\n.\r\n",
    "Subject: ours, of long ago\r\nMessage-ID: {older}\r\nX-Warmupd: {older}\r\nFrom: {sender}\r\n\r\nHello.\r\n",
    "Subject: nobody's\r\nMessage-ID: {ours}\r\n\r\nNo From at all.\r\n",
)


class Client:
    """The owner's mail program: imaplib."""

    def __init__(self, port: int, ca_file: str, address: str, password: str) -> None:
        self._client = imaplib.IMAP4_SSL("localhost", port, ssl_context=ssl.create_default_context(cafile=ca_file))
        _done(self._client.login(address, password))

    def leave(self) -> None:
        with suppress(imaplib.IMAP4.error, OSError):
            self._client.logout()

    def put(self, folder: str, content: bytes, flags: str = "", date: float | None = None) -> None:
        moment = imaplib.Time2Internaldate(date) if date is not None else None
        _done(self._client.append(f'"{folder}"', flags or None, moment, content))

    def make(self, folder: str) -> None:
        self._client.create(f'"{folder}"')  # NO when it is there already

    def stock(self) -> Stock:
        """Everything, in every folder."""
        lines = [line for line in self._client.list()[1] if isinstance(line, bytes)]
        names = [match[1].decode() for line in lines if (match := re.search(rb' "?([^"]+?)"?$', line))]
        return {name: self._folder(name) for name in names}

    def _folder(self, name: str) -> tuple[int, list[tuple[int, frozenset[str], str, bytes]]]:
        _done(self._client.select(f'"{name}"', readonly=True))
        validity = self._client.response("UIDVALIDITY")[1][0]
        assert isinstance(validity, bytes)
        _, answer = self._client.uid("FETCH", "1:*", "(UID FLAGS INTERNALDATE BODY.PEEK[])")
        return int(validity), [_message(*part) for part in answer if isinstance(part, tuple)]


def foreign(stock: Stock) -> Stock:
    """Of all that is there what was put there by `fill`."""
    found = {name: (validity, [one for one in its if MARK in one[3]]) for name, (validity, its) in stock.items()}
    return {name: folder for name, folder in found.items() if folder[1]}


def fill(client: Client, vault: Vault, senders: Sequence[str], *, keywords: bool) -> int:
    """Every kind of message with every kind of flag in every folder, and a hundred replays; how many.

    Jobs are numbered from 1 on, so that the names of messages that are yet to be sent are known.
    """
    key, forger = MessageKey(vault), MessageKey(Vault([Vault.new_key()]))
    flags = cycle((*FLAGS, *KEYWORDS) if keywords else FLAGS)
    number = 0
    for folder in FOLDERS:
        client.make(folder)
        for content in contents(key, forger, senders, first=number):
            client.put(folder, content, next(flags), time.time() - 86_400 * (number % 5))
            number += 1
    for replay in range(100):
        client.put("INBOX", _replay(key, 1 + replay % 10, replay))
    return number + 100


def contents(key: MessageKey, forger: MessageKey, senders: Sequence[str], *, first: int) -> Iterable[bytes]:
    """Three of every kind, and delivery reports on messages of others and of another mailbox."""
    day = after(0).date()
    for number in range(first, first + 3 * len(PLAIN)):
        ours = key.message_id(day, 1 + number % 20, "domain1.test")
        text = PLAIN[number % len(PLAIN)].format(
            n=number,
            ours=ours,
            older=key.message_id(day - dt.timedelta(days=60 + number % 9), 1 + number % 20, "domain1.test"),
            near=ours.replace("@", "x@"),
            forged=forger.message_id(day, 1 + number % 20, "domain1.test"),
            sender=senders[number % len(senders)],
        )
        yield MARK + f"{number}\r\n{text}".encode()
    for message_id in ("<private@one.test>", forger.message_id(day, 3, "domain1.test")):
        yield MARK + b"report\r\n" + delivery_report(message_id)


def _replay(key: MessageKey, job: int, number: int) -> bytes:
    ours = key.message_id(after(0).date(), job, "domain1.test")
    head = f"Message-ID: {ours}\r\nX-Warmupd: {ours}\r\nFrom: Bob <bob@evil.test>\r\nSubject: again\r\n"
    return MARK + f"replay {number}\r\n{head}\r\nBuy.\r\n".encode()


def _message(head: bytes, content: bytes) -> tuple[int, frozenset[str], str, bytes]:
    uid, flags = re.search(rb"UID (\d+)", head), re.search(rb"FLAGS \(([^)]*)\)", head)
    date = re.search(rb'INTERNALDATE "([^"]+)"', head)
    assert uid is not None
    assert flags is not None
    assert date is not None
    return int(uid[1]), frozenset(flags[1].decode().split()) - {"\\Recent"}, date[1].decode(), content


def _done(answer: tuple[str, object]) -> None:
    assert answer[0] == "OK", answer


async def live_beside(rig: Rig, boxes: Sequence[int], config: Mapping[str, object]) -> None:
    """Two days of sends, and a third of visits only, in which what is left is deleted.

    Again and again all folders are read from their beginning, as after a change of UIDVALIDITY, so that what bears the
    name of a message is met before the message itself, too.
    """
    async with rig.running({**config, **CONFIG}, visits=True, real=True):
        for hour in (6.5, 7.5, 8.5, 9.5, 10.5, 11.5, 12.5, 13.5, 14.5):
            await rig.db.execute("DELETE FROM folder_marks")
            await rig.db.execute("UPDATE mailbox_visits SET everywhere = true")
            await rig.until(after(hour))
        await rig.until(after(16, days=1))
        await rig.db.execute("UPDATE mailboxes SET target_daily = 0, ramp_start = 0, min_daily = 0")
        await rig.until(after(16, days=2))


async def assert_everything_was_done(rig: Rig) -> None:
    """Each message was seen once, where its job says, and had all that can be done."""
    row = await rig.db.fetchrow(
        "SELECT count(*) AS seen, count(opened_at) AS opened, count(starred_at) AS starred, count(filed_at) AS filed,"
        " count(answered_at) AS answered,"
        " count(deleted_at) AS deleted, count(rescued_at) AS rescued,"
        " count(*) FILTER (WHERE placement = 'SPAM') AS spam"
        " FROM sightings WHERE placement <> 'MISSING'"
    )
    sent = await rig.db.fetchval("SELECT count(*) FROM warmup_jobs WHERE status IN ('SENT', 'REPLIED')")
    assert row is not None
    assert row["seen"] == sent > 20
    assert row["opened"] == row["starred"] == row["seen"]
    assert row["rescued"] == row["spam"] > 0
    assert row["filed"] > 0
    assert row["answered"] > 0
    assert row["deleted"] >= row["seen"] - 4
    assert await rig.db.fetchval("SELECT count(*) FROM warmup_jobs WHERE kind = 'REPLY' AND status = 'SENT'") > 0


LOOK_BACK = dt.timedelta(days=3650)  # the servers date by the machine's clock, which is behind the rig's
