"""Every row of the reply table with a text that a provider really sends, and what must hold for any reply at all."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmupd.core.outcome import Action, Outcome, OutcomeKind, Phase, SmtpReply, Trouble, backoff, classify
from warmupd.core.replies import RULES, TROUBLES

DEFERRED, FAILED = OutcomeKind.DEFERRED, OutcomeKind.FAILED


def reply(line: str, phase: Phase = Phase.RCPT) -> SmtpReply:
    """A reply from its line: code, enhanced status if the second word is one, text."""
    code, _, rest = line.partition(" ")
    status, _, text = rest.partition(" ")
    if status.count(".") != 2 or not status.replace(".", "").isdigit():
        status, text = "", rest
    return SmtpReply(phase=phase, code=int(code), enhanced=status, text=text)


# kind, reason, action, retry_after in seconds
SENT = (OutcomeKind.SENT, "sent", Action.NONE, None)
ROLLING_DAY = (DEFERRED, "daily_limit", Action.REST_A_DAY, 86400)
DAILY_LIMIT = (DEFERRED, "daily_limit", Action.REST_UNTIL_NEXT_DAY, None)
SENDER_NOT_OWNED = (FAILED, "sender_not_owned", Action.SUSPEND, None)
PENALTY = (DEFERRED, "penalty", Action.REST_A_DAY, 86400)
REPUTATION = (DEFERRED, "reputation", Action.BACK_OFF_MAILBOX, 7200)
HOST_BUSY = (DEFERRED, "host_busy", Action.BACK_OFF_HOST, None)
HOST_REFUSES = (DEFERRED, "host_refuses", Action.BACK_OFF_HOST, 3600)
CONNECTIONS = (DEFERRED, "connections", Action.BACK_OFF_MAILBOX, 60)
AUTH_RATE = (DEFERRED, "auth_rate", Action.BACK_OFF_MAILBOX, 900)
AUTH_UNAVAILABLE = (DEFERRED, "auth_unavailable", Action.BACK_OFF_MAILBOX, None)
BAD_CREDENTIALS = (DEFERRED, "bad_credentials", Action.DOUBT_CREDENTIALS, 900)
NEEDS_OAUTH = (DEFERRED, "needs_oauth", Action.DOUBT_CREDENTIALS, 900.0)
NEEDS_BROWSER = (DEFERRED, "needs_browser", Action.DOUBT_CREDENTIALS, 900.0)
NEEDS_APP_PASSWORD = (DEFERRED, "needs_app_password", Action.DOUBT_CREDENTIALS, 900.0)
AUTH_REFUSED = (DEFERRED, "auth_refused", Action.BACK_OFF_MAILBOX, 3600)
SENDER_BLOCKED = (FAILED, "sender_blocked", Action.SUSPEND, None)
SENDER_REJECTED = (FAILED, "sender_rejected", Action.SUSPEND, None)
SENDER_FULL = (FAILED, "sender_full", Action.SUSPEND, None)
RECIPIENT_RATE = (DEFERRED, "recipient_rate", Action.SPARE_RECIPIENT, 3600)
RECIPIENT_FULL = (FAILED, "recipient_full", Action.SPARE_RECIPIENT, 86400)
RECIPIENT_UNKNOWN = (FAILED, "recipient_unknown", Action.CHECK_RECIPIENT, None)
GREYLISTED = (DEFERRED, "greylisted", Action.NONE, 300)
RATE = (DEFERRED, "rate", Action.BACK_OFF_MAILBOX, None)
HOURLY_LIMIT = (DEFERRED, "rate", Action.BACK_OFF_MAILBOX, 3600)
CONTENT = (FAILED, "content", Action.NONE, None)
REFUSED = (FAILED, "refused", Action.NONE, None)
TEMPORARY = (DEFERRED, "temporary", Action.NONE, None)
GARBAGE = (DEFERRED, "garbage", Action.BACK_OFF_MAILBOX, None)
UNKNOWN = (OutcomeKind.UNKNOWN, "unknown", Action.NONE, None)

SPOKEN = [
    (Phase.BODY, "250 2.0.0 OK 1700000000 d9-20020a gsmtp", SENT),
    (Phase.BODY, "550 5.4.5 Daily user sending limit exceeded. For more information go to support", ROLLING_DAY),
    (Phase.BODY, "550 5.4.5 Daily SMTP relay sending limit exceeded for this user. d9 - gsmtp", ROLLING_DAY),
    (Phase.RCPT, "550 5.4.5 Quota exceeded", DAILY_LIMIT),
    (Phase.BODY, "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed", DAILY_LIMIT),
    (Phase.BODY, "554 HL:ITC 163 smtp9,DMCowAB3", DAILY_LIMIT),
    (Phase.MAIL, "550 You have reached your 24-hour sending limit", DAILY_LIMIT),
    (Phase.MAIL, "452 4.7.0 You exceeded the limit of 300 messages per day", DAILY_LIMIT),
    (Phase.BODY, "554 5.2.252 SendAsDenied; ann@one.test not allowed to send as bob@one.test", SENDER_NOT_OWNED),
    (Phase.BODY, "550 5.2.253 Client repeated an unfixable error", PENALTY),
    (Phase.BODY, "421 4.7.0 [TSS04] Messages temporarily deferred due to user complaints", REPUTATION),
    (Phase.CONNECT, "421 4.3.2 Service not available, closing transmission channel", HOST_BUSY),
    (Phase.EHLO, "450 4.7.1 Error: too many connections", HOST_BUSY),
    (Phase.STARTTLS, "454 4.7.0 TLS not available due to local problem", HOST_BUSY),
    (Phase.CONNECT, "554 5.7.1 Your IP address is blocked", HOST_REFUSES),
    (Phase.MAIL, "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", CONNECTIONS),
    (Phase.MAIL, "421 4.3.2 Too many concurrent connections", CONNECTIONS),
    (Phase.AUTH, "454 4.7.0 Too many login attempts, please try again later. - gsmtp", AUTH_RATE),
    (Phase.AUTH, "454 4.7.0 Temporary authentication failure", AUTH_UNAVAILABLE),
    (Phase.AUTH, "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect.", BAD_CREDENTIALS),
    (Phase.AUTH, "535 5.7.139 Authentication unsuccessful, basic authentication is disabled.", NEEDS_OAUTH),
    (Phase.AUTH, "535 5.7.3 Basic authentication is not supported", NEEDS_OAUTH),
    (Phase.MAIL, "550 5.7.30 Basic authentication is not supported for Client Submission.", NEEDS_OAUTH),
    (Phase.AUTH, "550 5.7.30 Basic authentication is not supported for Client Submission.", NEEDS_OAUTH),
    (Phase.AUTH, "534 5.7.1 Please log in with your web browser and then try again.", NEEDS_BROWSER),
    (Phase.AUTH, "534 5.7.14 <https://accounts.google.com/signin/continue> Please log in", NEEDS_BROWSER),
    (Phase.AUTH, "534 5.7.9 Application-specific password required.", NEEDS_APP_PASSWORD),
    (Phase.AUTH, "535 Please create an app password to log in", NEEDS_APP_PASSWORD),
    (Phase.AUTH, "535 5.7.8 Username and Password not accepted.", BAD_CREDENTIALS),
    (Phase.AUTH, "550 5.7.8 Error: no", BAD_CREDENTIALS),
    (Phase.AUTH, "554 Authentication failed", BAD_CREDENTIALS),
    (Phase.AUTH, "554 Invalid login or password", BAD_CREDENTIALS),
    (Phase.AUTH, "504 5.5.4 Unrecognized authentication type", AUTH_REFUSED),
    (Phase.BODY, "550 5.1.8 Access denied, bad outbound sender AS(42004)", SENDER_BLOCKED),
    (Phase.BODY, "554 5.2.0 STOREDRV.Submission.Exception:OutboundSpamException; WASCL UserAction", SENDER_BLOCKED),
    (Phase.BODY, "554 5.1.8 Email Outgoing Blocked", SENDER_BLOCKED),
    (Phase.BODY, "550 5.4.6 Unusual sending activity detected. Please try after sometime", SENDER_BLOCKED),
    (Phase.RCPT, "550 5.1.8 <ann@one.test>: Sender address rejected: Domain not found", SENDER_REJECTED),
    (Phase.BODY, "550 5.7.60 SMTP; Client does not have permissions to send as this sender", SENDER_NOT_OWNED),
    (Phase.RCPT, "553 5.7.1 <a@one.test>: Sender address rejected: not owned by user ann", SENDER_NOT_OWNED),
    (Phase.MAIL, "553 Mail from must equal authorized user", SENDER_NOT_OWNED),
    (Phase.BODY, "554 5.2.2 mailbox full; STOREDRV.Submission.Exception:QuotaExceededException", SENDER_FULL),
    (Phase.RCPT, "450 4.2.1 The user you are trying to contact is receiving mail at a rate that", RECIPIENT_RATE),
    (Phase.RCPT, "452 4.2.2 The email account that you tried to reach is over quota", RECIPIENT_FULL),
    (Phase.RCPT, "452 4.2.2 The recipient's mailbox is over quota, try again in 24 hours", RECIPIENT_FULL),
    (Phase.RCPT, "552 5.2.2 Mailbox is full", RECIPIENT_FULL),
    (Phase.RCPT, "550 mailbox full", RECIPIENT_FULL),
    (Phase.RCPT, "452 The recipient's mailbox is over quota, try again in 24 hours", RECIPIENT_FULL),
    (Phase.RCPT, "552 <bob@two.test>: over quota", RECIPIENT_FULL),
    (Phase.RCPT, "550 5.7.1 Daily sending limit over quota", DAILY_LIMIT),
    (Phase.RCPT, "550 5.1.1 The email account that you tried to reach does not exist", RECIPIENT_UNKNOWN),
    (Phase.RCPT, "553 5.1.2 We weren't able to find the recipient domain", RECIPIENT_UNKNOWN),
    (Phase.RCPT, "550 No such user here", RECIPIENT_UNKNOWN),
    (Phase.RCPT, "450 4.2.0 <bob@two.test>: Recipient address rejected: Greylisted", GREYLISTED),
    (Phase.MAIL, "421 4.4.2 Message submission rate for this client has exceeded the configured limit", RATE),
    (Phase.BODY, "451 4.7.0 Server busy. Please try again later", RATE),
    (Phase.MAIL, "421 4.7.28 Gmail has detected unusual mail from you", RATE),
    (Phase.MAIL, "451 4.7.1 Please come back later", RATE),
    (Phase.MAIL, "450 4.7.1 Error: too much mail from 192.0.2.1", RATE),
    (Phase.RCPT, "550 Domain one.test has exceeded the max emails per hour (50/50 (100%)) allowed.", HOURLY_LIMIT),
    (Phase.BODY, "550 5.7.1 Our system has detected that this message is likely unsolicited", CONTENT),
    (Phase.BODY, "552 5.7.0 This message was blocked because its content presents a potential issue", CONTENT),
    (Phase.BODY, "554 5.6.0 Invalid message content", CONTENT),
    (Phase.BODY, "554 DT:SPM 163 smtp1", CONTENT),
    (Phase.RCPT, "554 5.7.1 Relay access denied", REFUSED),
    (Phase.DATA, "451 4.3.0 Temporary system problem", TEMPORARY),
    (Phase.DATA, "250 2.0.0 that is not what DATA wants", GARBAGE),
    (Phase.BODY, "354 go on", UNKNOWN),
]


@pytest.mark.parametrize(("phase", "line", "expected"), SPOKEN)
def test_known_reply_is_judged(
    phase: Phase, line: str, expected: tuple[OutcomeKind, str, Action, float | None]
) -> None:
    outcome = classify(reply(line, phase))
    assert (outcome.kind, outcome.reason, outcome.action, outcome.retry_after) == expected


def test_every_rule_decides_some_known_reply() -> None:
    deciding = [next((rule for rule in RULES if rule.matches(reply(row[1], row[0]))), None) for row in SPOKEN]
    assert [rule for rule in RULES if rule not in deciding] == []


UNSPOKEN = [
    (Phase.MAIL, Trouble.LATE, OutcomeKind.RETURNED, Action.NONE, None),
    (Phase.DATA, Trouble.DOUBT, OutcomeKind.RETURNED, Action.NONE, None),
    (Phase.CONNECT, Trouble.CERTIFICATE, DEFERRED, Action.BACK_OFF_MAILBOX, 3600),
    (Phase.STARTTLS, Trouble.NO_STARTTLS, DEFERRED, Action.BACK_OFF_MAILBOX, 3600),
    (Phase.AUTH, Trouble.NO_AUTH, DEFERRED, Action.BACK_OFF_MAILBOX, 3600),
    (Phase.CONNECT, Trouble.FORBIDDEN, DEFERRED, Action.BACK_OFF_MAILBOX, 3600),
    (Phase.CONNECT, Trouble.UNRESOLVED, DEFERRED, Action.BACK_OFF_HOST, None),
    (Phase.CONNECT, Trouble.TLS, DEFERRED, Action.BACK_OFF_HOST, None),
    (Phase.CONNECT, Trouble.UNREACHABLE, DEFERRED, Action.BACK_OFF_HOST, None),
    (Phase.CONNECT, Trouble.TIMEOUT, DEFERRED, Action.BACK_OFF_HOST, None),
    (Phase.STARTTLS, Trouble.LOST, DEFERRED, Action.BACK_OFF_HOST, None),
    (Phase.RCPT, Trouble.TIMEOUT, DEFERRED, Action.BACK_OFF_MAILBOX, None),
    (Phase.DATA, Trouble.LOST, DEFERRED, Action.BACK_OFF_MAILBOX, None),
    (Phase.MAIL, Trouble.GARBAGE, DEFERRED, Action.BACK_OFF_MAILBOX, None),
    (Phase.BODY, Trouble.TIMEOUT, OutcomeKind.UNKNOWN, Action.NONE, None),
    (Phase.BODY, Trouble.GARBAGE, OutcomeKind.UNKNOWN, Action.NONE, None),
]


@pytest.mark.parametrize(("phase", "trouble", "kind", "action", "seconds"), UNSPOKEN)
def test_missing_reply_is_judged(
    phase: Phase, trouble: Trouble, kind: OutcomeKind, action: Action, seconds: float | None
) -> None:
    outcome = classify(SmtpReply(phase=phase, code=None, trouble=trouble))
    assert (outcome.kind, outcome.action, outcome.retry_after) == (kind, action, seconds)


def test_every_trouble_before_the_body_has_a_row() -> None:
    missing = [
        (phase, trouble)
        for phase in Phase
        for trouble in Trouble
        if not any(trouble is known and phase in phases for phases, known, _ in TROUBLES)
    ]
    assert missing == []


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        ("450 4.7.1 too much mail, try again in 300 seconds", 310),
        ("450 4.7.1 too much mail, try again in 5 minutes", 310),
        ("451 4.3.0 busy for 1 hour", 3610),
        ("450 4.2.0 Greylisted for 60 secs", 70),
        ("451 4.3.0 wait 999999 hours", 86410),
        ("550 5.4.5 daily limit: wait 10 minutes", None),
        ("450 4.7.1 at most 30 messages", None),
        ("450 4.7.1 rate limited: at most 100 messages per 60 minutes, try again in 120 seconds", 130),
        ("450 4.7.1 try again in 120 seconds: at most 100 messages per 60 minutes", 130),
        ("450 4.7.1 at most 100 messages/60 minutes", None),
        ("450 4.7.1 at most 100 messages per 60 minutes", None),
        ("450 4.7.1 more than 100 messages in 60 minutes. Please wait 120 seconds", 130),
        ("450 4.7.1 Wait 120 seconds: more than 100 messages in 60 minutes", 130),
        ("450 4.7.1 slow down after 60 minutes of sending, try again later (120 seconds)", 130),
        ("450 4.7.1 sent over 60 minutes, limited for 2 minutes", 130),
        ("450 4.7.1 window 60 minutes, rest 120 seconds", 130),
    ],
)
def test_named_time_is_kept_where_waiting_helps(line: str, seconds: float | None) -> None:
    assert classify(reply(line)).retry_after == seconds


def test_remedy_is_told_when_the_owner_must_act() -> None:
    told = [rule.verdict.remedy for rule in RULES if rule.verdict.action in {Action.DOUBT_CREDENTIALS, Action.SUSPEND}]
    assert told
    assert all(told)


def test_message_is_one_short_plain_line() -> None:
    message = classify(reply("550 5.7.1 no\r\n\x1b[31m\u202espam\x00 " + "x" * 900)).message
    assert message.startswith("550 5.7.1 no [31m spam xxx")
    assert message.endswith("...")
    assert len(message) == 300
    assert message.isprintable()


def test_message_hides_an_echoed_credential() -> None:
    assert classify(reply("500 unknown: AUTH PLAIN AGFubgBjb3JyZWN0IGhvcnNl")).message == (
        "500 unknown: AUTH PLAIN [hidden]"
    )


@pytest.mark.parametrize(("retries", "seconds"), [(0, 60), (1, 300), (2, 900), (3, 3600), (50, 3600)])
def test_backoff_grows_and_spreads(retries: int, seconds: float) -> None:
    waits = {backoff(retries, random.Random(seed)) for seed in range(50)}
    assert len(waits) == 50
    assert 0.75 * seconds <= min(waits) < seconds < max(waits) <= 1.25 * seconds


any_reply = st.builds(
    SmtpReply,
    phase=st.sampled_from(Phase),
    code=st.none() | st.integers(200, 599) | st.integers(),
    enhanced=st.text(max_size=9) | st.from_regex(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}", fullmatch=True),
    text=st.text(st.characters(codec=None)) | st.sampled_from([row[1] for row in SPOKEN]),
    trouble=st.none() | st.sampled_from(Trouble),
)


@given(any_reply)
def test_any_reply_is_judged(reply: SmtpReply) -> None:
    outcome = classify(reply)
    assert isinstance(outcome, Outcome)
    assert outcome.reason
    assert len(outcome.message) <= 300


@given(any_reply)
def test_silence_after_the_body_began_is_unknown(reply: SmtpReply) -> None:
    silent = SmtpReply(phase=Phase.BODY, code=None, text=reply.text, trouble=reply.trouble)
    assert classify(silent).kind is OutcomeKind.UNKNOWN


@given(any_reply, st.integers(200, 299))
def test_yes_after_the_dot_is_sent(reply: SmtpReply, code: int) -> None:
    yes = SmtpReply(phase=Phase.BODY, code=code, enhanced=reply.enhanced, text=reply.text)
    assert classify(yes).kind is OutcomeKind.SENT


@given(any_reply.filter(lambda reply: reply.phase is not Phase.BODY))
def test_nothing_is_sent_or_unknown_before_the_body(reply: SmtpReply) -> None:
    assert classify(reply).kind not in (OutcomeKind.UNKNOWN, OutcomeKind.SENT)
