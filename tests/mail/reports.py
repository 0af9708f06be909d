"""Delivery reports as mail servers write them."""

from base64 import encodebytes

POSTFIX = """From: MAILER-DAEMON@mx.two.test (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
To: ann@one.test
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
\tboundary="8B2C/mx.two.test"
Message-ID: <20270301.8B2C@mx.two.test>

This is a MIME-encapsulated message.

--8B2C/mx.two.test
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

I'm sorry to have to inform you that your message could not
be delivered to one or more recipients.

--8B2C/mx.two.test
Content-Description: Delivery report
Content-Type: message/delivery-status{coding}

{told}

--8B2C/mx.two.test
Content-Description: Undelivered Message
Content-Type: {returned}

{header}
{body}
--8B2C/mx.two.test--
"""


MESSAGE = """Reporting-MTA: dns; mx.two.test
X-Postfix-Queue-ID: 8B2C
Arrival-Date: Mon,  1 Mar 2027 06:00:00 +0000 (UTC)
"""
RECIPIENT = """
Final-Recipient: rfc822; {final}
Original-Recipient: rfc822;{original}
Action: {action}
Status: {status}
Remote-MTA: dns; mx.two.test
Diagnostic-Code: {diagnostic}
"""


def delivery_report(
    message_id: str,
    *,
    status: str = "5.1.1",
    diagnostic: str = "smtp; 550 5.1.1 <bob@two.test> User unknown",
    action: str = "failed",
    returned: str = "text/rfc822-headers",
    extra: str = "",
    final: str = "bob@two.test",
    original: str = "",
    before: str = "",
    base64: bool = False,
) -> bytes:
    """What Postfix sends; `returned` is what the third part is.

    `before` is another recipient's part that comes first, `extra` more of the returned header, `base64` how the second
    part is encoded.
    """
    header = f"From: Ann <ann@one.test>\nTo: bob@two.test\nSubject: Lunch\nMessage-ID: {message_id}\n{extra}"
    body = "See you." if returned == "message/rfc822" else ""
    mine = RECIPIENT.format(
        final=final, original=original or final, action=action, status=status, diagnostic=diagnostic
    )
    told = MESSAGE + before + mine
    text = POSTFIX.format(
        coding="\nContent-Transfer-Encoding: base64" if base64 else "",
        told=encodebytes(told.encode()).decode() if base64 else told,
        returned=returned,
        header=header,
        body=body,
    )
    return text.replace("\n", "\r\n").encode()


def other_recipient(final: str) -> str:
    """The part of a report that says that this one failed."""
    return RECIPIENT.format(final=final, original=final, action="failed", status="5.1.1", diagnostic="smtp; 550 gone")
