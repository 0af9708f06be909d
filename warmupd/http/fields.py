"""What people enter about users, looked at before it is used: the fields of requests and forms."""

from typing import Annotated

from pydantic import AfterValidator, Field

from warmupd.core.entries import LONGEST, time_zone
from warmupd.errors import UsageError
from warmupd.mail.header_text import mail_address
from warmupd.store.plans import LONGEST as LONGEST_PLAN


def printable(text: str) -> str:
    """What of it can be shown: a search may be pasted, and Postgres refuses NUL."""
    return "".join(char for char in text if char.isprintable()).strip()


def one_line(text: str) -> str:
    """Raises ValueError for what is not one line of text."""
    if not text.isprintable():
        raise ValueError("give one line of text")
    return text.strip()


def known_zone(name: str | None) -> str | None:
    """Raises ValueError for a zone that there is not."""
    try:
        return time_zone(name) if name is not None else None
    except UsageError as error:
        raise ValueError(f"there is no such time zone; {error.remedy}") from error


def usable_address(text: str) -> str:
    """Raises ValueError for what is no address."""
    try:
        return mail_address(text.strip())
    except UsageError as error:
        raise ValueError("that is not an e-mail address; give it as name@example.com") from error


Name = Annotated[str, Field(max_length=LONGEST), AfterValidator(one_line)]
Zone = Annotated[
    str | None,
    Field(max_length=64, description="null: as configured", examples=["Europe/Berlin"]),
    AfterValidator(known_zone),
]
Address = Annotated[str, Field(max_length=320, examples=["owner@example.com"]), AfterValidator(usable_address)]
PlanWord = Annotated[str, Field(max_length=LONGEST_PLAN), AfterValidator(one_line)]
