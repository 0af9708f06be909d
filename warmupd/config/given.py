"""What was given for a key and where; and `checked`, which turns it all into a configuration or says what is wrong."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher, get_close_matches
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from warmupd.config.section import is_secret, keys_of
from warmupd.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """A value for a key, not yet checked. None means: back to the default."""

    value: object
    origin: str  # the file, variable or credential it stands in


Values = dict[str, Given]  # by dotted key


def checked(model: type[Model], given: Mapping[str, Given], problems: Sequence[str] = ()) -> Model:
    """`given` by dotted key as a `model`. Raises ConfigError with `problems` and its own findings, a line each."""
    lines = list(problems)
    try:
        made = model.model_validate(_nested(given))
    except ValidationError as error:
        details = [detail for detail in error.errors(include_url=False) if detail["type"] not in _CONSEQUENCES]
        lines += dict.fromkeys(_line(model, detail, given) for detail in details)
        raise ConfigError("\n".join(lines)) from None  # its own text would show what was given
    if lines:
        raise ConfigError("\n".join(lines))
    return made


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean ...?` with the known name that is nearest to `name`, or nothing when none is near."""
    candidates = sorted(known)
    leaf = name.rpartition(".")[2]
    elsewhere = [candidate for candidate in candidates if candidate.rpartition(".")[2] == leaf]
    near = elsewhere if len(elsewhere) == 1 else get_close_matches(name, candidates, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


def is_near(name: str, known: Iterable[str]) -> bool:
    """Whether `name` is so close to a known one that it is a typing error rather than somebody else's."""
    plain = name.replace("__", "_")
    return any(SequenceMatcher(None, plain, other.replace("__", "_")).ratio() >= 0.85 for other in known)


def _nested(given: Mapping[str, Given]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, item in given.items():
        if item.value is None:
            continue
        *path, leaf = key.split(".")
        table = tree
        for name in path:
            table = table.setdefault(name, {})
        table[leaf] = item.value
    return tree


def _line(model: type[BaseModel], detail: ErrorDetails, given: Mapping[str, Given]) -> str:
    """`key = value (where it stands): what is expected`."""
    fields = dict(keys_of(model))
    place = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "conflict":
        first, *others = (f"{place}.{name}" for name in detail["ctx"]["keys"])
    else:
        first, others = next((name for name in fields if f"{place}.".startswith(f"{name}.")), place), []
    item, field = given.get(first), fields.get(first)
    shown = f" = {item.value!r}" if item and field and not is_secret(field) else ""
    standing = "; ".join([_origin(first, given), *(f"{other}: {_origin(other, given)}" for other in others)])
    return f"{first}{shown} ({standing}): {_expected(detail)}{'' if field else did_you_mean(first, fields)}"


def _origin(key: str, given: Mapping[str, Given]) -> str:
    return given[key].origin if key in given else "default"


def _expected(detail: ErrorDetails) -> str:
    context: dict[str, Any] = detail.get("ctx", {})
    if detail["type"] in {"conflict", "value_error"}:
        return str(context.get("text") or context["error"])
    wording = _WORDING.get(detail["type"])
    return wording.format(**context) if wording else detail["msg"]


_CONSEQUENCES = {"default_factory_not_called"}  # a default that depends on a value which is itself reported
_WORDING = {
    "bool_parsing": "expected true or false",
    "bool_type": "expected true or false",
    "extra_forbidden": "no such key",
    "finite_number": "expected a finite number",
    "float_parsing": "expected a number",
    "float_type": "expected a number",
    "greater_than": "expected more than {gt:g}",
    "greater_than_equal": "expected at least {ge:g}",
    "int_from_float": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_parsing_size": "expected a smaller number",
    "int_type": "expected a whole number",
    "less_than_equal": "expected at most {le:g}",
    "literal_error": "expected {expected}",
    "path_type": "expected a path",
    "string_pattern_mismatch": "expected text of the form {pattern}",
    "string_too_long": "expected at most {max_length} characters",
    "string_too_short": "expected at least {min_length} character",
    "string_type": "expected text",
    "tuple_type": "expected a list",
}
