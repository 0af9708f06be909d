"""What `import-legacy` tells, and the file of the accounts that were not taken over."""

import csv
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from warmupd.cli.output import print_facts, print_json, print_table

if TYPE_CHECKING:
    from warmupd.daemon.legacy_accounts import Refused
    from warmupd.daemon.legacy_report import Problem, Report

SHOWN = 40  # problems that are told one by one; --json has all
WORDS: Mapping[str, str] = {
    "auth_failed": "enrolled AUTH_FAILED, in need of a password",
    "paused": "enrolled PAUSED, as they were off",
    "updated": "enrolled already, counts added",
    "unchanged": "enrolled already, unchanged",
    "duplicate": "rows with an address that another row has",
    "left_out": "left out, as deleted",
    "need_a_password": "need a new password (`warmupd user reset-link EMAIL`)",
    "not_opened": "that cannot be opened",
    "missing": "that are not there",
    "other_zone": "counted in the zone of the first import",
    "too_old": "left out, older than 400 days",
}
HEADER = (
    *("reason", "user", "email", "name", "smtp_host", "smtp_port", "smtp_security", "smtp_username", "smtp_password"),
    *("imap_host", "imap_port", "imap_security", "imap_username", "imap_password", "timezone", "target_daily"),
)


def print_report(report: "Report", file: Path | None, *, as_json: bool) -> None:
    """Counts by reason, what the old database looked like, and what needs somebody."""
    if as_json:
        print_json({**report.plain(), "rejected_file": str(file) if file else None})
        return
    today = report.today
    found = {noun: f"{told['table']} ({', '.join(told['columns'])})" for noun, told in report.source.items()}
    print_facts([(f"from {noun}", text) for noun, text in found.items()])
    print_facts(
        [
            ("plans", _counts(report.plans)),
            ("users", _counts(report.users)),
            ("mailboxes", _counts(report.mailboxes)),
            ("passwords", _counts(report.credentials)),
            ("statuses", _counts(report.statuses)),
            ("unknown", f"{_counts(report.unknown_statuses)}: counted as nothing" if report.unknown_statuses else ""),
            ("days", _counts(report.days)),
            ("sent", f"{report.sent:,} messages"),
            ("today", f"{today['sent']:,} messages of {today['mailboxes']:,} mailboxes" if today else ""),
            ("ramps", f"told by {_counts(report.ramps)}" if report.ramps else ""),
            *(("note", note) for note in report.notes),
        ]
    )
    _print_problems(report.problems)
    if report.dry_run:
        print("nothing was written")
    if file:
        print(f"the rejected accounts are in {file}, with their passwords")


def write_refused(file: Path, refused: "Sequence[Refused]") -> Path | None:
    """Accounts that were not taken over, in the layout of `mailbox import`, for their owner's eyes only; the new
    file's path. None without any, or when it cannot be written, which is told.
    """
    if not refused:
        return None
    for number in range(1, 1000):
        place = file if number == 1 else file.with_name(f"{file.stem}-{number}{file.suffix}")
        try:
            handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except FileExistsError:
            continue
        except OSError as error:
            print(f"the rejected accounts could not be written to {place}: {error.strerror}")
            return None
        with os.fdopen(handle, "w", encoding="utf-8-sig", newline="") as stream:
            writer = csv.writer(stream, quoting=csv.QUOTE_ALL)
            writer.writerow(HEADER)
            writer.writerows(_cells(one) for one in refused)
        return place
    return None


def _cells(one: "Refused") -> list[str]:
    application, error = one.account.application, one.error
    said = {**application.servers, **application.settings}
    values = {
        **{name: said.get(name, "") for name in HEADER},
        "reason": str(error),
        "user": one.owner,
        "email": application.address,
        "name": application.display_name,
        "smtp_password": one.secrets.smtp,
        "imap_password": one.secrets.imap,
    }
    return [str(values[name]) for name in HEADER]


def _counts(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {WORDS.get(word, word) or '(none)'}" for word, number in counted.items() if number)


def _print_problems(problems: "Sequence[Problem]") -> None:
    if not problems:
        return
    print_table(
        ("table", "row", "name", "what"),
        [(one.table, one.id, one.name, f"{one.reason} ({one.remedy})" if one.remedy else one.reason)
         for one in problems[:SHOWN]],
    )  # fmt: skip
    rest = Counter(one.reason for one in problems[SHOWN:])
    for reason, number in rest.most_common(10):
        print(f"and {number:,} more: {reason}")
