"""How long rows of a day are kept."""

import datetime as dt
from dataclasses import dataclass

LET_GO = dt.timedelta(days=3)  # beyond its retention it is tried for two days to delete a message (daemon/treatment.py)
LONGEST = dt.timedelta(days=30)  # that sightings wait in their partition; what is kept longer is put aside
OVERDUE = dt.timedelta(days=3)  # that an old partition may wait until somebody is told


@dataclass(frozen=True, kw_only=True, slots=True)
class Retention:
    """What is kept for how long after the end of its UTC day."""

    jobs: dt.timedelta  # settled ones
    messages: dt.timedelta  # in the mailboxes, where these say nothing else

    @property
    def sightings(self) -> dt.timedelta:
        """Most are treated by then. Never shorter than their jobs: a job without its sighting would be seen anew."""
        return max(self.jobs, min(self.messages, LONGEST) + LET_GO)
