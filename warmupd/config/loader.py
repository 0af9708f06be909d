"""`load`: finds the files, lays the sources over each other and checks the whole."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from warmupd.config import legacy
from warmupd.config.given import Given, Values, checked
from warmupd.config.model import Config
from warmupd.config.sources import Layer, from_credentials, from_dotenv, from_mapping, from_toml, from_variables
from warmupd.errors import ConfigError

SEARCHED = (Path("config.toml"), Path("/etc/warmupd/config.toml"))
NOTHING: Mapping[str, object] = MappingProxyType({})


def load(
    path: Path | None = None,
    overrides: Mapping[str, object] = NOTHING,
    environ: Mapping[str, str] = os.environ,
    dotenv: Path | None = Path(".env"),
) -> Config:
    """The effective configuration; later sources win: TOML, `.env`, systemd credentials, `environ`, `overrides`.

    `path` None means the first of `SEARCHED` that exists, or defaults alone. `overrides` come from the command line,
    by dotted key; None among them says nothing. Raises ConfigError that names everything that is wrong, a line each.
    """
    file = _existing(path) if path else next((place for place in SEARCHED if _is_file(place)), None)
    toml = from_toml(file.absolute()) if file else Layer()
    hidden = from_dotenv(dotenv) if dotenv else Layer()
    folder = environ.get("CREDENTIALS_DIRECTORY")
    credentials = from_credentials(Path(folder)) if folder else Layer()
    variables = from_variables(environ, Path.cwd())
    options = from_mapping(overrides, "command line")
    newer = {**hidden.values, **credentials.values, **variables.values, **options.values}
    older, wrong = legacy.translate({**hidden.old, **variables.old}, below=toml.values, above=newer)
    layers = (toml, hidden, credentials, variables, options)
    problems = [problem for layer in layers for problem in layer.problems] + wrong
    config = checked(Config, _with_data_dir({**toml.values, **older, **newer}, environ), problems)
    config._file = file.absolute() if file else None  # set here alone; all else is frozen
    return config


def default_data_dir(environ: Mapping[str, str]) -> Path:
    """Where an embedded Postgres lives that no key says a place for: another one under systemd than for a command."""
    state = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    data_home = environ.get("XDG_DATA_HOME") or str(Path(environ.get("HOME") or Path.home()) / ".local/share")
    return (Path(state) if state else Path(data_home) / "warmupd").absolute()


def changed_needing_restart(old: Config, new: Config) -> list[str]:
    """The dotted keys that differ and that a running daemon cannot take over by SIGHUP."""
    changed = []
    for section, keys in (("database", None), ("worker", None), ("http", ["listen", "same_port"])):
        before, after = getattr(old, section), getattr(new, section)
        names = keys or list(type(before).model_fields)
        changed += [f"{section}.{name}" for name in names if getattr(before, name) != getattr(after, name)]
    return changed


def _existing(path: Path) -> Path:
    if not _is_file(path):
        raise ConfigError(f"there is no configuration file {path}", remedy="`warmupd init` writes one")
    return path


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:  # present, perhaps, but not for us: going on with defaults would be a surprise
        raise ConfigError(f"cannot look at {path}: {error.strerror or error}") from None


def _with_data_dir(values: Values, environ: Mapping[str, str]) -> Values:
    """With a place for the embedded Postgres: systemd's state directory, else the user's own data directory."""
    if values.get("database.data_dir", Given(value="", origin="")).value:
        return values
    return {**values, "database.data_dir": Given(value=str(default_data_dir(environ)), origin="default")}
