"""The sandbox as a server in this process and as a process of its own: its life and its end."""

import asyncio
import json
import os
import re
import select
import signal
import smtplib
import sys
from pathlib import Path

import pytest

from tests.sandbox.clients import ACCOUNTS, ANNA, BERT, CARL, away, imap, letter, smtp, submit
from warmupd.core.outcome import Phase
from warmupd.errors import UsageError, WarmupdError
from warmupd.sandbox.mailserver import SandboxMailServer, SandboxProcess
from warmupd.sandbox.record import Journal, JournalReader, Login


async def test_two_servers_run_at_once_and_know_nothing_of_each_other() -> None:
    async with SandboxMailServer(accounts=ACCOUNTS) as one, SandboxMailServer(accounts=ACCOUNTS) as two:
        await away(submit, one, letter())
        assert len(one.record.taken) == 1
        assert two.record == []


async def test_stopping_cuts_clients_that_stay() -> None:
    async with SandboxMailServer(accounts=ACCOUNTS) as server:
        writer, reader = await away(smtp, server), await away(imap, server)
    with pytest.raises(smtplib.SMTPServerDisconnected):
        await away(writer.noop)
    assert (await away(reader.readline)).startswith(b"* BYE")
    assert await away(reader.readline) == b""
    writer.close()
    reader.shutdown()


async def test_a_missing_extra_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for server in (SandboxMailServer(accounts=ACCOUNTS), SandboxProcess(accounts=ACCOUNTS)):
        with pytest.raises(UsageError, match=re.escape("pip install warmupd[demo]")):
            await server.__aenter__()


def test_a_half_written_line_of_the_journal_waits_for_its_rest(tmp_path: Path) -> None:
    file = tmp_path / "record.jsonl"
    reader = JournalReader(file)
    assert reader.read() == []
    entry = Login(connection=1, protocol="SMTP", user=ANNA, ok=True, at=1.5)
    journal = Journal(file)
    journal.append(entry)
    whole = file.read_bytes()
    file.write_bytes(whole + whole[:20])
    assert reader.read() == [entry]
    file.write_bytes(whole + whole)
    assert reader.read() == [entry, entry]
    journal.close()


async def test_the_process_serves_records_and_answers() -> None:
    async with SandboxProcess(accounts=ACCOUNTS, spam_share=1, defer_share=1) as server:
        replies = [await away(submit, server, letter()) for _ in range(2)]
        assert [code for code, _ in replies] == [450, 250]
        await server.append(BERT, "INBOX", letter("<two@north.test>"), ["\\Seen"])
        states = (await server.snapshot())[BERT]
        assert states["Junk"].message_ids == ("<one@north.test>",)
        assert (states["INBOX"].seen, states["INBOX"].message_ids) == (1, ("<two@north.test>",))
        with pytest.raises(WarmupdError, match="no account"):
            await server.append("nobody@south.test", "INBOX", letter())
        assert [refused.phase for refused in server.record().refused] == [Phase.RCPT]
        await away(submit, server, letter(), CARL)
    assert [type(entry).__name__ for entry in server.record()] == [
        "Login",
        "Refused",
        "Login",
        "Taken",
        "Login",
        "Refused",
    ]
    assert server.record().taken[0].recipients == (BERT,)
    assert not server.ca_file.parent.exists()


async def test_ctrl_c_leaves_the_process_to_its_parent() -> None:
    async with SandboxProcess(accounts=ACCOUNTS) as server:
        os.kill(server.pid, signal.SIGINT)
        assert set(await server.snapshot()) == set(ACCOUNTS)


async def test_a_killed_process_is_told_and_its_record_stays() -> None:
    async with SandboxProcess(accounts=ACCOUNTS) as server:
        await away(submit, server, letter())
        os.kill(server.pid, signal.SIGKILL)
        with pytest.raises(WarmupdError, match="ended"):
            await server.snapshot()
    assert len(server.record().taken) == 1
    assert not server.ca_file.parent.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_the_process_gets_no_password_as_argument() -> None:
    async with SandboxProcess(accounts=ACCOUNTS) as server:
        arguments = Path(f"/proc/{server.pid}/cmdline").read_bytes()
        assert b"warmupd.sandbox.mailserver" in arguments
        assert b"pw-" not in arguments + Path(f"/proc/{server.pid}/environ").read_bytes()


async def test_a_process_that_cannot_start_says_why() -> None:
    with pytest.raises(WarmupdError, match=r"ended: .*UnicodeError"):
        async with SandboxProcess(accounts={f"anna@{'x' * 64}.test": "secret"}):
            pass


PARENT = """
import asyncio, json, sys
from warmupd.sandbox.mailserver import SandboxProcess

async def main():
    async with SandboxProcess(accounts={"anna@north.test": "secret"}) as server:
        print(json.dumps([server.pid, str(server.ca_file.parent)]), flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="watches a process that is not its child by pidfd")
async def test_the_process_dies_with_its_parent_and_leaves_nothing() -> None:
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    pid, folder = json.loads(await parent.stdout.readline())
    watch = os.pidfd_open(pid)
    parent.send_signal(signal.SIGKILL)
    await parent.communicate()
    ended, _, _ = await away(select.select, [watch], [], [], 10)
    os.close(watch)
    assert ended
    assert not Path(folder).exists()
