"""The stack itself: up in seconds with a thousand accounts, several at once, and gone without a trace."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.mail.imap_fixtures import LOOPBACK
from warmupd.mail.account import Account, Endpoint, Security
from warmupd.mail.imap import check_login
from warmupd.mail.smtp import SmtpSender
from warmupd.mail.tls import client_context
from warmupd.sandbox.real.box import Box
from warmupd.sandbox.real.stack import RealStack

pytestmark = pytest.mark.realmail


def test_a_thousand_accounts_and_two_stacks_at_once_leave_nothing_behind() -> None:
    boxes = [Box(address=f"box{number}@d{number % 300}.test", password=f"secret {number}") for number in range(1000)]
    with RealStack(boxes) as many, RealStack(boxes[:1]) as few:
        assert many.folder != few.folder
        many.dovecot.doveadm("auth", "login", "box999@d99.test", "secret 999")
        assert len(many.dovecot.doveadm("user", "*").split()) == 1000
        folders, processes = (many.folder, few.folder), (*many.processes, *few.processes)
    assert not any(folder.exists() for folder in folders)
    assert not any(is_running(pid) for pid in processes)


def test_the_servers_end_with_their_owner_however_it_dies(tmp_path: Path) -> None:
    program = (
        "from warmupd.sandbox.real.stack import RealStack; from warmupd.sandbox.real.box import Box; import time\n"
        "with RealStack([Box(address='a@b.test', password='x')]) as stack:\n"
        "    print(*stack.processes, stack.folder, flush=True); time.sleep(60)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=tmp_path)
    assert owner.stdout is not None
    *pids, folder = owner.stdout.readline().decode().split()
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    end = time.monotonic() + 20
    while any(is_running(int(pid)) for pid in pids):
        assert time.monotonic() < end, "the servers go on"
        time.sleep(0.05)  # they are nobody's children now: nothing tells of their end
    assert Path(folder).exists()
    with RealStack([Box(address="a@b.test", password="x")]) as another:
        assert not Path(folder).exists()
        assert another.folder.exists()


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


async def test_each_of_a_thousand_accounts_logs_in(capsys: pytest.CaptureFixture[str]) -> None:
    boxes = [Box(address=f"box{number}@d{number % 7}.test", password=f"secret {number}") for number in range(1000)]
    began = time.monotonic()
    with RealStack(boxes) as stack:
        ready = time.monotonic() - began
        context, gate = client_context(str(stack.ca_file)), asyncio.Semaphore(20)
        sender = SmtpSender(context=context, policy=LOOPBACK)

        async def log_in(box: Box) -> bool:
            login: dict[str, Any] = {"host": "localhost", "username": box.address, "password": box.password}
            account = Account(
                mailbox_id=1,
                address=box.address,
                display_name="",
                smtp=Endpoint(port=stack.smtp_port, security=Security.STARTTLS, **login),
                imap=Endpoint(port=stack.imap_port, security=Security.TLS, **login),
            )
            async with gate:
                reply = await sender.check_login(account)
                return reply.accepted and "IMAP4REV1" in await check_login(account, LOOPBACK, context)

        assert all(await asyncio.gather(*map(log_in, boxes)))
        took = time.monotonic() - began - ready
        await sender.close()
    with capsys.disabled():
        sys.stdout.write(f" [1,000 accounts: up in {ready:.1f} s, 2,000 logins in {took:.1f} s]")
