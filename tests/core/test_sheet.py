"""CSV files as people have them: whatever was in a cell comes out of it, and what cannot be read is said."""

import csv
import io
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmupd.core import sheet as sheet_module
from warmupd.core.sheet import Sheet, read_sheet
from warmupd.core.sheet_application import Given, read_application
from warmupd.core.sheet_columns import HEADERS, find_columns, folded, in_columns
from warmupd.errors import UsageError

HEADER = ["email", "password", "from_name", "labels", "target"]
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
LINE_ENDS = st.sampled_from(["\n", "\r\n", "\r"])
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])


def written(rows: list[list[str]], **form: Any) -> str:
    stream = io.StringIO(newline="")
    csv.writer(stream, **form).writerows(rows)
    return stream.getvalue()


def texts(sheet: Sheet) -> list[list[str]]:
    return [[cell.text for cell in row.cells] for row in sheet.rows]


@given(
    rows=st.lists(st.lists(TEXT, min_size=5, max_size=5).filter(any), max_size=5),
    delimiter=st.sampled_from(",;\t"),
    end=LINE_ENDS,
    encoding=ENCODINGS,
)
def test_what_is_quoted_comes_out_as_it_was(rows: list[list[str]], delimiter: str, end: str, encoding: str) -> None:
    text = written([HEADER, *rows], delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    sheet = read_sheet(text.encode(encoding))
    assert texts(sheet) == rows
    assert sheet.delimiter == delimiter
    assert [row.number for row in sheet.rows] == list(range(2, len(rows) + 2))


PLAIN = TEXT.map(lambda text: text.replace('"', "").strip())


@given(
    rows=st.lists(st.lists(PLAIN, min_size=5, max_size=5).filter(any), max_size=5), delimiter=st.sampled_from(",;\t")
)
def test_what_needs_no_quotes_comes_out_without_them(rows: list[list[str]], delimiter: str) -> None:
    assert texts(read_sheet(written([HEADER, *rows], delimiter=delimiter).encode())) == rows


def outcome(content: bytes) -> Sheet | UsageError:
    try:
        sheet = read_sheet(content)
        find_columns(sheet.header)
    except UsageError as refused:
        return refused
    return sheet


@given(st.binary(max_size=200) | st.text('em,ail;"\r\n\t pasword', max_size=60).map(lambda text: text.encode()))
def test_any_bytes_are_read_or_refused_in_words(content: bytes) -> None:
    told = outcome(content)
    assert isinstance(told, Sheet) or told.remedy


@given(password=TEXT.filter(str.strip))
def test_password_survives(password: str) -> None:
    sheet = read_sheet(written([HEADER, ["a@x.test", password, "", "", "9"]], quoting=csv.QUOTE_ALL).encode())
    _, secrets = read_application(sheet.rows[0], find_columns(sheet.header), Given(), str)
    assert (secrets.smtp, secrets.imap) == (password, password)


def read(text: str, **given: Any) -> Any:
    """The application and secrets of the one row below the header, or the error."""
    sheet = read_sheet(text.encode())
    (row,) = sheet.rows
    return read_application(row, find_columns(sheet.header), Given(**given), str)


@pytest.mark.parametrize(
    ("header", "cell", "field", "value"),
    [
        ("Warmup Limit", "25", "target_daily", 25),
        ("warmup-increment", "2.0", "ramp_step", 2),
        ("Daily Limit", "30", "own_mail", 30),
        ("max_email_per_day", "30", "own_mail", 30),
        ("Weekdays Only", "Yes", "weekdays_only", True),
        ("Already Warm", "0", "already_warm", False),
        ("Time Zone", "Asia/Tokyo", "timezone", "Asia/Tokyo"),
        ("junkFolder", "Spam", "junk_folder", "Spam"),
    ],
)
def test_cell_means_a_setting(header: str, cell: str, field: str, value: object) -> None:
    application, _ = read(f"email,password,{header}\na@x.test,hush,{cell}\n")
    assert application.settings == {field: value}


def test_increment_that_is_disabled_leaves_the_default() -> None:
    assert read("email,password,Warmup Increment\na@x.test,hush,disabled\n")[0].settings == {}


def test_separate_logins_and_common_ones() -> None:
    _, secrets = read("email,password,imap password\na@x.test,one,two\n")
    assert (secrets.smtp, secrets.imap) == ("one", "two")
    application, secrets = read("from_email,user_name,smtp_password,smtp_port_type\na@x.test,anna,one,SSL\n")
    assert (secrets.smtp, secrets.imap) == ("one", "one")
    assert application.servers == {"smtp_security": "TLS", "smtp_username": "anna", "imap_username": "anna"}


def test_spaces_around_a_password_count_in_quotes_alone() -> None:
    assert read('email,password\na@x.test," p w "\n')[1].smtp == " p w "
    assert read("email,password\na@x.test,  p w  \n")[1].smtp == "p w"


def test_row_beats_what_holds_for_all_and_labels_add_up() -> None:
    text = 'email,password,pool,labels,already warm\na@x.test,hush,mine,"b;a c",no\n'
    application, _ = read(text, pool="all", labels=("a", "all"), already_warm=True)
    assert (application.pool, application.labels) == ("mine", ("b", "a", "c", "all"))
    assert application.settings == {"already_warm": False}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("email,password\na@x.test\n", "it has 1 cells, and the header 2"),
        ("email,password\na@x.test,hu,sh\n", "it has 3 cells, and the header 2"),
        ('email,password\na@x.test,"hu"sh\n', "text after its closing quote"),
        ("email,password\n,hush\n", "no address"),
        ("email,password\na@x.test,\n", "no password"),
        ("email,password,refresh_token\na@x.test,hush,token\n", "a password and a refresh token"),
        ("email,refresh_token\na@x.test,token\n", "of nobody"),
        ("email,refresh_token,oauth\na@x.test,to ken,google\n", "no refresh token"),
        ("email,password,smtp_port\na@x.test,hush,99999\n", "from 1 to 65535"),
        ("email,password,smtp_port\na@x.test,hush,²\n", "from 1 to 65535"),
        ("email,password,smtp_tls\na@x.test,hush,none\n", "give tls"),
        ("email,password,warmup enabled\na@x.test,hush,maybe\n", "give yes or no"),
        ("email,password,labels\na@x.test,hush,\u200b\n", "a label is one word"),
    ],
)
def test_row_that_cannot_be_read_says_why(text: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        read(text)
    assert said in str(raised.value)
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize("header", sorted(HEADERS.keys() - {"email", "password"}))
def test_no_reason_shows_a_cell_since_a_password_may_have_slid_into_it(header: str) -> None:
    """Its delimiter not quoted, and the cell behind it left out."""
    text = f"email,password,{header}\na@x.test,hush,'hunter2 \u2028'\n"
    told = ""
    try:
        read(text)
    except UsageError as refused:
        told = str(refused)
    assert "hunter2" not in told


def test_first_row_that_is_no_header_is_not_shown() -> None:
    for text in ("anna@x.test,hunter2\n", "name,hunter2\n"):
        with pytest.raises(UsageError) as raised:
            find_columns(read_sheet(text.encode()).header)
        assert "hunter2" not in str(raised.value)
    assert "'name'" in str(raised.value)


def test_quote_that_is_never_closed_takes_little_memory() -> None:
    content = b'email,password\na@x.test,"' + b"x" * 2_000_000
    tracemalloc.start()
    try:
        assert isinstance(outcome(content), UsageError)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_file_of_too_many_cells_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet_module, "MOST_CELLS", 10)
    assert "10 cells" in str(outcome(b"email,password\n" + b"," * 20))


def test_end_of_file_of_dos_is_no_row() -> None:
    assert texts(read_sheet(b"email,password\r\na@x.test,hush\r\n\x1a")) == [["a@x.test", "hush"]]


def test_remedies_name_columns_where_they_named_options() -> None:
    told = in_columns("lower --ramp-start (--reset ramp-start takes the default), or raise --target; --guess")
    assert told == "lower the column ramp_start (an empty cell takes the default), or raise the column target; --guess"
    told = in_columns("consent again, then `warmupd mailbox set ADDRESS --oauth google`")
    assert told == "consent again, then import it with its new refresh token"


def test_blank_rows_are_passed_over_and_counted() -> None:
    sheet = read_sheet(b"\nemail,password\n\n,,\na@x.test,hush\n\n")
    assert [(row.number, row.cells[0].text) for row in sheet.rows] == [(5, "a@x.test")]


def test_delimiter_may_be_named_in_a_first_line() -> None:
    assert texts(read_sheet(b"sep=;\nemail;a,b,c,d\nx;y\n")) == [["x", "y"]]


def test_other_encodings_are_read_and_named() -> None:
    assert read_sheet("email\nä".encode("cp1252")).encoding == "cp1252"
    assert read_sheet("email,name\na,ä".encode("utf-16-le")).encoding == "utf-16-le"
    assert texts(read_sheet("email,name\na,ä".encode("utf-16-be"))) == [["a", "ä"]]


def test_no_header_means_two_fields() -> None:
    every = [header for headers in HEADERS.values() for header in headers]
    assert len(every) == len(set(every))
    assert every == [folded(header) for header in every]


def test_no_repr_shows_a_cell() -> None:
    assert "hush" not in repr(read_sheet(b"email,password\na@x.test,hush\n"))
    assert "hush" not in repr(read("email,password\na@x.test,hush\n"))
