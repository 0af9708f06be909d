"""Mail servers on loopback for the pages that enrol: one that takes passwords, one that takes tokens."""

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from tests.http.conftest import House
from tests.mail.certificates import Authority
from tests.mail.fake_imap import FakeImap
from tests.mail.fault_smtp import FaultServer
from tests.mail.token_server import CLIENT_ID, CLIENT_SECRET, TokenServer
from warmupd.config import Config
from warmupd.sandbox.mailserver import SandboxMailServer

ANNA, BERT = "anna@north.test", "bert@north.test"
PASSWORDS = {ANNA: "pw-anna-hush", BERT: "pw-bert-hush"}


@dataclass(kw_only=True)
class MailWorld:
    """Where mailboxes can be enrolled from."""

    servers: dict[str, str]  # fields of the form

    def form(self, address: str = ANNA, **fields: str) -> dict[str, str]:
        return {"email": address, "password": PASSWORDS.get(address, "wrong-hush"), **self.servers, **fields}

    def new(self, address: str = ANNA, **fields: object) -> dict[str, object]:
        """As the API takes it."""
        given = {**self.form(address), **fields, "address": address}
        ports = {name: int(given[name]) for name in ("smtp_port", "imap_port")}  # type: ignore[call-overload]  # texts
        security = {name: given[name].upper() for name in ("smtp_security", "imap_security")}  # type: ignore[attr-defined]  # texts
        return {name: value for name, value in given.items() if name != "email"} | ports | security

    def sheet(self, *rows: str) -> str:
        columns = list(self.servers)
        lines = [f"{row},{','.join(self.servers.values())}" for row in rows]
        return "\n".join([f"email,password,{','.join(columns)}", *lines])


def configure(house: House, **keys: object) -> None:
    """Put these keys into force, beside those of the house."""
    kept: dict[str, object] = {"secrets.keys": [key.get_secret_value() for key in house.site.config.secrets.keys]}
    kept |= {"auth.secret": house.site.config.auth.secret.get_secret_value(), "auth.rate_limit": 1000}
    kept |= {
        "dns.servers": ["127.0.0.1:9"],
        "dns.timeout_seconds": 1,
        "security.allow_hosts": ["127.0.0.1", "localhost"],
    }
    house.site.config = Config.isolated(kept | keys)


@asynccontextmanager
async def password_world(house: House) -> AsyncIterator[MailWorld]:
    async with SandboxMailServer(accounts=PASSWORDS) as server:
        configure(house, **{"security.ca_file": str(server.ca_file)})
        yield MailWorld(servers=_servers(server.smtp_port, server.imap_port))


class Believers(Mapping[str, str]):
    """Users of a mail server that takes tokens: whose password is what the provider gave for them."""

    def __init__(self, provider: TokenServer) -> None:
        self._provider = provider

    def __getitem__(self, user: str) -> str:
        return next(token for token, whose in reversed(self._provider.tokens.items()) if whose == user)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(self._provider.tokens.values()))

    def __len__(self) -> int:
        return len(set(self._provider.tokens.values()))


@asynccontextmanager
async def token_world(house: House, authority: Authority) -> AsyncIterator[tuple[TokenServer, MailWorld]]:
    async with TokenServer().running() as provider:
        context = authority.server_context()
        smtp = FaultServer(context=context, auth="XOAUTH2", users=Believers(provider))
        imap = FakeImap(context=context, capabilities="IMAP4rev1 SASL-IR AUTH=XOAUTH2")
        async with smtp.running(), imap.running():
            client = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "token_url": provider.url}
            client["authorize_url"] = provider.authorize_url
            keys = {f"oauth.{name}.{key}": value for name in ("google", "microsoft") for key, value in client.items()}
            configure(house, **keys, **{"security.ca_file": str(authority.ca_file)})
            yield provider, MailWorld(servers=_servers(smtp.port, imap.port))


def csrf_of(page: httpx.Response) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


async def post(browser: httpx.AsyncClient, path: str, fields: dict[str, str], **more: object) -> httpx.Response:
    """As a form of the page does."""
    csrf = csrf_of(await browser.get("/add"))
    return await browser.post(path, data={**fields, "csrf": csrf}, **more)  # type: ignore[arg-type]  # httpx's own names


def _servers(smtp: int, imap: int) -> dict[str, str]:
    return {
        "smtp_host": "127.0.0.1", "smtp_port": str(smtp), "smtp_security": "starttls",
        "imap_host": "127.0.0.1", "imap_port": str(imap), "imap_security": "tls",
    }  # fmt: skip
