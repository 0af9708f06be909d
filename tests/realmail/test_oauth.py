"""Access tokens shown to a real Dovecot, which asks the authorisation server what each is worth (RFC 7662)."""

import asyncio
import os
import pwd
import shutil
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.mail.certificates import Authority, make_authority
from tests.mail.token_server import CLIENT_ID, CLIENT_SECRET, TokenServer
from warmupd.mail.account import Account, Endpoint, Security
from warmupd.mail.hosts import HostPolicy
from warmupd.mail.imap import ImapRefusedLogin, ImapUnreachable, check_login
from warmupd.mail.oauth import Registration, TokenClient
from warmupd.mail.tls import client_context

pytestmark = [
    pytest.mark.realmail,
    pytest.mark.skipif(shutil.which("dovecot") is None, reason="Dovecot is not installed"),
    pytest.mark.skipif(os.geteuid() != 0, reason="Dovecot is started as root"),
]

ANN = "ann@one.test"
PATIENCE = 10.0  # seconds until Dovecot listens
CONF = """
base_dir = {run}/base
log_path = {run}/log
protocols = imap
ssl = required
ssl_cert = <{certificate}
ssl_key = <{certificate}
auth_mechanisms = xoauth2
mail_location = maildir:{home}/%u
first_valid_uid = 1
service imap-login {{
  inet_listener imap {{
    port = 0
  }}
  inet_listener imaps {{
    address = 127.0.0.1
    port = {port}
  }}
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
passdb {{
  driver = oauth2
  mechanisms = xoauth2
  args = {run}/oauth2.conf
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={home}/%u
}}
"""
OAUTH = """
introspection_mode = post
introspection_url = {url}
username_attribute = email
active_attribute = active
active_value = true
"""


@dataclass(frozen=True)
class House:
    provider: TokenServer
    port: int
    context: ssl.SSLContext

    async def token(self) -> str:
        """As the program gets one."""
        registration = Registration(
            provider="GOOGLE", client_id=CLIENT_ID, client_secret=CLIENT_SECRET, token_url=self.provider.url
        )
        client = TokenClient(self.context)
        try:
            return (await client.refresh(registration, self.provider.grant(ANN))).access
        finally:
            await client.close()

    async def log_in(self, token: str) -> frozenset[str]:
        endpoint = Endpoint(
            host="127.0.0.1", port=self.port, security=Security.TLS, username=ANN, password=token, by_token=True
        )
        account = Account(mailbox_id=1, address=ANN, display_name="Ann", smtp=endpoint, imap=endpoint)
        return await check_login(account, HostPolicy(allow_hosts=("127.0.0.1",)), self.context)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def home() -> "Callable[[], Path]":
    """Directories with short paths that Dovecot's own users may enter."""
    return lambda: Path(tempfile.mkdtemp(prefix="warmupd-dovecot-"))


@pytest.fixture
async def house(authority: Authority, free_port: int, home: Callable[[], Path]) -> AsyncIterator[House]:
    run = home()
    run.chmod(0o755)
    mail = run / "mail"
    mail.mkdir()
    os.chown(mail, pwd.getpwnam("nobody").pw_uid, -1)
    async with TokenServer().running() as provider:
        (run / "oauth2.conf").write_text(OAUTH.format(url=provider.url.replace("/token", "/introspect")))
        conf = run / "dovecot.conf"
        conf.write_text(CONF.format(run=run, home=mail, certificate=authority.good, port=free_port))
        dovecot = await asyncio.create_subprocess_exec("dovecot", "-F", "-c", str(conf))
        try:
            await listening(free_port)
            yield House(provider, free_port, client_context(str(authority.ca_file)))
        finally:
            dovecot.terminate()
            await dovecot.wait()
            shutil.rmtree(run)


async def listening(port: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.02)  # there is nothing to wait on: it says nothing when it is ready


async def test_fresh_token_is_let_in(house: House) -> None:
    assert "IMAP4REV1" in await house.log_in(await house.token())


async def test_expired_token_is_refused_without_a_hang(house: House) -> None:
    token = await house.token()
    house.provider.tokens.clear()
    with pytest.raises(ImapRefusedLogin) as refused:
        await house.log_in(token)
    assert "--oauth" in refused.value.remedy


async def test_token_of_somebody_else_is_refused(house: House) -> None:
    token = await house.token()
    house.provider.tokens[token] = "bob@two.test"
    with pytest.raises(ImapRefusedLogin):
        await house.log_in(token)


async def test_tokens_that_cannot_be_checked_are_no_refusal(house: House) -> None:
    token = await house.token()
    house.provider.broken = True
    with pytest.raises(ImapUnreachable):
        await house.log_in(token)
