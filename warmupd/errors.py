"""The small error tree: adapters translate library errors into these, and `cli` turns them into exit codes."""


class WarmupdError(Exception):
    """Something went wrong that the person at the terminal can mend. `remedy` says how, in one sentence."""

    exit_code = 1

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message} ({self.remedy})" if self.remedy else message


class UsageError(WarmupdError):
    """A command, argument or input file cannot be used as it is."""

    exit_code = 2


class Conflict(UsageError):
    """What is asked for is at odds with what is there: an address that is enrolled already, a plan that is full."""


class ConfigError(WarmupdError):
    """The configuration names an unknown key or a value that cannot be used."""

    exit_code = 2


class DatabaseUnavailable(WarmupdError):
    """Postgres does not answer, or went away. Temporary: whoever sees it in the daemon waits and tries again."""

    exit_code = 3


class DatabaseBusy(DatabaseUnavailable):
    """Postgres is there, but a statement lost against others (deadlock, lock time-out): it may be said again."""


class WorkerForgotten(DatabaseUnavailable):
    """The worker has no row any more: it was away for long, or a failover lost it. Temporary: it registers anew."""


class SchemaError(WarmupdError):
    """The database holds another schema than this program's: newer, older, or not ours at all."""


class LeaseLost(WarmupdError):
    """This worker is no longer, or not surely, the owner of a slot: nothing may be reserved for it."""


class SecretsError(WarmupdError):
    """A sealed credential cannot be opened with the keys at hand."""


class NotFound(WarmupdError):
    """The mailbox, user or other row that was named does not exist."""


class NotAllowed(WarmupdError):
    """It can be done, but not by who asks."""


class ContentError(WarmupdError):
    """A message template is malformed; the message names the file and the line."""
