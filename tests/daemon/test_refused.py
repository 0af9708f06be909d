"""What is told of servers that did not let a mailbox in."""

from typing import Any

from warmupd.core.outcome import classify
from warmupd.core.reply import Phase, SmtpReply, Trouble
from warmupd.daemon.login_check import Refusal, refused


def refusal(**parts: Any) -> Refusal:
    usual: dict[str, Any] = {"protocol": "SMTP", "host": "mail.north.test", "port": 587, "message": "no", "remedy": ""}
    return Refusal(**usual | parts)


def test_same_remedy_is_told_once() -> None:
    both = [refusal(protocol=word, remedy="check the host name") for word in ("SMTP", "IMAP")]
    assert refused("anna@north.test", both).remedy == "check the host name"


def test_refusal_is_never_without_a_remedy() -> None:
    assert refused("anna@north.test", [refusal()]).remedy


def test_server_that_was_not_reached_is_told_in_words_alone() -> None:
    outcome = classify(
        SmtpReply(phase=Phase.CONNECT, code=None, trouble=Trouble.UNREACHABLE, text="Connection refused")
    )
    assert outcome.message == "the server cannot be reached: Connection refused"
