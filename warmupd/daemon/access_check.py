"""What doctor says of who may come in, and how they are told."""

from collections.abc import Iterator

from warmupd.config import Config
from warmupd.core.finding import Finding, Grade


def look_at_access(config: Config) -> Iterator[Finding]:
    """Warnings alone: what works is not worth a line."""
    if not config.auth.secret.get_secret_value():
        remedy = "set auth.secret; `openssl rand -hex 32` makes one"
        yield Finding(grade=Grade.WARN, check="auth", text="auth.secret is not set", remedy=remedy)
    if config.notifications.smtp_host and not config.http.public_url:
        text = f"links in mails lead to http://{config.http.listen}, which others may not reach"
        yield Finding(grade=Grade.WARN, check="links", text=text, remedy="set http.public_url")
