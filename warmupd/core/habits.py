"""How a mailbox treats its mail, as far as its owner has a say."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Habits:
    """An owner's word in place of section `engagement` of the configuration; None where that holds."""

    reply_rate: float | None = None  # share of messages that are answered
    star_rate: float | None = None
    rescue: bool | None = None  # whether messages are moved out of spam
    visits_per_day: int | None = None
    file_after_hours: float | None = None
    retention_days: float | None = None


USUAL = Habits()
