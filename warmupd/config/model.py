"""The whole configuration: frozen, checked, the same object for everybody who was handed it."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from pydantic import BaseModel, PrivateAttr, SecretStr

from warmupd.config.given import Given, checked
from warmupd.config.schedule import (
    EngagementSection,
    HealthSection,
    LimitsSection,
    QuotaSection,
    SpacingSection,
    WindowSection,
)
from warmupd.config.section import Section
from warmupd.config.service import (
    AuthSection,
    ContentSection,
    DatabaseSection,
    DnsSection,
    HousekeepingSection,
    HttpSection,
    LoggingSection,
    NotificationsSection,
    OAuthSection,
    ScalingSection,
    SecretsSection,
    SecuritySection,
    SendingSection,
    WorkerSection,
)

HIDDEN = "***"


class Config(Section):
    """Every key of `config.toml.example`, by section."""

    database: DatabaseSection = DatabaseSection()
    worker: WorkerSection = WorkerSection()
    sending: SendingSection = SendingSection()
    quota: QuotaSection = QuotaSection()
    window: WindowSection = WindowSection()
    spacing: SpacingSection = SpacingSection()
    limits: LimitsSection = LimitsSection()
    engagement: EngagementSection = EngagementSection()
    health: HealthSection = HealthSection()
    http: HttpSection = HttpSection()
    auth: AuthSection = AuthSection()
    security: SecuritySection = SecuritySection()
    dns: DnsSection = DnsSection()
    notifications: NotificationsSection = NotificationsSection()
    secrets: SecretsSection = SecretsSection()
    oauth: OAuthSection = OAuthSection()
    content: ContentSection = ContentSection()
    housekeeping: HousekeepingSection = HousekeepingSection()
    scaling: ScalingSection = ScalingSection()
    logging: LoggingSection = LoggingSection()

    _file: Path | None = PrivateAttr(None)

    @classmethod
    def isolated(cls, overrides: Mapping[str, object] = MappingProxyType({})) -> Self:
        """The defaults, with `overrides` by dotted key: no file, variable or directory of this machine has a say.

        `database.data_dir` is None in it: whoever starts a Postgres on it names a directory of their own.
        """
        return checked(cls, {key: Given(value=value, origin="isolated") for key, value in overrides.items()})

    @property
    def file(self) -> Path | None:
        """The TOML file it was read from, absolute; None when there was none."""
        return self._file

    def redacted(self) -> dict[str, Any]:
        """The effective configuration as nested plain values, fit for printing: what is secret shows as "***"."""
        return {name: _plain(getattr(self, name)) for name in type(self).model_fields}


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, SecretStr):
        return _masked(value.get_secret_value())
    if isinstance(value, Path) or value is None:
        return str(value or "")
    return value


def _masked(secret: str) -> str:
    """Nothing, or "***"; of a database URL only what may hold a password."""
    if secret in {"", "embedded"}:
        return secret
    scheme, found, rest = secret.partition("://")
    if scheme not in {"postgres", "postgresql"} or not found:
        return HIDDEN
    address, query, _ = rest.partition("?")
    login, at, place = address.rpartition("@")
    user = f"{login.partition(':')[0]}:{HIDDEN}" if ":" in login else login
    return f"{scheme}://{user}{at}{place}{query}{HIDDEN if query else ''}"
