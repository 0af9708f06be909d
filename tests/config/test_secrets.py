"""Where secrets may stand, and that they are never shown."""

import re
from pathlib import Path

import pytest

from tests.config.conftest import Loading, wrong
from warmupd.errors import ConfigError
from warmupd.mail.vault import Vault

SECRET = "correct-horse-battery-staple-and-more"


def test_dollar_in_dotenv_is_a_dollar(loaded: Loading) -> None:
    secret = "$HOME-${HOME}-is-no-variable-in-this-file"
    assert loaded(dotenv=f"WARMUP_AUTH__SECRET='{secret}'\n").auth.secret.get_secret_value() == secret


def test_secret_comes_from_a_file(loaded: Loading, tmp_path: Path) -> None:
    (tmp_path / "auth").write_text(SECRET + "\n")
    config = loaded(dotenv="WARMUP_AUTH__SECRET_FILE=auth\n")
    assert config.auth.secret.get_secret_value() == SECRET


@pytest.mark.parametrize("name", ["auth.secret", "warmupd_auth.secret"])  # the second: of a whole directory
def test_secret_comes_from_systemd_credentials(loaded: Loading, tmp_path: Path, name: str) -> None:
    (tmp_path / "creds").mkdir()
    (tmp_path / "creds" / name).write_text(SECRET)
    (tmp_path / "creds/tls.pem").write_text("somebody else's")
    config = loaded(environ={"CREDENTIALS_DIRECTORY": str(tmp_path / "creds")})
    assert config.auth.secret.get_secret_value() == SECRET


@pytest.mark.parametrize("written", ["{new}\n{old}\n", "{new}, {old}", '["{new}", "{old}"]'])
def test_keys_come_newest_first_from_a_file_or_a_credential(loaded: Loading, tmp_path: Path, written: str) -> None:
    new, old = Vault.new_key(), Vault.new_key()
    (tmp_path / "secrets.keys").write_text(written.format(new=new, old=old))
    by_file = loaded(environ={"WARMUP_SECRETS__KEYS_FILE": str(tmp_path / "secrets.keys")})
    by_credential = loaded(environ={"CREDENTIALS_DIRECTORY": str(tmp_path)})
    for config in (by_file, by_credential):
        assert [key.get_secret_value() for key in config.secrets.keys] == [new, old]


def test_mistyped_credential_is_named(loaded: Loading, tmp_path: Path) -> None:
    (tmp_path / "auth.secrets").write_text(SECRET)
    lines = wrong(lambda: loaded(environ={"CREDENTIALS_DIRECTORY": str(tmp_path)}))
    assert lines == ["credential auth.secrets: no such secret; did you mean auth.secret?"]


def test_missing_secret_file_and_doubled_secret_are_named(loaded: Loading) -> None:
    lines = wrong(lambda: loaded(environ={"WARMUP_AUTH__SECRET_FILE": "/nowhere/x", "WARMUP_AUTH__SECRET": SECRET}))
    assert lines == [
        "WARMUP_AUTH__SECRET_FILE: cannot read /nowhere/x: No such file or directory",
        "WARMUP_AUTH__SECRET_FILE: WARMUP_AUTH__SECRET is set as well; keep one of them",
    ]


@pytest.mark.parametrize(
    "url", ["mysql://u:hunter2@h/d", "postgresql://u:hunter2@h:port/d", "embeded", "postgresql://"]
)
def test_other_database_url_is_refused_and_not_shown(loaded: Loading, url: str) -> None:
    (line,) = wrong(lambda: loaded(environ={"WARMUP_DATABASE__URL": url}))
    assert line.startswith('database.url (WARMUP_DATABASE__URL): expected "embedded" or postgresql://')
    assert "hunter2" not in line


def test_secrets_are_never_shown(loaded: Loading) -> None:
    key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE"
    config = loaded(
        f"[auth]\nsecret = '{SECRET}'\nscrape_token = 'hunter2'\n[secrets]\nkeys = ['{key}']\n"
        "[database]\nurl = 'postgresql://me:hunter2@h:5432/d?password=hunter2@x'\n"
    )
    shown = f"{config!r} {config} {config.redacted()} {config.model_dump()} {config.model_dump_json()}"
    assert not re.search(f"hunter2|{SECRET}|{key}", shown)
    assert config.redacted()["database"]["url"] == "postgresql://me:***@h:5432/d?***"
    assert config.redacted()["secrets"]["keys"] == ["***"]


def test_refused_secrets_are_not_shown(loaded: Loading) -> None:
    toml = "[auth]\nsecret = 'hunter2'\n[secrets]\nkeys = ['hunter2']\n[notifications]\nwebhook_url = 'hunter2'\n"
    lines = wrong(lambda: loaded(toml))
    assert [line.split(" ")[0] for line in lines] == ["auth.secret", "notifications.webhook_url", "secrets.keys"]
    assert "hunter2" not in "".join(lines)
    with pytest.raises(ConfigError) as caught:
        loaded(toml)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_secrets_of_before_are_listed_newest_first(loaded: Loading, tmp_path: Path) -> None:
    older = SECRET[::-1]
    (tmp_path / "older").write_text(f"{SECRET}\n{older}\n")
    config = loaded(environ={"WARMUP_AUTH__PREVIOUS_SECRETS_FILE": str(tmp_path / "older")})
    assert [secret.get_secret_value() for secret in config.auth.previous_secrets] == [SECRET, older]
    assert config.redacted()["auth"]["previous_secrets"] == ["***", "***"]


def test_short_secret_of_before_is_refused_like_any(loaded: Loading) -> None:
    (line,) = wrong(lambda: loaded("[auth]\nprevious_secrets = ['hunter2']\n"))
    assert line.startswith("auth.previous_secrets")
    assert "at least 32 bytes, got 7; `openssl rand -hex 32` makes one" in line
    assert "hunter2" not in line
