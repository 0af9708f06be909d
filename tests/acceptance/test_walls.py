"""Mail servers that may not be connected to, and the address that connections leave from: told at the command line."""

import pytest

from tests.acceptance.console import OWNER, SERVERS, Console, opened_console  # noqa: F401  it is a fixture

ANNA = "anna@north.test"
ADD = ("mailbox", "add", ANNA, "--user", OWNER, "--password-stdin")


@pytest.mark.parametrize("checked", [(), ("--no-check",)])
@pytest.mark.parametrize(
    ("servers", "told"),
    [
        (("--smtp-host", "127.0.0.1"), "127.0.0.1:587 may not be connected to: it is not at a public address"),
        (("--imap-host", "169.254.169.254"), "169.254.169.254:993 may not be connected to"),
        (("--smtp-host", "localhost"), "localhost:587 may not be connected to"),
        (("--imap-host", "2130706433"), "2130706433:993 may not be connected to"),
        (("--imap-host", "::ffff:10.0.0.1"), "may not be connected to"),
        (("--smtp-port", "6379", "--smtp-security", "tls"), "6379 is not a mail port (25, 143, 465, 587, 993, 2525)"),
    ],
)
def test_server_inside_is_refused_at_enrolment(
    console: Console, servers: tuple[str, ...], told: str, checked: tuple[str, ...]
) -> None:
    refused = console.refused(*ADD, *SERVERS, *servers, *checked, stdin="hush")
    assert told in refused
    assert "security.allow_hosts" in refused
    assert console.did("mailbox", "list", "--json") == "[]\n"


def test_operator_may_allow_a_server_inside(console: Console) -> None:
    console.file.write_text(console.file.read_text() + '[security]\nallow_hosts = ["127.0.0.1"]\n')
    console.did(*ADD, *SERVERS, "--smtp-host", "127.0.0.1", "--smtp-port", "2526", "--smtp-security", "tls",
                "--no-check", stdin="hush")  # fmt: skip


def test_one_port_alone_can_break_the_rule(console: Console) -> None:
    console.add(ANNA)
    assert "6379 is not a mail port" in console.refused("mailbox", "set", ANNA, "--imap-port", "6379", "--no-check")


@pytest.mark.parametrize("address", ["elsewhere", "192.0.2.300", "127.0.0.1:25"])
def test_source_that_is_no_address_is_refused_by_name(console: Console, address: str) -> None:
    console.file.write_text(console.file.read_text() + f'[sending]\nsource_address = "{address}"\n')
    done = console("mailbox", "check", "--user", OWNER)
    assert done.returncode == 2
    assert "sending.source_address" in done.stderr
    assert "expected an IP address of this machine" in done.stderr


def test_source_that_is_not_this_machines_is_told_at_once(console: Console) -> None:
    console.file.write_text(console.file.read_text() + '[sending]\nsource_address = "192.0.2.7"\n')
    told = console.refused(*ADD, *SERVERS, stdin="hush")
    assert "sending.source_address: connections cannot leave from 192.0.2.7" in told
    examined = console("doctor")
    assert (examined.returncode, "fail  source" in examined.stdout) == (1, True)


def test_source_of_this_machine_is_told_by_doctor(console: Console) -> None:
    console.file.write_text(console.file.read_text() + '[sending]\nsource_address = "127.0.0.2"\n')
    assert "ok    source       connections to mail servers leave from 127.0.0.2" in console("doctor").stdout
