"""What the real servers did, as the sandbox's record: from the policy service's moments and both servers' logs."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from warmupd.core.outcome import Phase
from warmupd.sandbox.real.policy import Request
from warmupd.sandbox.record import Entry, Login, Record, Refused, Taken

_POSTFIX = re.compile(r"postfix[^ ]*: (?P<queue>[0-9A-Za-z]{10,}): (?P<text>.*)")
_MESSAGE_ID = re.compile(r"message-id=(<.*>)")
_TOKEN = re.compile(r"info: header X-Warmupd: (\S+) from ")
_REFUSAL = re.compile(r"reject: header .* helo=<[^>]*>: (?P<text>.*)")
_QUEUED = re.compile(r"from=<.*>, size=\d+, nrcpt=\d+ \(queue active\)")
_STORED = re.compile(
    r"lmtp\((?P<user>[^)]*)\).*: sieve: msgid=(?P<id><.*>): "
    r"(?:fileinto action: )?stored mail into mailbox (?P<folder>.*)"
)
_JUNK = "[SPECIAL-USE \\Junk]"


@dataclass(kw_only=True, slots=True)
class _Letter:
    """What the logs say of one message."""

    message_id: str = ""
    token: str = ""
    refusal: str = ""
    queued: bool = False


@dataclass(kw_only=True, slots=True)
class _Transaction:
    """One MAIL and what followed; its requests come one after another in one session, which its client port names."""

    connection: int
    mail: Request
    recipients: list[str] = field(default_factory=list)
    rcpt_at: float = 0.0


def read_record(requests: Sequence[Request], postfix_log: Path, dovecot_log: Path) -> Record:
    """All that was offered up to now, each by what became of it. A login is told by the MAIL that follows it.

    What Postfix has not decided yet is left for the next time. Moments are those at which it asked the policy service,
    before it answered; so a message is Taken as of its final dot.
    """
    letters, folders = _letters(postfix_log), _folders(dovecot_log)
    return Record(_entries(requests, letters, folders))


def _entries(
    requests: Sequence[Request], letters: dict[str, _Letter], folders: dict[tuple[str, str], str]
) -> Iterator[Entry]:
    open_now: dict[str, _Transaction] = {}
    for number, request in enumerate(list(requests), 1):
        session = request["client_port"]
        if request.state == "MAIL":
            open_now[session] = _Transaction(connection=number, mail=request)
            user = request["sasl_username"]
            yield Login(connection=number, protocol="SMTP", user=user, ok=bool(user), at=request.at)
        talk = open_now.get(session)
        if talk is None:
            continue
        if request.state == "RCPT":
            talk.recipients.append(request["recipient"])
            talk.rcpt_at = talk.rcpt_at or request.at
        letter = letters.get(request["queue_id"], _Letter())
        if request.answer != "DUNNO":
            yield _refused(talk, request, request.answer, letter)
        elif request.state == "END-OF-MESSAGE" and letter.refusal:
            yield _refused(talk, request, f"550 {letter.refusal}", letter)
        elif request.state == "END-OF-MESSAGE" and letter.queued:
            yield _taken(talk, request, letter, folders)


def _taken(talk: _Transaction, request: Request, letter: _Letter, folders: dict[tuple[str, str], str]) -> Taken:
    return Taken(
        connection=talk.connection,
        user=request["sasl_username"],
        sender=request["sender"],
        recipients=tuple(talk.recipients),
        message_id=letter.message_id,
        token=letter.token,
        subject="",  # no log has it
        size=int(request["size"] or 0),
        code=250,
        folder=folders.get((talk.recipients[0], letter.message_id), ""),
        mail_at=talk.mail.at,
        rcpt_at=talk.rcpt_at,
        accepted_at=request.at,
    )


def _refused(talk: _Transaction, request: Request, reply: str, letter: _Letter) -> Refused:
    return Refused(
        connection=talk.connection,
        user=request["sasl_username"],
        phase={"MAIL": Phase.MAIL, "RCPT": Phase.RCPT}.get(request.state, Phase.BODY),
        code=int(reply[:3]),
        text=reply,
        sender=request["sender"],
        recipients=tuple(talk.recipients),
        message_id=letter.message_id,
        token=letter.token,
        size=int(request["size"] or 0),
        mail_at=talk.mail.at,
        refused_at=request.at,
    )


def _letters(log: Path) -> dict[str, _Letter]:
    letters: dict[str, _Letter] = {}
    for line in _lines(log):
        logged = _POSTFIX.search(line)
        if logged is None:
            continue
        letter, text = letters.setdefault(logged["queue"], _Letter()), logged["text"]
        if found := _MESSAGE_ID.match(text):
            letter.message_id = found[1]
        elif found := _TOKEN.match(text):
            letter.token = found[1]
        elif found := _REFUSAL.match(text):
            letter.refusal = found["text"]
        elif _QUEUED.match(text):
            letter.queued = True
    return letters


def _folders(log: Path) -> dict[tuple[str, str], str]:
    """By recipient and Message-ID, where Sieve really stored it."""
    stored = (found for line in _lines(log) if (found := _STORED.search(line)) is not None)
    return {
        (found["user"], found["id"]): "Junk" if found["folder"] == _JUNK else found["folder"].strip("'")
        for found in stored
    }


def _lines(log: Path) -> list[str]:
    return log.read_text(errors="replace").splitlines() if log.exists() else []
