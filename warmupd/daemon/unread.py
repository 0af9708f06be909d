"""Mailboxes whose rows are to be read anew: who is told of again while it is read is read again."""

from collections.abc import Awaitable, Callable, Iterable


class Unread:
    """Of one kind of reading."""

    def __init__(self) -> None:
        self._told: set[int] = set()

    def add(self, mailbox_ids: Iterable[int]) -> None:
        self._told.update(mailbox_ids)

    async def read(self, action: Callable[[list[int]], Awaitable[None]]) -> None:
        """Have those be read that were told of so far, if any; they stay to be read when that raises."""
        if not (told := list(self._told)):
            return
        self._told.clear()  # before they are read: what is told meanwhile may be newer than what is read
        try:
            await action(told)
        except BaseException:
            self._told.update(told)
            raise
