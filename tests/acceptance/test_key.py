"""Keys: a fresh one, and every credential sealed anew with it."""

import pytest

from tests.acceptance.conftest import Program

pytestmark = pytest.mark.acceptance

ANNA = "anna@north.test"


def put(program: Program, change: str) -> str:
    """A new key, put in front of the old ones (`before`) or in place of them (`alone`)."""
    key = program("key", "new").stdout.strip()
    file = program.directory / "config.toml"
    lines = file.read_text().splitlines()
    (at,) = [n for n, line in enumerate(lines) if line.startswith("keys = [")]
    rest = lines[at].removeprefix("keys = [") if change == "before" else "]"
    lines[at] = f'keys = ["{key}", {rest}' if change == "before" else f'keys = ["{key}"]'
    file.write_text("\n".join(lines) + "\n")
    return key


def test_rotation_seals_anew_and_says_how_long_the_old_key_is_needed(one: Program) -> None:
    put(one, "before")
    done = one("key", "rotate")
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert told[0] == "resealed 2, already newest 0, could not open 0"
    assert told[1].startswith("No credential needs the older keys any more. Leave them in secrets.keys until 20")
    again = one.json("key", "rotate")
    assert (again["resealed"], again["already_newest"], again["not_opened"]) == (0, 2, [])
    assert again["keep_old_keys_until"]


def test_what_does_not_open_is_named(one: Program) -> None:
    put(one, "alone")
    done = one("key", "rotate")
    assert done.returncode == 1
    told = done.stdout.splitlines()
    assert told[0] == "resealed 0, already newest 0, could not open 2"
    assert told[1].startswith(
        f"  {ANNA}: the imap credential of mailbox 1 was sealed with a key that is not in secrets"
    )
    assert one("key", "rotate", "--json").returncode == 1


def test_a_new_key_is_printed_alone_and_kept_nowhere(initialised: Program) -> None:
    first, second = initialised("key", "new"), initialised("key", "new")
    assert len({first.stdout, second.stdout}) == 2
    assert len(first.stdout.strip()) == 43
    assert first.stderr == ""
    assert first.stdout.strip() not in (initialised.directory / "config.toml").read_text()
