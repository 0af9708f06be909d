"""Removing mailboxes, bringing them back, and enrolling their addresses anew."""

import pytest

from tests.acceptance.conftest import Program

pytestmark = pytest.mark.acceptance

ANNA, BERT = "anna@north.test", "bert@south.test"


def enrol(program: Program, address: str, *more: str) -> str:
    add = ("mailbox", "add", address, "--user", "admin@example.com", "--no-check", "--guess", "--label", "client-a")
    done = program(*add, "--password-stdin", *more, stdin="secret-password")
    return done.stdout + done.stderr


def states(program: Program) -> dict[str, str]:
    return {one["mailbox"]["address"]: one["mailbox"]["state"] for one in program.json("mailbox", "list")}


@pytest.fixture
def two(initialised: Program) -> Program:
    enrol(initialised, ANNA)
    enrol(initialised, BERT)
    return initialised


def test_removed_mailboxes_come_back_as_they_were(two: Program) -> None:
    assert two("mailbox", "pause", BERT).returncode == 0
    done = two("mailbox", "remove", "--label", "client-a", "--reason", "contract ended")
    assert done.returncode == 0
    told = done.stdout.splitlines()
    assert told[:2] == [f"{ANNA}: ACTIVE -> REMOVED", f"{BERT}: PAUSED -> REMOVED"]
    assert told[2].startswith("2 mailboxes removed; `warmupd mailbox remove --undo` brings them back until 20")
    assert states(two) == {}
    done = two("mailbox", "remove", "--undo", "--label", "client-a")
    assert done.stdout.splitlines() == [f"{ANNA}: REMOVED -> ACTIVE", f"{BERT}: REMOVED -> PAUSED"]
    assert states(two) == {ANNA: "ACTIVE", BERT: "PAUSED"}


def test_adding_a_removed_address_offers_to_bring_it_back(two: Program) -> None:
    assert two("mailbox", "remove", ANNA, "--clean").returncode == 0
    told = enrol(two, ANNA)
    assert f"{ANNA} was removed on 20" in told
    assert f"`warmupd mailbox remove --undo {ANNA}` does that; --anew enrols it as a new one" in told
    assert states(two) == {BERT: "ACTIVE"}
    assert "enrolled anna@north.test" in enrol(two, ANNA, "--anew")
    done = two("mailbox", "remove", "--undo", ANNA)
    assert done.returncode == 1
    assert "enrolled anew" in done.stderr


def test_another_user_may_enrol_it(two: Program) -> None:
    assert two("user", "add", "other@example.com").returncode == 0
    assert two("mailbox", "remove", ANNA).returncode == 0
    assert "enrolled anna@north.test" in enrol(two, ANNA, "--user", "other@example.com")


def test_what_was_never_removed_is_not_brought_back(two: Program) -> None:
    done = two("mailbox", "remove", "--undo", ANNA)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{ANNA} was not removed in the last 7 days" in done.stderr


@pytest.mark.parametrize("options", [(), ("--undo",), (ANNA, "--label", "client-a"), ("--undo", "--clean", ANNA)])
def test_which_mailboxes_are_meant_must_be_clear(two: Program, options: tuple[str, ...]) -> None:
    assert two("mailbox", "remove", *options).returncode == 2
    assert len(states(two)) == 2
