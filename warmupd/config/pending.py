"""Keys that are read and checked, and have no effect yet: whoever sets one is told, instead of hoping."""

from typing import Any

from pydantic import BaseModel

from warmupd.config.model import Config
from warmupd.config.section import keys_of

PENDING: tuple[str, ...] = ()  # a name that ends with a dot is a section


def set_in_vain(config: Config) -> list[str]:
    """The keys without effect that differ from their defaults, in the order of the example."""
    default = Config()
    return [
        key
        for key, _ in keys_of(Config)
        if any(key == name or (name.endswith(".") and key.startswith(name)) for name in PENDING)
        and _value(config, key) != _value(default, key)
    ]


def _value(config: Config, key: str) -> Any:
    value: BaseModel | Any = config
    for name in key.split("."):
        value = getattr(value, name)
    return value
