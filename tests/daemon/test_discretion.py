"""No line shows an address, a secret, or a row of the database, in whatever form it comes."""

import io
import json
import time
import timeit
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest
import structlog

from warmupd.daemon import discretion
from warmupd.daemon.discretion import hidden, hide, told, told_at_length
from warmupd.daemon.logs import set_up_logs

ROW = "Failing row contains (12, Joe Doe, scrypt$1$abc, geheim)."


class Letter:
    def __repr__(self) -> str:
        return "Letter(to='joe@example.com', password='geheim', size=5)"


@pytest.fixture
def line() -> Any:
    """What a log line of these fields holds."""
    before = structlog.get_config()
    stream = io.StringIO()
    set_up_logs(level="debug", form="json", stream=stream)

    def written(**fields: object) -> dict[str, Any]:
        structlog.get_logger().error("some.event", **fields)
        found: dict[str, Any] = json.loads(stream.getvalue().splitlines()[-1])
        return found

    yield written
    structlog.configure(**before)


Line = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    "address",
    [
        "joe@example.com",
        '"joe.doe"@example.com',
        '"joe \\" doe"@example.com',
        "<joe>@example.com",
        "(joe)@example.com",
        "[joe]@example.com",
        "'joe'@example.com",
        'joe."x y".doe@example.com',
        "joe(of the office)@example.com",
        "joe.o'hara@example.com",
        "joe%40example.com",
        "joe%2Edoe%40example.com",
        "joe@[192.0.2.1]",
        "mailto:joe@example.com?subject=x",
    ],
)
def test_addresses_are_hidden_in_all_their_forms(address: str) -> None:
    shown = hidden(f"550 5.1.1 {address} is not known here")
    assert "joe" not in shown
    assert "example" not in shown
    assert "[address]" in shown
    assert shown.startswith("550 5.1.1 ")
    assert shown.endswith(" is not known here")


@pytest.mark.parametrize(
    "text",
    [
        "https://mail.example.com/login?user=a&password=geheim",
        "https://mail.example.com/login?password=geheim&user=joe%40example.com",
        "next=%2Flogin%3Ftoken%3Dgeheim",
        "host=db user=warmupd password=geheim",
        "password = 'geheim word geheim' port=5432",
        "{'smtp_password': 'geheim', 'port': 25}",
        '{"client_secret": "geheim", "port": 25}',
        "api_key=geheim;geheim",
        "input_value='geheim', input_type=str",
        "postgresql://warmupd:geheim@db/warmupd",
    ],
)
def test_secrets_are_hidden_and_the_rest_is_not(text: str) -> None:
    shown = hidden(f"cannot use {text} now")
    assert "geheim" not in shown
    assert "joe" not in shown
    assert shown.startswith("cannot use ")
    assert shown.endswith(" now")


@pytest.mark.parametrize(
    "value",
    [
        {"joe@example.com": 1},
        {("joe@example.com", 2): 1},
        {"a": [{"b": ("x", {"joe@example.com"})}]},
        b"to joe@example.com",
        [b"joe@example.com"],
        Letter(),
        [Letter()],
        {"password": "geheim", 5: 5},
        {"a": {"refresh_token": "geheim"}},
        ValueError("no joe@example.com"),
    ],
)
def test_nothing_that_a_field_may_hold_shows_one(line: Line, value: object) -> None:
    text = json.dumps(line(found=value))
    assert "joe" not in text
    assert "geheim" not in text
    assert "[address]" in text or "[hidden]" in text


def test_what_is_no_secret_stays(line: Line) -> None:
    fields = {"slots": [1, 2], "why": "50% of it: a=b, 'x'", "seconds": 0.5, "worker": {"slots": {1: None}}}
    found = line(**fields)
    assert {name: found[name] for name in fields} == {**fields, "worker": {"slots": {"1": None}}}


def broken_row() -> asyncpg.PostgresError:
    fields = {"C": "23502", "M": "null value in column violates", "D": ROW, "H": "geheim", "n": "users_check"}
    return asyncpg.PostgresError.new({**fields, "t": "users", "S": "ERROR"})


def test_of_a_databases_error_its_fields_are_told_and_no_row(line: Line) -> None:
    try:
        try:
            raise broken_row()
        except asyncpg.PostgresError as error:
            raise ExceptionGroup("of one part", [error, KeyError("x")]) from error
    except ExceptionGroup as error:
        told = line(exc_info=error, error=error.exceptions[0], why=str(error.exceptions[0]))
    text = json.dumps(told)
    assert "geheim" not in text
    assert "Joe" not in text
    assert "NotNullViolationError: null value in column violates (sqlstate 23502, table_name users" in told["error"]
    assert told["error"] in told["exception"]
    assert "raise broken_row()" in told["exception"]
    assert "KeyError: 'x'" in told["exception"]
    assert "users_check" in told["exception"]


async def test_values_that_a_databases_error_quotes_are_not_told(line: Line) -> None:
    error = asyncpg.PostgresError.new({"C": "22P02", "M": 'invalid input syntax for type uuid: "geheim"'})
    told = [line(exc_info=one)["exception"] for one in (error, asyncpg.DataError("invalid input for $1: 'geheim'"))]
    assert [text for text in told if "geheim" in text or ("DataError" not in text and "22P02" not in text)] == []


def line_of(**fields: object) -> dict[str, object]:
    return dict(hide(None, "info", fields))


def test_a_field_that_is_named_for_a_secret_shows_none() -> None:
    assert line_of(password="geheim", api_key="abc") == {"password": "[hidden]", "api_key": "[hidden]"}


def test_a_corrupted_database_says_what_is_corrupted() -> None:
    error = asyncpg.PostgresError.new({"C": "XX001", "M": "invalid page in block 5 of relation base/16384/16390"})
    assert "invalid page in block 5" in told(error)


class Looking:
    """In a pattern's place: remembers how long the texts were that it was to look through."""

    def __init__(self) -> None:
        self.lengths: list[int] = []

    def sub(self, by: str, text: str) -> str:
        self.lengths.append(len(text))
        return text


def test_what_is_very_long_is_cut_before_it_is_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    looking = {name: Looking() for name in ("_SECRET", "_URL_LOGIN")}
    for name, pattern in looking.items():
        monkeypatch.setattr(discretion, name, pattern)
    shown = hidden("joe@example.org " + "a'b=" * 100_000 + "@example.com")
    assert [0 < max(pattern.lengths) < 2200 for pattern in looking.values()] == [True, True]
    assert "more characters]" in shown
    assert "example" not in shown


def test_each_line_of_what_is_long_is_looked_through() -> None:
    assert hidden("line\n" * 1000 + "joe@example.com").endswith("[address]")


class Broken:
    def __repr__(self) -> str:
        raise ValueError


def test_nothing_that_is_odd_ends_who_logs_it() -> None:
    endless: list[object] = []
    endless.append(endless)
    assert "[...]" in repr(line_of(a=endless))
    assert line_of(a=Broken()) == {"a": "[cannot be shown]"}
    chain = ValueError("the first")
    for number in range(2000):
        after = ValueError(str(number))
        after.__cause__ = chain
        chain = after
    assert told_at_length((ValueError, chain, None)).count("ValueError") == 50


PIECES = ["a", "a.", "a'", "a'b", "a%4", "a b=", "a@", '"', '""', '"a"', '\\"', "(", "((", "<a>", "<a>a", "%4", "://"]


@pytest.mark.parametrize("piece", [*PIECES, "password", "password='"])
@pytest.mark.parametrize("end", ["", " @", "@ ", " x@y.de", '"', " @ = %40 ':"])
def test_of_no_odd_text_more_than_the_square_is_read(piece: str, end: str) -> None:
    """Eight times the length: 64 times the work where it is the square, 512 where it is the cube."""

    def least(length: int) -> float:
        """CPU seconds; what disturbs adds to them, and never takes away."""
        text = (piece * length)[:length] + end + "=%@"
        return min(timeit.repeat(lambda: hidden(text), time.process_time, repeat=3, number=1))

    assert any(least(640) < 180 * least(80) for _ in range(3))
