"""What holds a secret does not show it: a repr ends in tracebacks, assertion messages and debuggers' logs."""

import datetime as dt
import io
from typing import Any
from uuid import uuid4

import pytest
import structlog

from warmupd.config import Config
from warmupd.daemon.keyring import registrations_of
from warmupd.daemon.logs import set_up_logs
from warmupd.mail.account import Account, Endpoint, Security
from warmupd.mail.message_id import MessageKey
from warmupd.mail.oauth import Registration, Tokens
from warmupd.mail.smtp_conversation import Conversation
from warmupd.mail.vault import Vault
from warmupd.store.accounts import NewMailbox, SealedAccount
from warmupd.store.grants import Grant
from warmupd.store.sealed import Resealed, Sealed

HUSH = "hush-hush-hush"
SEALED = HUSH.encode()
NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
KEY = "aHVzaC1odXNoLWh1c2gtaHVzaC1odXNoLWh1c2gtaHU"
SERVERS: dict[str, Any] = {
    f"{kind}_{name}": value
    for kind in ("smtp", "imap")
    for name, value in {"host": "h", "port": 1, "security": "TLS", "username": "u"}.items()
}
ENDPOINT = Endpoint(host="h", port=1, security=Security.TLS, username="u", password=HUSH)
SECRET = Sealed(mailbox_id=1, purpose="smtp", secret=SEALED)
CONFIG = Config.isolated(
    {"secrets.keys": [KEY], "auth.secret": HUSH * 3, "oauth.google.client_id": "me", "oauth.google.client_secret": HUSH}
)
HOLDERS: list[Any] = [
    ENDPOINT,
    Account(mailbox_id=1, address="a@b.test", display_name="", smtp=ENDPOINT, imap=ENDPOINT),
    SealedAccount(
        mailbox_id=1, user_id=uuid4(), address="a@b.test", display_name="", language="", junk_folder="",
        provider="other",
        smtp_secret=SEALED, imap_secret=SEALED, access_secret=SEALED, **SERVERS,
    ),
    NewMailbox(user_id=uuid4(), address="a@b.test", display_name="", **SERVERS),
    Grant(
        mailbox_id=1, provider="GOOGLE", refresh_secret=SEALED, access_secret=SEALED, renew_at=NOW, expires_at=NOW
    ),
    SECRET,
    Resealed(was=SECRET, secret=SEALED),
    Registration(provider="GOOGLE", client_id="me", client_secret=HUSH, token_url="https://t.test"),
    Tokens(access=HUSH, refresh=HUSH, seconds=60),
    Vault([KEY]),
    MessageKey(Vault([KEY])),
    CONFIG,
    CONFIG.secrets,
    CONFIG.redacted(),
    registrations_of(CONFIG),
]  # fmt: skip


@pytest.mark.parametrize("holder", HOLDERS, ids=lambda holder: type(holder).__name__)
def test_what_holds_a_secret_does_not_show_it(holder: Any) -> None:
    for shown in (repr(holder), str(holder), f"{holder}", f"{[holder]}"):
        assert HUSH not in shown
        assert KEY not in shown


async def test_a_conversation_does_not_show_whose_it_is() -> None:
    assert HUSH not in repr(Conversation(None, ENDPOINT))  # type: ignore[arg-type]  # it is not begun


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_variables(form: str) -> None:
    stream = io.StringIO()
    set_up_logs(level="debug", form=form, stream=stream)

    def send(password: str) -> None:
        raise RuntimeError(f"an oddity of {len(password)} characters")

    try:
        send(HUSH)
    except RuntimeError as error:
        structlog.get_logger().error("worker.part_failed", exc_info=error)
    assert "Traceback" in stream.getvalue()
    assert HUSH not in stream.getvalue()
