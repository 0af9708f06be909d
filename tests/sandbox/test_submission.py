"""The sandbox takes, loses, refuses and delivers mail as its rules and shares say."""

import asyncio
import imaplib
import smtplib
import ssl
from typing import Any

import pytest

from tests.sandbox.clients import ACCOUNTS, ANNA, BERT, CARL, away, contents, imap, letter, smtp, submit, trust
from warmupd.clock import SystemClock
from warmupd.core.outcome import Phase
from warmupd.sandbox.fate import Shares
from warmupd.sandbox.mailserver import SandboxMailServer
from warmupd.sandbox.record import Login, Record, Taken
from warmupd.sandbox.submission import Client, Submission


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
