"""Telling our messages from all others by the token in their headers."""

from collections.abc import Callable

from warmupd.core.placement import FolderRole
from warmupd.mail.found import Found
from warmupd.mail.imap_messages import Head, Opened
from warmupd.mail.imap_syntax import address_of, message_ids, plain_text
from warmupd.mail.message_id import MessageToken

Recognise = Callable[[str], MessageToken | None]


class Recogniser:
    """Of one mailbox. Nothing of a message that is not ours is kept."""

    def __init__(self, own_address: str, recognise: Recognise) -> None:
        self.recognise = recognise
        self._own_address = own_address.lower()

    def ours(self, opened: Opened, head: Head) -> Found | None:
        """The message, if its token is genuine. Whether it is where its job says it belongs is not known here."""
        token = self.token(head)
        return self.found(opened, head, token) if token is not None else None

    def token(self, head: Head) -> MessageToken | None:
        """From the Message-ID, else from our header: some providers rewrite the former."""
        for name in ("message-id", "x-warmupd"):
            token = self.recognise(head.fields[name]) if head.fields.get(name) else None
            if token is not None:
                return token
        return None

    def found(self, opened: Opened, head: Head, token: MessageToken) -> Found:
        """The message as it lies there, as one of the job that `token` names."""
        sender = address_of(head.fields.get("from", ""))
        return Found(
            folder=opened.folder.name,
            role=FolderRole.SENT if sender == self._own_address else opened.folder.role,
            uidvalidity=opened.uidvalidity,
            uid=head.uid,
            token=token,
            message_id=_message_id(head),
            in_reply_to=next(iter(message_ids(head.fields.get("in-reply-to", ""))), ""),
            references=message_ids(head.fields.get("references", "")),
            subject=plain_text(head.fields.get("subject", "")),
            sender=sender,
            flags=head.flags,
        )


def _message_id(head: Head) -> str:
    text = head.fields.get("message-id", "")
    return next(iter(message_ids(text)), text)
