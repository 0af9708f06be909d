"""`warmupd user` and `warmupd plan`: who there is, what they may, and how they leave."""

import json
import zipfile
from pathlib import Path

import pytest

from tests.acceptance.console import OWNER, Console, opened_console  # noqa: F401  a fixture

PASSWORD = "a password of ten and more"


def test_user_is_changed_and_listed(console: Console) -> None:
    console.did("plan", "set", "large", "--mailbox-limit", "1")
    told = console.did("user", "set", OWNER, "--name", "Olga", "--plan", "large", "--timezone", "Asia/Tokyo")
    assert told == f"set {OWNER}: USER, plan large, Asia/Tokyo\n"
    (user,) = json.loads(console.did("user", "list", "--search", "olga", "--json"))
    assert (user["name"], user["plan"], user["mailbox_limit"]) == ("Olga", "large", 1)
    assert "the configured time zone" in console.did("user", "set", OWNER, "--timezone", "none")


def test_limit_below_what_is_enrolled_is_told(console: Console) -> None:
    for name in ("a", "b"):
        console.add(f"{name}@example.com")
    told = console.did("plan", "set", "default", "--mailbox-limit", "1")
    assert "2 mailboxes: they stay, and no other can be enrolled" in told
    assert "allows 1 mailboxes, and 2 are enrolled" in console.did("status")
    assert "allows 1 mailboxes, and 2 are enrolled" in console.did("explain", "a@example.com")


def test_plans_are_listed_with_what_holds_without_one(console: Console) -> None:
    console.did("plan", "set", "large", "--priority", "5", "--per-hour", "600", "--sends-per-day", "none")
    (large, default) = console.did("plan", "list").splitlines()[1:]
    assert large.split() == ["large", "5", "no", "limit", "600", "8", "(configured)", "no", "limit", "0", "0"]
    assert "300 (configured)" in default
    assert json.loads(console.did("plan", "list", "--json"))[0]["per_hour"] == 600


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("plan", "set", "large", "--per-hour", "many"), "'many' is not a number"),
        (("plan", "set", "large", "--per-hour", "0"), "out of range"),
        (("plan", "set", "a/b"), "cannot be a plan's name"),
        (("user", "set", OWNER), "nothing to set was named"),
        (("user", "set", OWNER, "--plan", "none"), "there is no plan none"),
        (("user", "set", "nobody@example.com", "--name", "x"), "there is no user"),
        (("user", "remove", OWNER, "--undo", "--erase"), "do not go together"),
        (("user", "remove", OWNER, "--undo"), "no user"),
        (("user", "set-password", OWNER), "no password was given"),
    ],
)
def test_what_cannot_be_is_refused(console: Console, arguments: tuple[str, ...], said: str) -> None:
    assert said in console.refused(*arguments)


def test_password_comes_from_stdin(console: Console) -> None:
    told = console.did("user", "set-password", OWNER, "--password-stdin", stdin=PASSWORD)
    assert told == f"set the password of {OWNER}\n"
    assert "shorter than" in console.refused("user", "set-password", OWNER, "--password-stdin", stdin="short")


def test_user_leaves_and_comes_back(console: Console) -> None:
    console.add("a@example.com")
    assert "1 mailbox with them" in console.did("user", "remove", OWNER, "--yes")
    assert json.loads(console.did("user", "list", "--json", "--search", OWNER)) == []
    assert "is back, with 1 mailbox" in console.did("user", "remove", "--undo", OWNER)
    assert json.loads(console.did("user", "list", "--json", "--search", OWNER))[0]["mailboxes"] == 1


def test_erasure_asks_for_the_address(console: Console) -> None:
    assert "give --yes" in console.refused("user", "remove", OWNER, "--erase")
    assert "nothing was removed" in console("user", "remove", OWNER, "--erase", stdin="yes\n", typed=True).stderr
    assert "was wiped" in console.did("user", "remove", OWNER, "--erase", stdin=f"{OWNER}\n", typed=True)


def test_user_is_erased_also_after_the_removal(console: Console) -> None:
    console.add("a@example.com")
    console.did("user", "remove", OWNER)
    assert f"Everything of {OWNER} was wiped." in console.did("user", "remove", OWNER, "--erase", "--yes")
    assert "there is no user" in console.refused("user", "remove", OWNER, "--erase", "--yes")


def test_export_is_written_for_the_owner_alone(console: Console, tmp_path: Path) -> None:
    place = tmp_path / "owner.zip"
    assert console.did("user", "export", OWNER, "-o", str(place)) == f"wrote {place}\n"
    assert place.stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(place) as archive:
        assert json.loads(archive.read("profile.json"))["email"] == OWNER
    assert "is there already" in console.refused("user", "export", OWNER, "-o", str(place))
