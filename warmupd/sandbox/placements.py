"""Whether messages are said to be where the mail server really put them."""

from collections.abc import Callable, Mapping, Sequence

from warmupd.core.placement import Placement
from warmupd.sandbox.record import Taken
from warmupd.sandbox.reserved import JobKey


def count_misplaced(
    said: Mapping[JobKey, Placement], taken: Sequence[Taken], job_of: Callable[[Taken], JobKey | None]
) -> int:
    """How many of the messages that were seen lie, by the server's record, elsewhere, or nowhere.

    What is MISSING was not seen.
    """
    went = {job: _PLACES.get(entry.folder, Placement.OTHER) for entry in taken if (job := job_of(entry)) is not None}
    seen = {job: placement for job, placement in said.items() if placement is not Placement.MISSING}
    return sum(went.get(job) is not placement for job, placement in seen.items())


_PLACES = {"INBOX": Placement.INBOX, "Junk": Placement.SPAM}
