"""The old system's environment variables, in the words of today's keys."""

from collections.abc import Mapping

from warmupd.config.given import Given, Values

ONE_TO_ONE = {
    "DATABASE_URL": "database.url",
    "WARMUP_BATCH_SIZE": "sending.batch_size",
    "WARMUP_MAX_CONCURRENT": "sending.max_concurrent",
    "WARMUP_CRON_INTERVAL_MINUTES": "housekeeping.resync_minutes",
    "WARMUP_GLOBAL_HOURLY_LIMIT": "limits.global_per_hour",
    "WARMUP_MIN_DAILY_QUOTA": "quota.min_daily",
    "WARMUP_WORKER_COUNT": "worker.count",
    "WARMUP_WORKER_ID": "worker.id",
}
DISTRIBUTED_MODE = "WARMUP_DISTRIBUTED_MODE"
NAMES = frozenset({*ONE_TO_ONE, DISTRIBUTED_MODE})

_OLD_WORKER_COUNT = 1
_TARGET_DAILY = 40
_TRUE, _FALSE = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}


def translate(old: Mapping[str, Given], *, below: Values, above: Values) -> tuple[Values, list[str]]:
    """`old`, by the old names, as values for today's keys; and what is wrong with it, a line each.

    `below` is what the files say and these variables override; `above` what new-style variables and the command line
    say: where they name a key, the old variable for it is silent.
    """
    mode = str(old[DISTRIBUTED_MODE].value).lower() if DISTRIBUTED_MODE in old else None
    if mode is not None and mode not in _TRUE | _FALSE:
        return {}, [f"{old[DISTRIBUTED_MODE].origin} = {mode!r}: expected true or false"]
    values = {key: old[name] for name, key in ONE_TO_ONE.items() if name in old}
    if mode in _FALSE:  # one worker that serves everything: its number and the number of others mean nothing
        values.pop("worker.count", None)
        values["worker.id"] = Given(value=None, origin=old[DISTRIBUTED_MODE].origin)
    values = {key: item for key, item in values.items() if key not in above}
    _move_minute_cap(values)
    _raise_target(values, below)
    _wrap_worker_id(values, below=below, above=above)
    return values, []


def _move_minute_cap(values: Values) -> None:
    """A minute cap in a file was meant for the file's hour cap: back to a fortieth of the new one."""
    if "limits.global_per_hour" in values:
        values["limits.global_per_minute"] = Given(value=None, origin=values["limits.global_per_hour"].origin)


def _raise_target(values: Values, below: Values) -> None:
    """The old system had no target: a floor above it asks for that many."""
    floor = values.get("quota.min_daily")
    if floor is None:
        return
    target = _number(below["quota.target_daily"]) if "quota.target_daily" in below else _TARGET_DAILY
    least = _number(floor)
    if least is not None and target is not None and least > target:
        values["quota.target_daily"] = floor


def _wrap_worker_id(values: Values, *, below: Values, above: Values) -> None:
    """Numbers 1 to N and 0 to N-1 were both in use; without a count there was one worker."""
    given = values.get("worker.id")
    number = _number(given) if given else None
    if given is None or number is None or number < 0:
        return
    counted = above.get("worker.count") or values.get("worker.count") or below.get("worker.count")
    count = _number(counted) if counted else _OLD_WORKER_COUNT
    if not counted:
        values["worker.count"] = Given(value=_OLD_WORKER_COUNT, origin=given.origin)
    if count:
        values["worker.id"] = Given(value=number % count, origin=given.origin)


def _number(given: Given) -> int | None:
    """A whole number, or None: what is wrong with it is said when all values are checked."""
    try:
        return int(str(given.value))
    except ValueError:
        return None
