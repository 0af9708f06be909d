"""Loading a configuration in an empty directory."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from warmupd.config import Config, load, loader
from warmupd.errors import ConfigError

Loading = Callable[..., Config]


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Loading:
    """`load` in an empty directory: `toml` and `dotenv` are texts of files there, `environ` is all there is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loader, "SEARCHED", (Path("config.toml"), tmp_path / "etc/config.toml"))

    def load_here(
        toml: str = "", dotenv: str = "", *, environ: Mapping[str, str] | None = None, **more: object
    ) -> Config:
        if toml:
            (tmp_path / "config.toml").write_text(toml)
        if dotenv:
            (tmp_path / ".env").write_text(dotenv)
        overrides = {key.replace("__", "."): value for key, value in more.items()}
        return load(None, overrides, {"HOME": str(tmp_path), **(environ or {})}, Path(".env"))

    return load_here


def wrong(load_it: Callable[[], Config]) -> list[str]:
    """The lines of the error that loading ends with."""
    with pytest.raises(ConfigError) as caught:
        load_it()
    assert caught.value.exit_code == 2
    return str(caught.value).splitlines()
