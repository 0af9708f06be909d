"""The fields of the page Settings: what each is called, and how what is entered there is read and shown."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from warmupd.core.entries import RANGES, SPANS
from warmupd.errors import UsageError

LIMITS: Mapping[str, tuple[float, float]] = {**RANGES, **SPANS}  # the same for all users as for a mailbox


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """One setting. An empty field leaves it to what is said elsewhere."""

    column: str
    label: str
    hint: str
    unit: str = ""
    kind: str = "number"  # number, percent, choice or text
    choices: tuple[str, str] = ("", "")  # for yes and no
    whole: bool = True

    def read(self, text: str) -> Any:
        """The value entered; None for an empty field. Raises UsageError."""
        text = text.strip()
        if not text:
            return None
        if self.kind == "choice":
            return _yes(text)
        if self.kind == "text":
            return text
        value = _number(text.removesuffix("%").strip(), whole=self.whole and self.kind == "number")
        if self.kind == "percent":
            value /= 100
        least, most = LIMITS[self.column]
        if not least <= value <= most:
            scale = 100 if self.kind == "percent" else 1
            raise UsageError(f"give {least * scale:g} to {most * scale:g}")
        return value

    def shown(self, value: Any) -> str:
        """As it stands in the field."""
        if value is None:
            return ""
        if self.kind == "choice":
            return "yes" if value else "no"
        if self.kind == "percent":
            return f"{100 * value:g}"
        return f"{value:g}" if isinstance(value, float) else str(value)

    def said(self, value: Any) -> str:
        """As it is told where the field is empty."""
        return self.choices[0 if value else 1].lower() if self.kind == "choice" else self.shown(value)


GROUPS: Mapping[str, tuple[Field, ...]] = {
    "Day and window": (
        Field(column="timezone", label="Time zone", kind="text", hint="Days and hours are counted in it"),
        Field(column="start_hour", label="Sends from hour", hint="0 to 23, local time"),
        Field(column="end_hour", label="Until hour", hint="1 to 24; from then on nothing is sent"),
        Field(
            column="weekdays_only",
            label="Weekends",
            kind="choice",
            choices=("Free", "Like other days"),
            hint="Whether Saturdays and Sundays are free",
        ),
    ),
    "Ramp and quota": (
        Field(column="ramp_start", label="First day", unit="sends", hint="Sends on the first day"),
        Field(column="ramp_step", label="More each day", unit="sends", hint="Until the target"),
        Field(column="target_daily", label="Target", unit="sends a day", hint="Top of the ramp"),
        Field(
            column="min_daily",
            label="Minimum",
            unit="sends a day",
            hint="Once ramped, no day owes less, unless plan, provider or health force it",
        ),
    ),
    "Engagement": (
        Field(
            column="reply_rate",
            label="Answers",
            unit="%",
            kind="percent",
            hint="Percent of the messages it gets that it answers",
        ),
        Field(
            column="star_rate",
            label="Stars",
            unit="%",
            kind="percent",
            hint="Percent of the messages it gets that it marks",
        ),
        Field(
            column="rescue",
            label="Spam folder",
            kind="choice",
            choices=("Rescue", "Leave them there"),
            hint="Whether messages found in spam are moved to the inbox",
        ),
        Field(column="visits_per_day", label="Visits", unit="a day", hint="Looks into the mailbox"),
    ),
    "Folder": (
        Field(
            column="warmup_folder",
            label="Warmup folder",
            kind="text",
            hint="Where messages are filed; what is filed already stays where it is",
        ),
        Field(
            column="file_after_hours",
            label="Filed after",
            unit="hours",
            whole=False,
            hint="Hours after a message was opened",
        ),
        Field(
            column="retention_days",
            label="Deleted after",
            unit="days",
            whole=False,
            hint="Days after a message was found",
        ),
    ),
}
FIELDS: Mapping[str, Field] = {field.column: field for group in GROUPS.values() for field in group}


def read_all(given: Callable[[str], str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The values entered by column, and what is wrong with those that cannot be read."""
    values: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    for column, field in FIELDS.items():
        try:
            values[column] = field.read(given(column))
        except UsageError as error:
            text = Exception.__str__(error)
            wrong[column] = f"{text[:1].upper()}{text[1:]}."
    return values, wrong


def _yes(text: str) -> bool:
    if text not in {"yes", "no"}:
        raise UsageError("choose one of these")
    return text == "yes"


def _number(text: str, *, whole: bool) -> int | float:
    if len(text) > 20 or not text.isascii():
        raise UsageError("give a number")
    try:
        return int(text) if whole else float(text.replace(",", "."))
    except ValueError as error:
        raise UsageError("give a whole number" if whole else "give a number") from error
