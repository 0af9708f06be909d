"""Whether messages are said to be where the mail server really put them."""

from collections.abc import Callable, Mapping, Sequence

from warmupd.core.placement import Placement
from warmupd.sandbox.record import Taken
from warmupd.sandbox.reserved import JobKey


def count_misplaced(
    said: Mapping[JobKey, Placement], taken: Sequence[Taken], job_of: Callable[[Taken], JobKey | None]
) -> int:
    """How many of the messages that were seen lie, by the server's record, elsewhere; what is MISSING was not seen."""
    went = {job: entry.folder for entry in taken if (job := job_of(entry)) is not None}
    seen = {job: placement for job, placement in said.items() if placement is not Placement.MISSING}
    return sum(_PLACES.get(went.get(job, ""), Placement.OTHER) is not placement for job, placement in seen.items())


_PLACES = {"INBOX": Placement.INBOX, "Junk": Placement.SPAM}
