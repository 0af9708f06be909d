"""Where values come from: a TOML file, a `.env` file, variables, files of secrets, the command line."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from dotenv import dotenv_values
from pydantic.fields import FieldInfo

from warmupd.config import legacy
from warmupd.config.given import Given, Values, did_you_mean, is_near
from warmupd.config.model import Config
from warmupd.config.section import is_secret, keys_of
from warmupd.errors import ConfigError

KEYS = dict(keys_of(Config))
TABLES = frozenset(table for key in KEYS for table in (key.partition(".")[0], key.rpartition(".")[0]))
VARIABLES = {f"WARMUP_{key.upper().replace('.', '__')}": key for key in KEYS}
SECRET_FILES = {f"{name}_FILE": key for name, key in VARIABLES.items() if is_secret(KEYS[key])}
KNOWN_VARIABLES = frozenset({*VARIABLES, *SECRET_FILES, *legacy.NAMES})

CREDENTIAL_PREFIX = "warmupd_"  # what LoadCredential=warmupd:DIRECTORY puts before the names of the files in it


@dataclass(kw_only=True, slots=True)
class Layer:
    """What one source says: values by key, old-style variables by name, and what is wrong with it, a line each."""

    values: Values = field(default_factory=dict)
    old: dict[str, Given] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def from_toml(path: Path) -> Layer:
    """The keys of a TOML file; relative paths in it are relative to its directory."""
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None
    layer = Layer()
    for key, value in _leaves(document, layer, str(path)):
        layer.values[key] = Given(value=_anchored(KEYS[key], value, path.parent), origin=str(path))
    return layer


def from_mapping(overrides: Mapping[str, object], origin: str) -> Layer:
    """Values by dotted key or as nested tables. None says nothing: an option that was not used."""
    layer = Layer()
    for key, value in _leaves(overrides, layer, origin):
        if value is not None:
            layer.values[key] = Given(value=_anchored(KEYS[key], value, Path.cwd()), origin=origin)
    return layer


def from_dotenv(path: Path) -> Layer:
    """The variables of a `.env` file, or nothing when there is none. `$` in them is just a character."""
    try:
        variables = dotenv_values(path, interpolate=False, encoding="utf-8") if path.is_file() else {}
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text") from None
    return from_variables({k: v for k, v in variables.items() if v is not None}, path.absolute().parent, f" in {path}")


def from_variables(variables: Mapping[str, str], directory: Path, place: str = "") -> Layer:
    """New-style and old-style variables; empty ones count as not set. `place` is said after their names."""
    layer = Layer()
    for name, text in variables.items():
        given = Given(value=text, origin=name + place)
        if not text:
            continue
        if name in VARIABLES:
            key = VARIABLES[name]
            layer.values[key] = Given(value=_anchored(KEYS[key], text, directory), origin=name + place)
        elif name in SECRET_FILES:
            _read_secret(layer, SECRET_FILES[name], directory / text, given.origin)
            if name.removesuffix("_FILE") in variables:
                layer.problems.append(f"{given.origin}: {name.removesuffix('_FILE')} is set as well; keep one of them")
        elif name in legacy.NAMES:
            layer.old[name] = given
        elif name.upper().startswith("WARMUP_") and ("__" in name or is_near(name.upper(), KNOWN_VARIABLES)):
            layer.problems.append(f"{given.origin}: no such variable{did_you_mean(name.upper(), KNOWN_VARIABLES)}")
    return layer


def from_credentials(directory: Path) -> Layer:
    """systemd credentials: files named like the secret they hold, such as `auth.secret`; others are not ours."""
    layer = Layer()
    known = set(SECRET_FILES.values())
    try:
        files = sorted(directory.iterdir())
    except OSError as error:
        raise ConfigError(f"cannot read the credentials in {directory}: {error.strerror or error}") from None
    for file in files:
        key = file.name.removeprefix(CREDENTIAL_PREFIX)
        if key in known:
            _read_secret(layer, key, file, f"credential {file.name}")
        elif key.partition(".")[0] in TABLES and "." in key:
            layer.problems.append(f"credential {file.name}: no such secret{did_you_mean(key, known)}")
    return layer


def _read_secret(layer: Layer, key: str, file: Path, origin: str) -> None:
    try:
        text = file.read_text("utf-8").strip()
    except OSError as error:
        layer.problems.append(f"{origin}: cannot read {file}: {error.strerror or error}")
    except UnicodeDecodeError:
        layer.problems.append(f"{origin}: {file} is not UTF-8 text")
    else:
        layer.values[key] = Given(value=text, origin=origin)


def _leaves(table: Mapping[str, Any], layer: Layer, origin: str, prefix: str = "") -> Iterator[tuple[str, object]]:
    """The known keys of a nested table; the unknown become problems of `layer`."""
    for name, value in table.items():
        key = prefix + name
        if key in KEYS:
            yield key, value
        elif key in TABLES and isinstance(value, Mapping):
            yield from _leaves(value, layer, origin, f"{key}.")
        elif key in TABLES:
            layer.problems.append(f"{key} ({origin}): expected a section, [{key}], not a value")
        else:
            what = "section" if isinstance(value, Mapping) else "key"
            known = TABLES if isinstance(value, Mapping) else KEYS
            layer.problems.append(f"{key} ({origin}): no such {what}{did_you_mean(key, known)}")


def _anchored(field_info: FieldInfo, value: object, directory: Path) -> object:
    """A relative path made absolute from where it was written; any other value as it is."""
    if not (Path in get_args(field_info.annotation) and isinstance(value, str | Path) and str(value)):
        return value
    return value if str(value).startswith("~") else str(directory.absolute() / value)
