"""A password at a provider that takes none: the refusal says so, with the way out; untried, it is a warning."""

import json
from pathlib import Path

import pytest

from tests.acceptance.console import OWNER, Console, opened_console  # noqa: F401  opened_console is a fixture
from warmupd.daemon.login_check import LoginCheck, Refusal
from warmupd.mail.account import Account

pytestmark = pytest.mark.acceptance

ANN = "ann@hotmail.com"
TOLD = "Outlook.com takes no passwords as a rule"
WAY_OUT = "use --oauth microsoft"
HERE = ("--smtp-host", "localhost", "--imap-host", "localhost")


@pytest.fixture(autouse=True)
def reached(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """In place of servers: they refuse every login, as long as they are there."""
    here = {"reached": True}

    async def refuse(_: LoginCheck, account: Account) -> list[Refusal]:
        place = {"host": account.smtp.host, "port": account.smtp.port, "reached": here["reached"]}
        return [Refusal(protocol="SMTP", message="535 no", remedy="check the password", **place)]  # type: ignore[arg-type]

    monkeypatch.setattr(LoginCheck, "check", refuse)
    monkeypatch.setattr(LoginCheck, "try_smtp", lambda check, account: _first(refuse(check, account)))
    monkeypatch.setattr(LoginCheck, "try_imap", lambda check, account: _first(refuse(check, account)))
    return here


async def _first(refusals: "object") -> Refusal:
    return (await refusals)[0]  # type: ignore[misc, no-any-return]


@pytest.fixture
def here(console: Console) -> Console:
    """Where local hosts may be connected to."""
    console.file.write_text(
        console.file.read_text() + '[security]\nallow_hosts = ["localhost", "127.0.0.0/8", "::1"]\n'
    )
    return console


def test_refused_password_at_a_provider_that_takes_none(here: Console, reached: dict[str, bool]) -> None:
    add = ("mailbox", "add", ANN, "--user", OWNER, *HERE, "--password-stdin")
    told = here.refused(*add, stdin="hush")
    assert TOLD in told
    assert told.index(WAY_OUT) < told.index("check the password")  # which does not help there
    assert TOLD not in here.refused("mailbox", "add", "ann@gmail.com", *add[3:], stdin="hush")
    reached["reached"] = False
    assert TOLD not in here.refused(*add, stdin="hush")


def test_untried_password_is_a_warning(here: Console) -> None:
    add = ("mailbox", "add", ANN, "--user", OWNER, "--no-check", "--password-stdin")
    done = here(*add, stdin="hush")
    assert done.returncode == 0
    assert done.stderr == (f"note: {ANN}: {TOLD}, and it was not tried; turn IMAP on in its settings and {WAY_OUT}\n")
    assert here("mailbox", "add", "ann@gmail.com", *add[3:], stdin="hush").stderr == ""


def test_new_password_or_provider_is_told_of(here: Console) -> None:
    here.add(ANN, *HERE)
    told = here.refused("mailbox", "set", ANN, "--password-stdin", stdin="other")
    assert TOLD in told
    assert WAY_OUT in told
    assert TOLD in here("mailbox", "set", ANN, "--no-check", "--password-stdin", stdin="other").stderr
    here.add("ann@own.test", *HERE)
    assert here("mailbox", "set", "ann@own.test", "--no-check", "--password-stdin", stdin="other").stderr == ""
    assert TOLD in here("mailbox", "set", "ann@own.test", "--provider", "outlook").stderr


def test_rows_of_an_import_are_told_of(here: Console, data_dir: Path) -> None:
    file = data_dir / "boxes.csv"
    file.write_text(f"email,password,smtp_host,imap_host\n{ANN},hush,localhost,localhost\n")
    words = ("mailbox", "import", str(file), "--user", OWNER, "--json", "--dry-run")
    (row,) = json.loads(here(*words).stdout)["rows"]
    assert (row["result"], TOLD in row["reason"], "use the column oauth" in row["remedy"]) == ("rejected", True, True)
    done = here(*words, "--no-check")
    (note,) = json.loads(done.stdout)["notes"]
    assert note.startswith(f"1 row with a password: {TOLD}")
    assert note in done.stderr
