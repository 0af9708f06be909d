"""What is logged over a whole day: facts and numbers, no address, no secret, no word of a message."""

import io
from collections.abc import Iterator

import pytest
import structlog

from tests.daemon.model import says
from tests.daemon.rig import Rig, after
from tests.daemon.sandbox import served
from warmupd.core.reply import Phase
from warmupd.daemon import engager
from warmupd.daemon.logs import set_up_logs


@pytest.fixture(autouse=True)
def few_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engager, "POLL", 150.0)


@pytest.fixture(params=["json", "console"])
def written(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """The log as `warmupd run` would write it."""
    before = structlog.get_config()
    stream = io.StringIO()
    set_up_logs(level="debug", form=request.param, stream=stream)
    yield stream
    structlog.configure(**before)


async def test_no_address_secret_or_body_in_a_day_of_log(rig: Rig, written: io.StringIO) -> None:
    boxes = await rig.world.enrol(4, quota=5, end_hour=10, proven=False)
    async with served(rig, boxes, spam_share=0.3, refuse_share=0.1, defer_share=0.2, drop_after_dot_share=0.1) as post:
        unlucky = await rig.world.address(boxes[0])
        rig.world.passwords[unlucky] = post.server.accounts[unlucky]
        config = {**post.config, "engagement.reply_rate": 0.5, "engagement.file_after_hours": 1}
        async with rig.running(config, visits=True, real=True):
            await rig.until(after(8))
            post.server.accounts[unlucky] = "changed"
            await rig.until(after(10.5))
        letters = [
            letter
            for address in rig.world.passwords
            for folder in ("INBOX", "Junk")
            for letter in await post.messages(address, folder)
        ]
    log = written.getvalue()
    assert log.count("send.sent") > 8
    assert "AUTH_FAILED" in log
    nothing_of = [*rig.world.passwords, *rig.world.passwords.values(), rig.key, "owner1@", "Person "]
    for letter in letters:
        lines = [line for line in letter.get_content().splitlines() if len(line) > 12]
        nothing_of += [letter["Subject"], letter["Message-ID"].strip("<>"), *lines]
    assert [secret for secret in nothing_of if secret in log] == []


async def test_addresses_in_servers_words_and_tracebacks_are_hidden(rig: Rig, written: io.StringIO) -> None:
    boxes = await rig.world.enrol(3, quota=3, end_hour=9)
    address = await rig.world.address(boxes[0])
    answers = [
        says(550, f"5.1.1 <{address}>: Recipient address rejected", phase=Phase.RCPT),
        says(451, f"try later, {address}", phase=Phase.MAIL),
    ]

    def rule(account: object, message: object) -> object:
        if answers:
            return answers.pop()
        raise ValueError(f"cannot write to {address}")

    rig.server.rule = rule  # type: ignore[assignment]
    async with rig.running():
        await rig.until(after(9.5))
    log = written.getvalue()
    assert "Recipient address rejected" in log
    assert "cannot write to" in log
    assert "[address]" in log
    assert not any(one in log for one in rig.world.passwords)
