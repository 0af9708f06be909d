"""What all sections of the configuration share, and their keys by dotted name."""

from collections.abc import Iterator
from typing import get_args

from pydantic import BaseModel, ConfigDict, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError


class Section(BaseModel):
    """A table of the TOML file."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)


def conflict(text: str, *keys: str) -> PydanticCustomError:
    """Keys of a section that do not go together. `text` is said of the first; the others show where they stand."""
    return PydanticCustomError("conflict", "{text}", {"text": text, "keys": keys})


def keys_of(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every key of `model` and the tables in it by its dotted name, such as `oauth.google.client_id`, in order."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from keys_of(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, field


def is_secret(field: FieldInfo) -> bool:
    """Whether the key's value may never be shown."""
    return _holds_secret(field.annotation)


def _holds_secret(kind: object) -> bool:
    return kind is SecretStr or any(_holds_secret(part) for part in get_args(kind))
