"""The relay of `[notifications]`, for whoever mails to the people who use this installation."""

from warmupd.config import Config
from warmupd.mail.relay import Relay


def relay_of(config: Config) -> Relay | None:
    """None: none is set, and nothing is mailed."""
    notices = config.notifications
    if not notices.smtp_host:
        return None
    return Relay(
        host=notices.smtp_host,
        port=notices.smtp_port,
        security=notices.smtp_security,
        username=notices.smtp_username,
        password=notices.smtp_password.get_secret_value(),
        sender=notices.sender,
        ca_file=str(config.security.ca_file) if config.security.ca_file else None,
    )
