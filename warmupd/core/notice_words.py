"""The words of notices to owners: which changes of their mailboxes are told, and many mailboxes are one notice."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from warmupd.core.notice import NAMED, DaySum, Event, Kind, MissedDays, Notice, Standing, Turn, Turned


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    """Mailboxes to which the same happened."""

    event: Event
    short: str  # for the subject: "cannot log in"
    told: str  # for the text, behind how many they are
    lines: Sequence[str]  # one or more for each mailbox that is named
    facts: Sequence[Mapping[str, Any]]
    count: int


def trouble_notice(turned: Sequence[Turned], wanted: Collection[str]) -> Notice | None:
    """All that changed of an owner's mailboxes in one notice; None when nothing of it is `wanted` (words of Event)."""
    return _notice(Kind.TROUBLE, list(_turn_parts(turned, wanted)))


def missed_notice(missed: MissedDays) -> Notice | None:
    """The mailboxes that missed yesterday's quota; None when there are none."""
    return _notice(Kind.QUOTA_MISSED, list(_missed_parts(missed)))


def digest_notice(turned: Sequence[Turned], missed: MissedDays, day: DaySum, wanted: Collection[str]) -> Notice:
    """One message a day: the sum of it first, then what needs the owner."""
    parts = [*_turn_parts(turned, wanted), *(_missed_parts(missed) if Event.QUOTA_MISSED in wanted else ())]
    found = day.inbox + day.spam
    share = f" Of {found} that were looked at, {day.inbox} were in the inbox and {day.spam} in spam." if found else ""
    whole = (
        f"{day.sent} of {day.quota} messages were sent by {_mailboxes(day.mailboxes)}; {day.met} met the quota.{share}"
        if day.mailboxes
        else "No mailbox had a day that ended since the last digest."
    )
    subject = f"Yesterday: {day.sent} of {day.quota} sent" if day.mailboxes else "Yesterday: nothing was to be sent"
    if parts:
        subject += f"; {_subject(parts)}"
    body = "\n\n".join([whole, *map(_text, parts)] if parts else [whole, "Nothing needs you."])
    facts = {
        "day": {
            "mailboxes": day.mailboxes,
            "met": day.met,
            "quota": day.quota,
            "sent": day.sent,
            "inbox": day.inbox,
            "spam": day.spam,
        },
        "events": [_facts(part) for part in parts],
    }
    return Notice(kind=Kind.DIGEST, subject=subject, body=body, facts=facts)


def trial_notice() -> Notice:
    """To see that it arrives."""
    return Notice(
        kind=Kind.TEST,
        subject="This is a test",
        body="Somebody asked warmupd for a test of its notifications. It has arrived; nothing else has happened.",
    )


def is_wanted(turned: Turned, wanted: Collection[str]) -> bool:
    """That a trouble is over is told to whom the trouble was told."""
    if turned.event is None or turned.event not in wanted:
        return False
    return turned.event is not Event.BACK_TO_NORMAL or turned.told.lower() in wanted


def _turn_parts(turned: Sequence[Turned], wanted: Collection[str]) -> Iterator[_Part]:
    heard = [group for group in turned if is_wanted(group, wanted)]
    for event, short, told in _WORDS:
        ours = [group for group in heard if group.event is event]
        named = sorted(
            ((group, turn) for group in ours for turn in group.first), key=lambda one: one[1].address.lower()
        )
        if ours:
            yield _Part(
                event=event,
                short=short,
                told=told,
                lines=[_turn_line(turn, event) for _, turn in named[:NAMED]],
                facts=[_turn_facts(group, turn) for group, turn in named[:NAMED]],
                count=sum(group.count for group in ours),
            )


_WORDS = (
    (Event.AUTH_FAILED, "cannot log in", "cannot log in, and wait for their owner (AUTH_FAILED)"),
    (Event.SUSPENDED, "suspended", "were suspended (SUSPENDED)"),
    (Event.BACK_TO_NORMAL, "back to normal", "are back to normal"),
)


def _missed_parts(missed: MissedDays) -> Iterator[_Part]:
    if not missed.count:
        return
    yield _Part(
        event=Event.QUOTA_MISSED,
        short="missed yesterday's quota",
        told=f"missed yesterday's quota; {missed.sent} of {missed.quota} messages were sent",
        lines=[
            f"{one.address}: {one.sent} of {one.quota} on {one.day}; {'; '.join(one.reasons)}" for one in missed.worst
        ],
        facts=[
            {"mailbox": m.address, "day": m.day.isoformat(), "quota": m.quota, "sent": m.sent, "why": list(m.reasons)}
            for m in missed.worst
        ],
        count=missed.count,
    )


def _turn_line(turn: Turn, event: Event) -> str:
    until = f"; until {turn.until:%Y-%m-%d %H:%M} UTC" if turn.until and event is Event.SUSPENDED else ""
    remedy = f"\n    What helps: {turn.remedy}" if turn.remedy and event is not Event.BACK_TO_NORMAL else ""
    return f"{turn.address}: {turn.reason}{until}{remedy}"


def _turn_facts(group: Turned, turn: Turn) -> dict[str, Any]:
    return {
        "mailbox": turn.address,
        "was": group.told.value,
        "state": group.stands.value,
        "reason": turn.reason,
        "remedy": turn.remedy if group.stands is not Standing.NORMAL else "",
        "until": turn.until.isoformat() if turn.until else None,
    }


def _notice(kind: Kind, parts: Sequence[_Part]) -> Notice | None:
    if not parts:
        return None
    body = "\n\n".join(map(_text, parts))
    return Notice(kind=kind, subject=_subject(parts), body=body, facts={"events": [_facts(part) for part in parts]})


def _subject(parts: Sequence[_Part]) -> str:
    """Who it is, if it is one; else how many."""
    if len(parts) == 1 and parts[0].count == 1:
        return f"{parts[0].facts[0]['mailbox']}: {parts[0].short}"
    return "; ".join(f"{_mailboxes(part.count)} {part.short}" for part in parts)


def _text(part: _Part) -> str:
    more = [f"and {part.count - len(part.lines)} more"] if part.count > len(part.lines) else []
    told = part.told if part.count > 1 else _of_one(part.told)
    return "\n".join([f"{_mailboxes(part.count)} {told}:", *(f"  {line}" for line in (*part.lines, *more))])


def _facts(part: _Part) -> dict[str, Any]:
    return {"event": part.event.value, "count": part.count, "mailboxes": list(part.facts)}


def _mailboxes(count: int) -> str:
    return "1 mailbox" if count == 1 else f"{count} mailboxes"


def _of_one(told: str) -> str:
    for many, one in (
        ("wait for their", "waits for its"),
        ("were suspended", "was suspended"),
        ("are back", "is back"),
    ):
        told = told.replace(many, one)
    return told
