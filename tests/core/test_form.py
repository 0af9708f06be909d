"""A form: every field that is wrong is told at once, and no secret is."""

import pytest

from warmupd.core.form import read_form
from warmupd.core.sheet_application import Given
from warmupd.mail.header_text import mail_address

ANN = {"email": "ann@one.test", "password": " hush "}


def read(**texts: str) -> dict[str, str]:
    form = read_form({**ANN, **texts}, Given(), mail_address)
    return {name: str(error) for name, error in form.errors.items()}


def test_password_is_taken_with_its_spaces() -> None:
    form = read_form(ANN, Given(), mail_address)
    assert (form.secrets.smtp, form.secrets.imap) == (" hush ", " hush ")
    assert form.application is not None


def test_all_wrong_fields_are_told() -> None:
    wrong = {"smtp_host": "a b", "imap_port": "0", "smtp_security": "none", "labels": "x" * 300, "timezone": "Mars/One"}
    assert read(**wrong, email="nobody", weekdays_only="perhaps").keys() == {*wrong, "email", "weekdays_only"}


@pytest.mark.parametrize("name", ["password", "pool", "refresh_token", "smtp_username", "reason", "name"])
@pytest.mark.parametrize("text", ["hush\0", "hush" * 2000])
def test_what_cannot_be_stored_is_refused_without_showing_it(name: str, text: str) -> None:
    errors = read(**{name: text})
    assert name in errors
    assert "hush" not in str(errors)


def test_password_and_token_exclude_each_other() -> None:
    assert "a password and a refresh token" in read(refresh_token="token", oauth="google")["password"]


def test_without_a_secret_none_is_missed_or_taken() -> None:
    form = read_form({**ANN, "labels": "a b"}, Given(), mail_address, secret=False)
    assert form.application is not None
    assert form.application.labels == ("a", "b")
    assert (form.secrets.smtp, form.errors) == ("", {})
