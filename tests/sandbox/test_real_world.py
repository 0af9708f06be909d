"""The real servers as a mail world: what they cannot do is refused, and what they log is read rightly."""

import os
from pathlib import Path

import pytest

from warmupd.core.outcome import Phase
from warmupd.errors import UsageError
from warmupd.sandbox import demo
from warmupd.sandbox.real.chronicle import read_record
from warmupd.sandbox.real.policy import Request
from warmupd.sandbox.real.stack import missing
from warmupd.sandbox.real.world import RealMailWorld
from warmupd.sandbox.record import Login, Refused, Taken
from warmupd.sandbox.weather import FAIR, STORM

POSTFIX = """\
Nov 22 01:05:16 mail postfix/cleanup[26960]: 4jX9q05mvczS4vH: message-id=<abc@d1.test>
Nov 22 01:05:16 mail postfix/cleanup[26960]: 4jX9q05mvczS4vH: info: header X-Warmupd: tok from unknown[127.0.0.1]; from=<u1@d1.test> to=<u2@d2.test> proto=ESMTP helo=<[127.0.0.1]>
Nov 22 01:05:16 mail postfix/qmgr[26936]: 4jX9q05mvczS4vH: from=<u1@d1.test>, size=310, nrcpt=1 (queue active)
Nov 22 01:05:17 mail postfix/cleanup[26960]: 4jX9q15mvczS4vK: message-id=<bad@d1.test>
Nov 22 01:05:17 mail postfix/cleanup[26960]: 4jX9q15mvczS4vK: reject: header Message-ID: <bad@d1.test> from unknown[127.0.0.1]; from=<u1@d1.test> to=<u2@d2.test> proto=ESMTP helo=<[127.0.0.1]>: 5.7.1 Content refused by policy
"""  # noqa: E501 - as Postfix writes it
DOVECOT = (
    "2026-11-22 01:05:16 lmtp(u2@d2.test)<26952><MJwMMcw/AmtIaQAAg+zDdQ>: Info: sieve: msgid=<abc@d1.test>: "
    "fileinto action: stored mail into mailbox [SPECIAL-USE \\Junk]\n"
)


def asked(at: float, state: str, *, queue: str = "", answer: str = "DUNNO") -> Request:
    told = {"protocol_state": state, "client_port": "4711", "sasl_username": "u1@d1.test", "sender": "u1@d1.test"}
    return Request(at=at, attributes={**told, "recipient": "u2@d2.test", "queue_id": queue}, answer=answer)


def test_policy_and_logs_make_one_record(tmp_path: Path) -> None:
    (tmp_path / "postfix").write_text(POSTFIX)
    (tmp_path / "dovecot").write_text(DOVECOT)
    requests = [
        *(asked(1, "MAIL"), asked(2, "RCPT"), asked(3, "END-OF-MESSAGE", queue="4jX9q05mvczS4vH")),
        *(asked(4, "MAIL"), asked(5, "RCPT", answer="450 4.2.0 Mailbox busy, try later")),
        *(asked(6, "MAIL"), asked(7, "RCPT"), asked(8, "END-OF-MESSAGE", queue="4jX9q15mvczS4vK")),
        *(asked(9, "MAIL"), asked(10, "RCPT"), asked(11, "END-OF-MESSAGE", queue="notdecidedyet")),
    ]
    record = read_record(requests, tmp_path / "postfix", tmp_path / "dovecot")
    assert [type(entry) for entry in record] == [Login, Taken, Login, Refused, Login, Refused, Login]
    (one,) = record.taken
    assert (one.mail_at, one.rcpt_at, one.accepted_at, one.token, one.folder) == (1, 2, 3, "tok", "Junk")
    assert [(entry.phase, entry.code, entry.mail_at) for entry in record.refused] == [
        (Phase.RCPT, 450, 4), (Phase.BODY, 550, 6)
    ]  # fmt: skip


def test_a_weather_that_they_cannot_make_is_refused() -> None:
    with pytest.raises(UsageError, match="do not make storm weather"):
        RealMailWorld(accounts={}, weather=STORM)


async def test_who_is_not_root_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "only root" in missing()
    with pytest.raises(UsageError, match="only root"):
        await RealMailWorld(accounts={}, weather=FAIR).__aenter__()


async def test_ordinary_user_is_told_the_way_out_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(demo, "EmbeddedPostgres", None)
    with pytest.raises(UsageError, match="only root") as refused:
        await demo.run_demo(demo.DemoOptions(mail="dovecot"), on_progress=lambda _: None)
    assert "as root" in refused.value.remedy
    assert "leave out --mail" in refused.value.remedy
