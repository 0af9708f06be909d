"""Ablation: the worker's doubt is not asked for once before MAIL, once before the body; each must be missed."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from tests.ablation import take_out
from tests.mail import test_smtp as of_smtp
from tests.mail.test_smtp import AccountAt, StartSmtp
from warmupd.core.reply import Trouble
from warmupd.mail.smtp import SmtpSender
from warmupd.mail.smtp_conversation import Conversation

pytestmark = pytest.mark.ablation

BEFORE_MAIL = partial(of_smtp.test_stop_before_mail_says_nothing, trouble=Trouble.DOUBT)
BEFORE_BODY = of_smtp.test_stop_before_the_body_leaves_nothing_behind


@pytest.mark.parametrize(
    ("function", "before", "test"),
    [(Conversation.envelope, "MAIL", BEFORE_MAIL), (Conversation.body, "BODY", BEFORE_BODY)],
)
async def test_doubt_is_missed(
    start_smtp: StartSmtp,
    sender: SmtpSender,
    account_at: AccountAt,
    monkeypatch: pytest.MonkeyPatch,
    function: Callable[..., Any],
    before: str,
    test: Callable[..., Awaitable[None]],
) -> None:
    take_out(monkeypatch, function, f"_heed(may_proceed, Phase.{before})", "pass")
    with pytest.raises(AssertionError):
        await test(start_smtp, sender, account_at)
