"""The sandbox mail server, spoken to by the standard library's clients over real TLS."""

import asyncio
import imaplib
import json
import os
import re
import select
import signal
import smtplib
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from warmupd.clock import SystemClock
from warmupd.core.outcome import Phase
from warmupd.errors import NotFound, UsageError, WarmupdError
from warmupd.sandbox.fate import Shares
from warmupd.sandbox.mailserver import SandboxMailServer, SandboxProcess
from warmupd.sandbox.record import Journal, JournalReader, Login, Record, Taken
from warmupd.sandbox.submission import Client, Submission

T = TypeVar("T")

ANNA, BERT, CARL = "anna@north.test", "bert@south.test", "carl@south.test"
ACCOUNTS = {ANNA: "pw-anna", BERT: "pw-bert", CARL: "pw-carl"}
Server = SandboxMailServer | SandboxProcess


def letter(message_id: str = "<one@north.test>", body: str = "Hello") -> bytes:
    head = f"Message-ID: {message_id}\r\nX-Warmupd: token-1\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nFrom: {ANNA}"
    return f"{head}\r\nTo: {BERT}\r\n\r\n{body}\r\n".encode()


def trust(server: Server) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=server.ca_file)


def smtp(server: Server) -> smtplib.SMTP:
    """A client of ANNA, logged in."""
    client = smtplib.SMTP("127.0.0.1", server.smtp_port, local_hostname="client.test", timeout=10)
    try:
        client.starttls(context=trust(server))
        client.login(ANNA, ACCOUNTS[ANNA])
    except smtplib.SMTPException:
        client.close()
        raise
    return client


def submit(server: Server, content: bytes, recipient: str = BERT) -> tuple[int, bytes]:
    """Submit as ANNA; the reply that decided."""
    with smtp(server) as client:
        client.mail(ANNA)
        code, text = client.rcpt(recipient)
        return client.data(content) if code == 250 else (code, text)


def imap(server: Server, address: str = BERT, password: str | None = None) -> imaplib.IMAP4_SSL:
    client = imaplib.IMAP4_SSL("localhost", server.imap_port, ssl_context=trust(server), timeout=10)
    try:
        client.login(address, ACCOUNTS[address.lower()] if password is None else password)
    except imaplib.IMAP4.error:
        client.shutdown()
        raise
    return client


def contents(server: Server, folder: str = "INBOX") -> list[bytes]:
    """The messages in BERT's folder."""
    with imap(server) as client:
        client.select(folder)
        _, answer = client.uid("fetch", "1:*", "(BODY.PEEK[])")
        return [part[1] for part in answer if isinstance(part, tuple)]


async def away(call: Callable[..., T], *arguments: Any) -> T:
    """The blocking clients run in a thread: the server needs this one."""
    return await asyncio.to_thread(call, *arguments)


def ids(count: int) -> list[str]:
    return [f"<{number}@north.test>" for number in range(count)]


# --- what becomes of a message


def test_shares_come_near_what_was_asked() -> None:
    shares = Shares(seed=7, spam_share=0.2, other_share=0.1, lost_share=0.05, refuse_share=0.1, defer_share=0.3)
    fates = [shares.fate(message_id) for message_id in ids(4000)]
    delivered = [fate for fate in fates if fate.folder]
    assert sum(fate.folder == "Junk" for fate in delivered) / len(delivered) == pytest.approx(0.2, abs=0.03)
    assert sum(fate.folder == "Promotions" for fate in delivered) / len(delivered) == pytest.approx(0.1, abs=0.03)
    assert sum(fate.refused for fate in fates) / 4000 == pytest.approx(0.1, abs=0.03)
    assert sum(fate.lost for fate in fates) / 4000 == pytest.approx(0.045, abs=0.02)
    assert sum(shares.defers(ANNA, BERT, count) for count in range(4000)) / 4000 == pytest.approx(0.3, abs=0.03)


def test_the_same_seed_tells_the_same_and_another_does_not() -> None:
    first, again, other = (
        [Shares(seed=seed, spam_share=0.5).fate(message_id) for message_id in ids(100)] for seed in (1, 1, 2)
    )
    assert first == again != other


def test_a_refused_or_lost_message_has_no_folder() -> None:
    for fate in map(Shares(lost_share=0.5, refuse_share=0.5, drop_after_dot_share=0.5).fate, ids(200)):
        assert (fate.folder == "") == (fate.refused or fate.lost)
        assert not (fate.refused and (fate.lost or fate.cut))


@pytest.mark.parametrize("wrong", [{"spam_share": 1.1}, {"lost_share": -0.1}, {"spam_share": 0.6, "other_share": 0.6}])
def test_impossible_shares_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="share"):
        Shares(**wrong)  # type: ignore[arg-type]  # mypy takes every value for the seed or the folder


# --- submission


async def test_starttls_is_demanded_before_login() -> None:
    def talk() -> tuple[bool, int, int]:
        with smtplib.SMTP("127.0.0.1", server.smtp_port, local_hostname="client.test", timeout=10) as client:
            client.ehlo()
            return client.has_extn("auth"), client.docmd("AUTH PLAIN")[0], client.mail(ANNA)[0]

    async with SandboxMailServer(accounts=ACCOUNTS) as server:
        assert await away(talk) == (False, 530, 530)
        assert server.record == []


async def test_login_is_demanded_before_mail() -> None:
    def talk() -> tuple[int, bytes]:
        with smtplib.SMTP_SSL("localhost", server.smtps_port, context=trust(server), timeout=10) as client:
            client.ehlo()
            return client.mail(ANNA)

    async with SandboxMailServer(accounts=ACCOUNTS) as server:
        assert await away(talk) == (530, b"5.7.0 Authentication required")


@pytest.mark.parametrize("mechanism", ["auth_plain", "auth_login"])
@pytest.mark.parametrize(("password", "code"), [("pw-anna", 235), ("pw-bert", 535), ("", 535)])
async def test_only_the_right_password_logs_in_and_each_attempt_is_recorded(
    mechanism: str, password: str, code: int
) -> None:
    def talk() -> int:
        with smtplib.SMTP_SSL("localhost", server.smtps_port, context=trust(server), timeout=10) as client:
            client.ehlo()
            client.user, client.password = ANNA.upper(), password
            try:
                return client.auth(mechanism[5:].upper(), getattr(client, mechanism))[0]
            except smtplib.SMTPAuthenticationError as error:
                return error.smtp_code

    async with SandboxMailServer(accounts=ACCOUNTS) as server:
        assert await away(talk) == code
        [attempt] = server.record.logins
        assert (attempt.protocol, attempt.user, attempt.ok) == ("SMTP", ANNA, code == 235)


async def test_a_changed_password_counts_from_the_next_login_on() -> None:
    async with SandboxMailServer(accounts=ACCOUNTS) as server:
        server.accounts[ANNA] = server.accounts[BERT] = "new"
        with pytest.raises(smtplib.SMTPAuthenticationError, match="535"):
            await away(smtp, server)
        with pytest.raises(imaplib.IMAP4.error):
            await away(imap, server)


async def test_mail_from_another_account_is_refused_and_recorded() -> None:
    def talk() -> tuple[int, bytes]:
        with smtp(server) as client:
            return client.mail(CARL)

    async with SandboxMailServer(accounts=ACCOUNTS) as server:
        assert (await away(talk))[0] == 553
        [refused] = server.record.refused
        assert (refused.phase, refused.code, refused.user, refused.sender) == (Phase.MAIL, 553, ANNA, CARL)
        assert refused.text.startswith("553 5.7.1")


async def test_an_unknown_recipient_is_refused_and_recorded() -> None:
    async with SandboxMailServer(accounts=ACCOUNTS) as server:
        code, text = await away(submit, server, letter(), "nobody@south.test")
        assert (code, text[:5]) == (550, b"5.1.1")
        [refused] = server.record.refused
        assert (refused.phase, refused.recipients) == (Phase.RCPT, ("nobody@south.test",))
        assert server.record.taken == []


async def test_a_message_arrives_as_it_was_with_trace_headers_before_it() -> None:
    content = letter(body="Zwölf Boxkämpfer\r\n.\r\n..two")
    async with SandboxMailServer(accounts=ACCOUNTS) as server:
        assert (await away(submit, server, content))[0] == 250
        [arrived] = await away(contents, server)
        assert arrived.endswith(b"\r\n" + content)
        trace = arrived.removesuffix(content).decode()
        assert trace.startswith(f"Return-Path: <{ANNA}>\r\nReceived: from client.test ")
        assert f"\tfor <{BERT}>; " in trace


async def test_the_record_tells_who_what_when_and_where() -> None:
    before = SystemClock().boottime()
    async with SandboxMailServer(accounts=ACCOUNTS) as server:
        await away(submit, server, letter())
        login, taken = server.record
    assert isinstance(login, Login)
    assert isinstance(taken, Taken)
    assert (taken.connection, taken.user, taken.sender, taken.recipient) == (login.connection, ANNA, ANNA, BERT)
    assert (taken.message_id, taken.token, taken.subject) == ("<one@north.test>", "token-1", "Grüße")
    assert (taken.size, taken.code, taken.folder) == (len(letter()), 250, "INBOX")
    assert before < login.at < taken.mail_at < taken.rcpt_at < taken.accepted_at < SystemClock().boottime()


async def test_addresses_beyond_ascii_are_taken() -> None:
    def talk() -> tuple[int, bytes]:
        with smtplib.SMTP_SSL("localhost", server.smtps_port, context=trust(server), timeout=10) as client:
            client.ehlo()
            client.login(ANNA, ACCOUNTS[ANNA])
            client.command_encoding = "utf-8"
            client.mail(ANNA, ["SMTPUTF8", "BODY=8BITMIME"])
            client.rcpt("jörg@bücher.test")
            return client.data(letter())

    async with SandboxMailServer(accounts=ACCOUNTS | {"jörg@bücher.test": "pw"}) as server:
        assert (await away(talk))[0] == 250
        assert server.record.taken[0].recipients == ("jörg@bücher.test",)
        assert (await server.snapshot())["jörg@bücher.test"]["INBOX"].messages == 1


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "mail.north.test", "mail.south.test"])
async def test_the_certificate_is_good_for_loopback_and_the_mail_hosts_of_the_domains(host: str) -> None:
    async with SandboxMailServer(accounts=ACCOUNTS) as server:
        _, writer = await asyncio.open_connection(
            "127.0.0.1", server.imap_port, ssl=trust(server), server_hostname=host
        )
        writer.close()
        await writer.wait_closed()


async def test_the_certificate_is_not_good_for_other_names() -> None:
    async with SandboxMailServer(accounts=ACCOUNTS) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection(
                "127.0.0.1", server.imap_port, ssl=trust(server), server_hostname="mail.east.test"
            )


# --- on purpose


@pytest.mark.parametrize(
    ("shares", "folder"), [({"spam_share": 1.0}, "Junk"), ({"other_share": 1.0}, "Promotions"), ({}, "INBOX")]
)
async def test_a_message_is_delivered_where_its_fate_says(shares: dict[str, Any], folder: str) -> None:
    async with SandboxMailServer(accounts=ACCOUNTS, **shares) as server:
        await away(submit, server, letter())
        assert server.record.taken[0].folder == folder
        states = (await server.snapshot())[BERT]
        assert [name for name, state in states.items() if state.messages] == [folder]


async def test_a_lost_message_is_accepted_and_nowhere() -> None:
    async with SandboxMailServer(accounts=ACCOUNTS, lost_share=1) as server:
        assert (await away(submit, server, letter()))[0] == 250
        assert server.record.taken[0].folder == ""
        assert not any(state.messages for states in (await server.snapshot()).values() for state in states.values())


async def test_a_content_refusal_comes_after_the_dot_and_delivers_nothing() -> None:
    async with SandboxMailServer(accounts=ACCOUNTS, refuse_share=1) as server:
        code, text = await away(submit, server, letter())
        assert (code, text[:5]) == (550, b"5.7.1")
        [refused] = server.record.refused
        assert (refused.phase, refused.message_id, refused.recipients) == (Phase.BODY, "<one@north.test>", (BERT,))
        assert server.record.taken == []
        assert (await server.snapshot())[BERT]["INBOX"].messages == 0


async def test_a_deferred_message_is_taken_at_the_second_try() -> None:
    async with SandboxMailServer(accounts=ACCOUNTS, defer_share=1) as server:
        replies = [await away(submit, server, letter()) for _ in range(4)]
        assert [code for code, _ in replies] == [450, 250, 451, 250]
        assert [refused.phase for refused in server.record.refused] == [Phase.RCPT, Phase.RCPT]
        assert len(server.record.taken) == 2


async def test_a_connection_cut_after_the_dot_leaves_the_message_taken_and_delivered() -> None:
    async with SandboxMailServer(accounts=ACCOUNTS, drop_after_dot_share=1) as server:
        with pytest.raises(smtplib.SMTPServerDisconnected):
            await away(submit, server, letter())
        [taken] = server.record.taken
        assert (taken.code, taken.folder) == (None, "INBOX")
        assert (await server.snapshot())[BERT]["INBOX"].message_ids == ("<one@north.test>",)


async def test_what_was_taken_is_delivered_although_the_client_hangs_up() -> None:
    begun, resume = asyncio.Event(), asyncio.Event()
    delivered: list[str] = []

    async def deliver(address: str, folder: str, content: bytes) -> None:
        begun.set()
        await resume.wait()
        delivered.append(address)

    record = Record()
    submission = Submission(accounts=ACCOUNTS, shares=Shares(), deliver=deliver, note=record.append)
    talk = asyncio.create_task(submission.data(Client(number=1, user=ANNA, recipients=[BERT]), letter()))
    await begun.wait()
    talk.cancel()
    await asyncio.wait([talk])
    resume.set()
    await submission.finish()
    assert delivered == [entry.recipient for entry in record.taken] == [BERT]


# --- IMAP


async def test_folders_are_listed_with_their_special_use() -> None:
    def talk() -> str:
        with imap(server) as client:
            return repr(client.list()[1])

    async with SandboxMailServer(accounts=ACCOUNTS) as server:
        listing = await away(talk)
    for folder in ("Junk", "Sent", "Trash", "Drafts"):
        assert re.search(rf'\\{folder}\) "/" {folder}\b', listing)
    assert re.search(r'\(\\+HasNoChildren\) "/" INBOX', listing)


async def test_move_idle_and_uidplus_are_offered() -> None:
    async with SandboxMailServer(accounts=ACCOUNTS) as server:
        client = await away(imap, server)
        capabilities = (await away(client.capability))[1][0].split()
        await away(client.logout)
        assert {b"MOVE", b"IDLE", b"UIDPLUS"} <= set(capabilities)


async def test_each_imap_login_is_recorded_and_the_address_counts_in_any_case() -> None:
    async with SandboxMailServer(accounts=ACCOUNTS) as server:
        await away((await away(imap, server, BERT.upper())).logout)
        with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
            await away(imap, server, BERT, "wrong")
        assert [(login.protocol, login.user, login.ok) for login in server.record.logins] == [
            ("IMAP", BERT, True),
            ("IMAP", BERT, False),
        ]


async def test_a_rescue_shows_in_the_snapshot() -> None:
    def rescue() -> None:
        with imap(server) as client:
            client.select("Junk")
            client.uid("store", "1:*", "+FLAGS", "(\\Seen \\Flagged)")
            client.uid("move", "1:*", "INBOX")

    async with SandboxMailServer(accounts=ACCOUNTS, spam_share=1) as server:
        await away(submit, server, letter())
        await away(rescue)
        states = (await server.snapshot())[BERT]
    assert states["Junk"].messages == 0
    inbox = states["INBOX"]
    assert (inbox.messages, inbox.seen, inbox.flagged, inbox.answered) == (1, 1, 1, 0)
    assert inbox.message_ids == ("<one@north.test>",)


async def test_a_message_can_be_searched_and_read_after_it_was_moved() -> None:
    def talk() -> tuple[bytes, bytes]:
        with imap(server) as client:
            client.create("Warmup")
            client.select("INBOX")
            client.uid("move", "1:*", "Warmup")
            client.select("Warmup")
            found = client.uid("search", "HEADER", "Message-ID", "<one@north.test>")[1][0]
            return found, client.uid("fetch", "1:*", "(BODY.PEEK[HEADER.FIELDS (X-WARMUPD)])")[1][0][1]

    async with SandboxMailServer(accounts=ACCOUNTS) as server:
        await away(submit, server, letter())
        assert await away(talk) == (b"101", b"X-Warmupd: token-1\r\n\r\n")


async def test_a_client_in_idle_hears_of_new_mail() -> None:
    def idle() -> imaplib.IMAP4_SSL:
        client = imap(server)
        client.select("INBOX")
        client.send(b"x IDLE\r\n")
        assert client.readline().startswith(b"+")
        return client

    async with SandboxMailServer(accounts=ACCOUNTS) as server:
        client = await away(idle)
        await away(submit, server, letter())
        assert await away(client.readline) == b"* 1 EXISTS\r\n"
        client.shutdown()


async def test_planted_mail_is_there_with_its_flags_and_not_in_the_record() -> None:
    async with SandboxMailServer(accounts=ACCOUNTS) as server:
        await server.append(BERT, "News", letter(), ["\\Seen"])
        assert (await server.snapshot())[BERT]["News"].seen == 1
        assert server.record == []
        with pytest.raises(NotFound):
            await server.append("nobody@south.test", "INBOX", letter())


# --- life


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
