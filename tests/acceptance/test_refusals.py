"""What cannot be done is refused in a line that says why, with the exit code that scripts rely on."""

import asyncio
import json
import os
import signal
import socket
import stat
from collections.abc import Callable

import pytest

from tests.acceptance.conftest import Daemon, Program

pytestmark = pytest.mark.acceptance


def test_database_that_cannot_be_reached_ends_3_in_one_line(program: Program, free_port: int) -> None:
    program.set("database", f'url = "postgresql://warmupd@127.0.0.1:{free_port}/warmupd"')
    program.set("secrets", f'keys = ["{"A" * 43}"]')
    for command in ("run", "status", "migrate"):
        done = program(command)
        assert done.returncode == 3
        assert done.stderr.startswith("error: Postgres cannot be reached")
        assert len(done.stderr.splitlines()) == 2
        assert done.stdout == ""


def test_check_says_unknown_when_the_database_is_away(program: Program, free_port: int) -> None:
    program.set("database", f'url = "postgresql://warmupd@127.0.0.1:{free_port}/warmupd"')
    done = program("status", "--check")
    assert done.returncode == 3
    assert done.stdout.startswith("UNKNOWN - ")


def test_check_says_unknown_in_one_line_when_the_configuration_is_broken(program: Program) -> None:
    program.set("limits", "global_per_hours = 5\nuser_per_hours = 5")
    done = program("status", "--check")
    assert done.returncode == 3
    assert done.stdout.startswith("UNKNOWN - limits.global_per_hours")
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


def test_doctor_ends_3_and_tells_what_it_saw_when_the_database_is_away(program: Program, free_port: int) -> None:
    program.set("database", f'url = "postgresql://warmupd@127.0.0.1:{free_port}/warmupd"')
    program.set("secrets", f'keys = ["{"A" * 43}"]')
    done = program("doctor", "--json")
    assert done.returncode == 3
    grades = {finding["check"]: finding["grade"] for finding in json.loads(done.stdout)}
    assert (grades["keys"], grades["templates"], grades["database"]) == ("ok", "ok", "fail")


def test_doctor_finds_a_bad_configuration_and_ends_2(program: Program) -> None:
    program.set("limits", "global_per_hours = 5\nuser_per_hours = 5")
    done = program("doctor")
    assert done.returncode == 2
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [["fail", "config"]] * 2
    done = program("doctor", "--json")
    assert done.returncode == 2
    assert {finding["grade"] for finding in json.loads(done.stdout)} == {"fail"}


def test_wrong_key_ends_2_and_names_the_nearest(program: Program) -> None:
    program.set("limits", "global_per_hours = 5")
    done = program("run")
    assert done.returncode == 2
    assert "limits.global_per_hours" in done.stderr
    assert "did you mean limits.global_per_hour?" in done.stderr


def test_wrong_option_ends_2(program: Program) -> None:
    assert program("status", "--jsno").returncode == 2


def test_init_writes_for_its_owner_alone_and_never_twice(program: Program) -> None:
    program.init()
    file = program.directory / "config.toml"
    before = file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = program("init", "--admin-email", "other@example.com", "--password-stdin", stdin="another password")
    assert again.returncode == 2
    assert "is there already" in again.stderr
    assert file.read_text() == before


def test_init_names_the_database_so_that_a_unit_takes_the_same(program: Program) -> None:
    program.init()
    program.environment["STATE_DIRECTORY"] = str(program.directory / "state")  # as systemd sets it
    assert [user["email"] for user in program.json("user", "list")] == ["admin@example.com"]
    assert not (program.directory / "state").exists()


def test_init_refuses_a_database_in_use_and_takes_its_file_back(initialised: Program) -> None:
    other = initialised.directory / "other"
    other.mkdir()
    init = ("init", "--directory", str(other), "--admin-email", "other@example.com", "--password-stdin")
    done = initialised(*init, stdin="another password")
    assert done.returncode == 2
    assert "in use already, by admin@example.com" in done.stderr
    assert os.listdir(other) == []


def test_init_without_terminal_needs_no_password_but_an_address(program: Program) -> None:
    for options in ((), ("--admin-email", "üml@example.com"), ("--admin-email", "nobody")):
        assert program("init", *options).returncode == 2
        assert os.listdir(program.directory) == []
    assert program("init", "--admin-email", "admin@example.com").returncode == 0
    assert [user["email"] for user in program.json("user", "list")] == ["admin@example.com"]


def test_init_makes_the_database_that_it_writes(program: Program, free_port: int) -> None:
    elsewhere = f"DATABASE_URL=postgresql://warmupd@127.0.0.1:{free_port}/warmupd\n"
    (program.directory / ".env").write_text(elsewhere)
    program.environment["WARMUP_DATABASE__DATA_DIR"] = str(program.directory / "other")
    done = program("init", "--admin-email", "admin@example.com", "--data-dir", "chosen")
    assert done.returncode == 0, done.stderr
    assert (program.directory / "chosen" / "pgdata").is_dir()
    assert not (program.directory / "other").exists()
    assert "Beware" in done.stdout
    (program.directory / ".env").unlink()
    del program.environment["WARMUP_DATABASE__DATA_DIR"]
    assert [user["email"] for user in program.json("user", "list")] == ["admin@example.com"]


@pytest.mark.parametrize("address", ["üml@example.com", "a<b>@example.com", "anna@@example", "nobody", "a@b@c"])
def test_address_that_no_message_can_carry_is_refused_before_anything_is_asked(program: Program, address: str) -> None:
    hosts = ("--smtp-host", "smtp.example.com", "--imap-host", "imap.example.com")
    for command in (("mailbox", "add", address, "--user", "admin@example.com", *hosts), ("user", "add", address)):
        done = program(*command)
        assert done.returncode == 2
        assert "address" in done.stderr.splitlines()[0]
        assert len(done.stderr.splitlines()) == 2
        assert "violates" not in done.stderr


async def test_refused_password_is_told_and_nothing_is_enrolled(installed: Program, servers: list[str]) -> None:
    add = ("mailbox", "add", "anna@north.test", "--user", "admin@example.com", "--password-stdin", *servers)
    done = await asyncio.to_thread(lambda: installed(*add, stdin="not-annas-word"))
    assert done.returncode == 1
    assert "anna@north.test was not let in by SMTP" in done.stderr
    assert "check the SMTP user name and password" in done.stderr
    assert "not-annas-word" not in done.stdout + done.stderr
    assert await asyncio.to_thread(installed.json, "mailbox", "list") == []


def test_nobody_is_asked_for_a_password_that_would_be_in_vain(initialised: Program) -> None:
    hosts = ("--smtp-host", "smtp.example.com", "--imap-host", "imap.example.com")
    done = initialised("mailbox", "add", "anna@north.test", "--user", "nobody@example.com", *hosts)
    assert done.stderr.splitlines()[0] == "error: there is no user nobody@example.com"


def test_hosts_that_are_not_given_are_asked_for(initialised: Program) -> None:
    done = initialised(
        "mailbox", "add", "anna@north.test", "--user", "admin@example.com", "--password-stdin", stdin="pw"
    )
    assert done.returncode == 2
    assert "--smtp-host and --imap-host missing" in done.stderr


def test_first_worker_sets_the_slots_and_one_with_another_count_is_refused(
    initialised: Program, start: Callable[[], Daemon]
) -> None:
    initialised.set("worker", "id = 1\ncount = 2")
    initialised.set("http", 'listen = "127.0.0.1:0"')
    initialised.set("logging", 'format = "json"')
    daemon = start()
    assert daemon.wait_for("worker.started")["slots"] == 1
    assert initialised.json("status")["slots"] == 2
    daemon.send(signal.SIGTERM)
    assert daemon.end() == 0

    file = initialised.directory / "config.toml"
    file.write_text(file.read_text().replace("count = 2", "count = 3"))
    done = initialised("run")
    assert done.returncode == 2
    assert "worker.count is 3, but this fleet has 2 slots" in done.stderr
    assert "warmupd fleet resize 3" in done.stderr
    assert initialised("fleet", "resize", "3").stdout == "slots: 2 -> 3\n"
    assert initialised.json("fleet", "show")["settings"]["slots"] == 3


def test_busy_port_is_a_clear_error(initialised: Program) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        initialised.set("worker", "id = 0\ncount = 1")
        initialised.set("http", f'listen = "127.0.0.1:{port}"')
        done = initialised("run")
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
