"""The table of known replies: a new provider's text is one line here and one test.

Sources: RFC 5321, RFC 3463 and RFC 4954 for the codes, the providers' own pages for their texts. The class digit
alone misleads: many rate and daily limits are 5xx, and a failing identity back end says 535 like a wrong password.
"""

import re
from dataclasses import dataclass

from warmupd.core import verdicts as v
from warmupd.core.reply import Phase, SmtpReply, Trouble
from warmupd.core.verdicts import Verdict


@dataclass(frozen=True, slots=True)
class Rule:
    """Matches replies by phase, code, enhanced status and text; the patterns are regular expressions, "" is any."""

    phases: frozenset[Phase]
    code: str  # the whole code
    status: str  # the whole status
    text: str  # anywhere, in either case
    verdict: Verdict

    def matches(self, reply: SmtpReply) -> bool:
        return (
            reply.phase in self.phases
            and re.fullmatch(self.code, str(reply.code)) is not None
            and (not self.status or re.fullmatch(self.status, reply.enhanced) is not None)
            and (not self.text or re.search(self.text, reply.text, re.IGNORECASE) is not None)
        )


_ANY = frozenset(Phase)
_GREETING = frozenset({Phase.CONNECT, Phase.EHLO, Phase.STARTTLS})
_AUTH = frozenset({Phase.AUTH})
_MAIL = frozenset({Phase.MAIL, Phase.RCPT})  # many servers put off their objection to the sender until RCPT
_RCPT = frozenset({Phase.RCPT, Phase.DATA, Phase.BODY})
_BODY = frozenset({Phase.BODY})
_SUBMIT = frozenset({Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.BODY})

RULES: tuple[Rule, ...] = (  # the first match wins
    # A recipient's trouble: its texts may speak of days and quotas, too
    Rule(_RCPT, "[45]..", "", r"receiving mail (at a rate|too quickly)", v.RECIPIENT_RATE),  # Gmail
    Rule(_RCPT, "5..", r"5\.2\.2", r"STOREDRV|submission", v.SENDER_FULL),  # Microsoft, after the dot: the sender's own
    Rule(_RCPT, "[45]..", r"[45]\.2\.2", "", v.RECIPIENT_FULL),
    Rule(_RCPT, "[45]..", "", r"mailbox (is )?(full|over quota)|tried to reach is over quota", v.RECIPIENT_FULL),
    Rule(_RCPT, "5..", r"5\.1\.([1236]|10)", "", v.RECIPIENT_UNKNOWN),
    Rule(_RCPT, "55[013]", "", r"user unknown|unknown user|no such (user|recipient|mailbox)", v.RECIPIENT_UNKNOWN),
    # What the provider allows a day
    Rule(_ANY, "[45]..", "", r"daily user sending (limit|quota)", v.ROLLING_DAY),  # Gmail: a rolling 24 hours
    Rule(_ANY, "5..", r"5\.4\.5", r"gsmtp|support\.google\.com", v.ROLLING_DAY),
    Rule(_ANY, "5..", r"5\.4\.5", "", v.DAILY_LIMIT),
    Rule(_ANY, "5..", "", r"SubmissionQuotaExceeded", v.DAILY_LIMIT),  # Microsoft 365
    Rule(_ANY, "5..", "", r"\bHL:ITC\b", v.DAILY_LIMIT),  # 163.com
    Rule(_ANY, "[45]..", "", r"\b(daily|24[- ]?hours?)\b.{0,30}\b(limit|quota)\b", v.DAILY_LIMIT),
    Rule(_ANY, "[45]..", "", r"\b(limit|quota)\b.{0,30}\b(per day|today|24[- ]?hours?)\b", v.DAILY_LIMIT),
    Rule(_RCPT, "[45]..", "", r"over quota", v.RECIPIENT_FULL),  # unless it spoke of a day
    # Microsoft's misconfigured sender, and its penalty for clients that repeat what cannot succeed
    Rule(_SUBMIT, "5..", "", r"SendAsDenied", v.SENDER_NOT_OWNED),
    Rule(_SUBMIT, "5..", r"5\.2\.25[1-5]", "", v.PENALTY),
    # Before the login it is about the host
    Rule(_ANY, "4..", "", r"\[TSS?[0-9]+\]", v.REPUTATION),  # Yahoo
    Rule(_GREETING, "4..", "", "", v.HOST_BUSY),
    Rule(_GREETING, "5..", "", "", v.HOST_REFUSES),
    Rule(_ANY, "432", "", "", v.CONNECTIONS),  # Microsoft 365: three connections a mailbox
    Rule(_ANY, "4..", "", r"(concurrent|simultaneous) connections|thread limit", v.CONNECTIONS),
    # The login
    Rule(_AUTH, "[45]..", "", r"too many|login (rate|limit)", v.AUTH_RATE),
    Rule(_AUTH, "4..", "", "", v.AUTH_BUSY),
    Rule(_AUTH, "535", r"5\.7\.139", r"credentials were incorrect", v.BAD_CREDENTIALS),
    Rule(_AUTH, "5..", r"5\.7\.(139|30)", "", v.NEEDS_OAUTH),
    Rule(_AUTH, "5..", "", r"basic auth\w* is (disabled|not supported)|SmtpClientAuth\w* is disabled", v.NEEDS_OAUTH),
    Rule(_AUTH, "5..", "", r"web browser|web login required", v.NEEDS_BROWSER),
    Rule(_AUTH, "5..", r"5\.7\.14", "", v.NEEDS_BROWSER),
    Rule(_AUTH, "5..", r"5\.7\.9", "", v.NEEDS_APP_PASSWORD),
    Rule(_AUTH, "5..", "", r"app(lication)?[- ](specific )?password", v.NEEDS_APP_PASSWORD),
    Rule(_AUTH, "535", "", "", v.BAD_CREDENTIALS),
    Rule(_AUTH, "5..", r"5\.7\.[38]", "", v.BAD_CREDENTIALS),
    Rule(_AUTH, "5..", "", r"authentication (failed|unsuccessful)", v.BAD_CREDENTIALS),
    Rule(_AUTH, "5..", "", r"(invalid|bad|incorrect) (user|log|cred|pass)", v.BAD_CREDENTIALS),
    Rule(_AUTH, "5..", "", "", v.AUTH_REFUSED),
    Rule(_SUBMIT, "550", r"5\.7\.30", "", v.NEEDS_OAUTH),
    # The sender is blocked, not who he says, or full
    Rule(_SUBMIT, "5..", "", r"bad outbound sender|OutboundSpam|\bWASCL\b", v.SENDER_BLOCKED),  # Microsoft
    Rule(_MAIL, "5..", r"5\.1\.8", r"domain (not found|does not exist|of sender)", v.SENDER_REJECTED),
    Rule(_SUBMIT, "5..", r"5\.1\.8", "", v.SENDER_BLOCKED),  # Microsoft, Zoho
    Rule(_SUBMIT, "550", r"5\.4\.6", "", v.SENDER_BLOCKED),  # Zoho
    Rule(_SUBMIT, "5..", r"5\.7\.60", "", v.SENDER_NOT_OWNED),
    Rule(_SUBMIT, "5..", "", r"not owned by|sender is not allowed", v.SENDER_NOT_OWNED),  # Postfix, Zoho
    Rule(_SUBMIT, "5..", "", r"must equal|must be (the )?same", v.SENDER_NOT_OWNED),  # 163.com, QQ
    # Too fast
    Rule(_SUBMIT, "4..", "", r"gr[ae]y-?list", v.GREYLISTED),
    Rule(_SUBMIT, "4..", "", r"\brate\b|too (much|many)|throttl|server busy|limit", v.RATE),
    Rule(_SUBMIT, "421", r"4\.7\..*", "", v.RATE),
    Rule(_SUBMIT, "45[01]", r"4\.2\.1|4\.7\.[01]", "", v.RATE),
    Rule(_SUBMIT, "5..", "", r"per hour|hourly|rate limit|too many (messages|e?mails)", v.HOURLY_LIMIT),  # cPanel
    # What was written
    Rule(_BODY, "55[024]", r"5\.7\..*|5\.6\.0", "", v.CONTENT),
    Rule(_BODY, "5..", "", r"\bspam|\bDT:SPM\b", v.CONTENT),
    # All others
    Rule(_ANY, "5..", "", "", v.REFUSED),
    Rule(_ANY, "4..", "", "", v.TEMPORARY),
)

TROUBLES: tuple[tuple[frozenset[Phase], Trouble, Verdict], ...] = (  # the first match wins
    (_ANY, Trouble.LATE, v.RETURNED),
    (_ANY, Trouble.DOUBT, v.RETURNED),
    (_ANY, Trouble.CERTIFICATE, v.CERTIFICATE),
    (_ANY, Trouble.NO_STARTTLS, v.NO_STARTTLS),
    (_ANY, Trouble.NO_AUTH, v.NO_AUTH),
    (_ANY, Trouble.FORBIDDEN, v.OUT_OF_BOUNDS),
    (_ANY, Trouble.EXHAUSTED, v.EXHAUSTED),
    (_ANY, Trouble.UNRESOLVED, v.UNRESOLVED),
    (_ANY, Trouble.TLS, v.TLS),
    (_ANY, Trouble.UNREACHABLE, v.UNREACHABLE),
    (_GREETING, Trouble.TIMEOUT, v.UNREACHABLE),
    (_GREETING, Trouble.LOST, v.UNREACHABLE),
    (_ANY, Trouble.TIMEOUT, v.NETWORK),
    (_ANY, Trouble.LOST, v.NETWORK),
    (_ANY, Trouble.GARBAGE, v.GARBAGE),
)
