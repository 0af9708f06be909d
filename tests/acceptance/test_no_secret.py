"""No secret ever stands in a log, an error, a process list, a report, an answer over HTTP, or the database in clear."""

import asyncio
import base64
import re
import signal
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import DATABASE, Daemon, Program
from tests.acceptance.echo_servers import EchoServer, echoes
from tests.acceptance.hunt import Hunt, processes
from tests.mail.certificates import Authority, make_authority
from tests.mail.token_server import CLIENT_ID, CLIENT_SECRET, TokenServer
from warmupd.sandbox.mailserver import SandboxProcess
from warmupd.store.database import Database
from warmupd.store.embedded import embedded_database

pytestmark = pytest.mark.acceptance

SECRETS = {
    "anna's password": 'Anna+17"Kx/qW%9z\\vB',
    "bert's password": "Bert-91 Lm{pQ}&zR=t",
    "carl's password": 'Carl/55\\Gh"jK+3 xY%n',
    "carl's new password": "Carl-66#Vb:nM;8w Qz",
    "fred's wrong password": "Fred*28!Rt(yU)7p Ol",
    "erik's password": "Erik~33|Df<gH>5k Zx",
    "dora's refresh token": "1//0refresh-Dora_77-Wq.Er~Ty",
    "the client secret": CLIENT_SECRET,
    "the scrape token": "scrape-88-As_Df.Gh~Jk",
    "the relay password": "relay-99-Zx_Cv.Bn~Mq",
    "the webhook path": "hook-22-Qa_Ws.Ed~Rf",
    "the replica password": "replica-11-Tg_Yh.Uj~Ik",
    "the listener password": "listen-12-Ol_Pm.Nb~Vc",
    "an access token": "hush" * 20,
    "the user's password": "User{78}Yh<uJ>3k Lo",
}
OAUTH = ("dora's refresh token", "the client secret")
NOISY = ("send.sent", "visit.done", "visit.failed", "mailbox.resting", "http.answered", "config.refused")
ECHOED = ("carl@echo.test", "dora@echo.test")
MAILBOXES = ("anna@north.test", "bert@south.test", "fred@south.test", "erik@tls.test", *ECHOED)


@dataclass
class Scene:
    """An installation among hostile servers, and all that it has said so far."""

    program: Program
    tokens: TokenServer
    hunt: Hunt
    found: list[str]
    said: int = 0

    async def __call__(self, *arguments: str, stdin: str = "") -> str:
        done = await asyncio.to_thread(lambda: self.program(*arguments, stdin=stdin))
        told = done.stdout + done.stderr
        assert "Traceback" not in told, told
        self.hear(f"`{' '.join(arguments)}`", told)
        return told

    def hear(self, place: str, text: str) -> None:
        self.said += len(text)
        self.found += self.hunt.search(place, text)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return make_authority(tmp_path)


@pytest.fixture
async def scene(initialised: Program, authority: Authority, tmp_path: Path, noon_zone: str) -> AsyncIterator[Scene]:
    accounts = {"anna@north.test": SECRETS["anna's password"], "bert@south.test": SECRETS["bert's password"]}
    accounts["fred@south.test"] = "his right one"
    good, bad = authority.server_context(), authority.server_context(authority.wrong_host)
    async with (
        SandboxProcess(accounts=accounts) as post,
        EchoServer("smtp", good).running() as smtp,
        EchoServer("imap", good).running() as imap,
        EchoServer("smtp", bad).running() as untrusted,
        TokenServer().running() as tokens,
    ):
        trusted = tmp_path / "both.pem"
        trusted.write_bytes(post.ca_file.read_bytes() + authority.ca_file.read_bytes())
        configure(initialised, trusted, tokens)
        scene = Scene(initialised, tokens, Hunt(SECRETS | own_secrets(initialised)), [])
        for name, ports in {
            "anna@north.test": (post.smtps_port, post.imap_port),
            "bert@south.test": (post.smtps_port, post.imap_port),
            "fred@south.test": (post.smtps_port, post.imap_port),
            "erik@tls.test": (untrusted.port, imap.port),
            "carl@echo.test": (smtp.port, imap.port),
        }.items():
            password = next(secret for what, secret in SECRETS.items() if what.startswith(name.partition("@")[0]))
            await scene(*add(name, ports, noon_zone), "--no-check", "--password-stdin", stdin=password)
        grant = SECRETS["dora's refresh token"]
        tokens.grants[grant] = "dora@echo.test"
        oauth = (*add("dora@echo.test", (smtp.port, imap.port), noon_zone), "--oauth", "google", "--no-check")
        await scene(*oauth, stdin=grant)
        # As if they had sent before: then a day opens at any hour, and what is late is sent at once.
        await asyncio.to_thread(initialised.execute, "UPDATE mailboxes SET ramp_days = 1")
        await asyncio.to_thread(initialised.execute, "UPDATE mailbox_visits SET next_visit_at = now()")
        await scene("user", "add", "user@example.com", "--password-stdin", stdin=SECRETS["the user's password"])
        yield scene


def configure(program: Program, ca_file: Path, tokens: TokenServer) -> None:
    program.set("security", f'allow_hosts = ["127.0.0.1"]\nca_file = "{ca_file}"')
    program.set("window", "start_hour = 0\nend_hour = 24")
    program.set("quota", "ramp_start = 2000\ntarget_daily = 2000")
    program.set("spacing", "same_mailbox_min_minutes = 0.01\nsame_mailbox_max_minutes = 0.02")
    program.set("http", 'listen = "127.0.0.1:0"')
    program.set("logging", 'format = "json"\nlevel = "debug"')
    told = {name.replace(" ", "_"): secret for name, secret in SECRETS.items()}
    url = "postgresql://me:{}@127.0.0.1:1/none"
    values = {
        "auth.scrape_token": told["the_scrape_token"],
        "notifications.webhook_url": f"https://hooks.test/{told['the_webhook_path']}",
        "notifications.smtp_password": told["the_relay_password"],
        "database.replica_url": url.format(told["the_replica_password"]),
        "database.listen_url": url.format(told["the_listener_password"]),
        "oauth.google.client_id": CLIENT_ID,
        "oauth.google.client_secret": told["the_client_secret"],
        "oauth.google.token_url": tokens.url,
    }
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        program.set(section, f'{name} = "{value}"')


def own_secrets(program: Program) -> dict[str, str]:
    """What `init` made."""
    lines = [line.partition(" = ") for line in (program.directory / "config.toml").read_text().splitlines()]
    told = {name: value.strip('[]"') for name, _, value in lines}
    return {"the key": told["keys"], "auth.secret": told["secret"]}


def add(address: str, ports: tuple[int, int], zone: str) -> tuple[str, ...]:
    smtp = ("--smtp-host", "127.0.0.1", "--smtp-port", str(ports[0]), "--smtp-security", "TLS")
    imap = ("--imap-host", "127.0.0.1", "--imap-port", str(ports[1]), "--imap-security", "TLS")
    return "mailbox", "add", address, "--user", "admin@example.com", "--timezone", zone, *smtp, *imap


async def look_at_everything(scene: Scene) -> None:
    """All that people and scripts look at, two at a time."""
    forms: list[tuple[str, ...]] = [(), ("--json",)]
    commands: list[tuple[str, ...]] = [
        ("status",),
        ("mailbox", "list"),
        ("user", "list"),
        ("fleet", "show"),
        ("doctor",),
    ]
    commands += [(*verb, one) for verb in (("explain",), ("mailbox", "show")) for one in MAILBOXES]
    asked = [(*command, *form) for command in commands for form in forms]
    asked += [("mailbox", "check", one) for one in MAILBOXES]
    turns = asyncio.Semaphore(2)

    async def ask(command: tuple[str, ...]) -> None:
        async with turns:
            await scene(*command)

    await asyncio.gather(*map(ask, asked))


async def ask_over_http(scene: Scene, address: str) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/nothing", "/metrics?token=wrong"):
        for headers in ({}, {"Authorization": f"Bearer {SECRETS['the scrape token']}"}):
            request = urllib.request.Request(f"http://{address}{path}", headers=headers)

            def answer(request: Any = request) -> str:
                try:
                    with urllib.request.urlopen(request) as told:
                        return f"{told.headers} {told.read().decode()}"
                except urllib.error.HTTPError as error:
                    return f"{error.headers} {error.read().decode()}"

            scene.hear(f"GET {path}", await asyncio.to_thread(answer))


async def rows_of(program: Program) -> str:
    """Every row of every table as text."""
    async with (
        embedded_database(program.directory / DATABASE) as url,
        await Database.open(url, pool_size=1, application_name="tests") as db,
    ):
        tables = await db.fetch("SELECT oid::regclass::text AS name FROM pg_class WHERE relkind IN ('r', 'v', 'p')"
                                " AND relnamespace = 'public'::regnamespace")  # fmt: skip
        rows = [await db.fetch(f"SELECT t::text AS told FROM {table['name']} t") for table in tables]
    return "\n".join(row["told"] for those in rows for row in those)


async def live(scene: Scene, daemon: Daemon) -> None:
    """A worker meets its servers, and a new configuration that is wrong."""

    async def event(name: str) -> dict[str, Any]:
        return await asyncio.to_thread(daemon.wait_for, name)

    started = await event("worker.started")
    assert started["slots"] == 64
    for name in ("send.sent", "visit.done", "visit.failed"):
        await event(name)
    heard = [form for what in OAUTH for form in echoes(base64.b64encode(SECRETS[what].encode()).decode())]
    scene.tokens.refusal = (400, {"error": "invalid_client", "error_description": " ".join(heard)})
    scene.tokens.tokens.clear()
    await scene("mailbox", "check", "dora@echo.test")
    await look_at_everything(scene)
    await ask_over_http(scene, scene.program.json("status")["workers"][0]["http_address"])
    for place, text in processes(daemon.pid):
        scene.hear(place, text)
    file = scene.program.directory / "config.toml"
    text = file.read_text()
    file.write_text(text.replace('keys = ["', 'keys = ["not-a-key-'))
    daemon.send(signal.SIGHUP)
    await event("config.refused")
    file.write_text(text)
    daemon.send(signal.SIGHUP)
    await event("config.reloaded")


async def test_no_secret_is_to_be_seen_anywhere(scene: Scene, start: Callable[..., Daemon]) -> None:
    checked = ("mailbox", "set", "carl@echo.test", "--password-stdin")
    assert "not let in" in await scene(*checked, stdin=SECRETS["carl's new password"])
    daemon = start()
    await live(scene, daemon)
    daemon.close()
    log = "\n".join(daemon.log)
    scene.hear("the log", log)
    assert [one for one in (*MAILBOXES, "user@example.com", "admin@example.com") if one in log] == []
    assert {event for event in NOISY if f'"event": "{event}"' not in log} == set()
    assert not re.search(r"Subject:|Message-ID:|token=", log)  # nor a word of a message, nor a query
    scene.hear("the rows", await rows_of(scene.program))
    data = scene.program.directory / DATABASE
    scene.found += scene.hunt.search_files(data)
    assert scene.found == []
    assert scene.said > 100_000


SPOILT = (  # files that hold a password where it is not looked for
    "anna@north.test,{}\nbert@south.test,{}\n",  # no header
    'email,password,smtp_port\n"x\nanna@north.test,{}",hush,\n',  # a quote that begins a row too early
    "email,password,smtp_port\nanna@north.test,hu,{}\n",  # the end of a password that holds a comma
    "email,password,timezone,labels\nanna@north.test,hush,{},\n{},hush,,\n",
    'email,password\nanna@north.test,"{}"x\nbert@south.test,{},\ncarl@nowhere.test,{}\n',
)


def test_an_import_shows_no_password_wherever_it_stands(initialised: Program) -> None:
    secret = "Bad-5_Pq.Rt~Yu9"
    hunt = Hunt({"the password": secret, **own_secrets(initialised)})
    for number, text in enumerate(SPOILT):
        file = initialised.directory / f"boxes{number}.csv"
        file.write_text(text.format(*[secret] * 3))
        command = ("mailbox", "import", str(file), "--user", "admin@example.com", "--no-check")
        done = initialised(*command, "--json" if number % 2 else "--verbose")
        assert done.returncode in {1, 2}
        assert hunt.search(text, done.stdout + done.stderr) == []


BAD = {  # a variable, and a value of it that cannot be used or reached
    "WARMUP_DATABASE__URL": "postgresql://me:{}@127.0.0.1:1/none?password={}",
    "DATABASE_URL": "postgresql://me:{}@127.0.0.1:1,127.0.0.1:2/none?schema=x",
    "WARMUP_DATABASE__LISTEN_URL": "mysql://me:{}@127.0.0.1/none",
    "WARMUP_SECRETS__KEYS": '["{}"]',
    "WARMUP_AUTH__SECRET": "{}",
    "WARMUP_NOTIFICATIONS__WEBHOOK_URL": "ftp://{}",
    "WARMUP_OAUTH__GOOGLE__CLIENT_SECRET_FILE": "/nowhere/x",
}


@pytest.mark.parametrize("variable", BAD)
def test_values_that_cannot_be_used_are_not_shown(initialised: Program, variable: str) -> None:
    secret = "Bad-5_Pq.Rt~Yu9"
    initialised.environment[variable] = BAD[variable].format(*[secret] * 2)
    hunt = Hunt({"the value": secret, **own_secrets(initialised)})
    for command in (("status", "--json"), ("doctor",), ("run",)):
        done = initialised(*command)
        assert done.returncode in {1, 2, 3}
        assert hunt.search(" ".join(command), done.stdout + done.stderr) == []
