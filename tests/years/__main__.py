"""`make years`: a small pool lives for ninety days; how great its tables are and how long a reserve takes, by then.

Ends 1 when a table grows without bound, an unsettled job is lost, or reserves get slower.
"""

import argparse
import asyncio
import datetime as dt
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.store.rows import CONNECTIONS, Ground
from tests.years.life import Life
from warmupd.core.retention import Retention
from warmupd.daemon import keeping
from warmupd.store import day_totals
from warmupd.store.database import Database
from warmupd.store.embedded import EmbeddedPostgres
from warmupd.store.migrate import migrate

SLOWER = 1.5  # times: the median reserve of the last days against that of the first
MEGABYTE = 2**20


async def live(args: argparse.Namespace) -> int:
    """Live, weigh, and judge."""
    keeping.HISTORY = dt.timedelta(days=args.history)
    keeping.BREATH = 0.0
    day_totals.SMALL = 0  # as if the fleet were great: its totals are kept, too
    setattr(day_totals, "MOST_DAYS", args.history)  # noqa: B010  it only imports it
    retention = Retention(jobs=dt.timedelta(days=7), messages=dt.timedelta(days=14))
    began = time.monotonic()
    folder = tempfile.mkdtemp(prefix="warmupd-years-")
    async with (
        EmbeddedPostgres(Path(folder), fsync=False) as server,
        await Database.open(server.url, pool_size=CONNECTIONS, application_name="years") as db,
    ):
        await migrate(db)
        await Ground(db).lay()
        life = Life(Ground(db), mailboxes=args.mailboxes, quota=args.quota, retention=retention, seed=args.seed)
        await life.begin()
        for number in range(1, args.days + 1):
            await life.day()
            if number in marks(args.days):
                await life.weigh()
                print(f"day {number}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        return tell(life, args, time.monotonic() - began)


def marks(days: int) -> list[int]:
    """The days on which tables are weighed."""
    return sorted({days // 9, days // 3, 2 * days // 3, days})


def tell(life: Life, args: argparse.Namespace, seconds: float) -> int:
    """The tables, the reserves, and what is wrong."""
    at = marks(args.days)
    print(f"{args.mailboxes} mailboxes, {args.days} days, {args.quota} a day; days are rolled up after {args.history}")
    print(f"{'rows / MB on day':22}" + "".join(f"{day:>18}" for day in at))
    names = sorted(life.days[at[-1] - 1].sizes, key=lambda name: -life.days[at[-1] - 1].sizes[name][1])
    for name in names:
        cells = [life.days[day - 1].sizes.get(name, (0, 0)) for day in at]
        print(f"{name:22}" + "".join(f"{rows:>10,} {size / MEGABYTE:>7.2f}" for rows, size in cells))
    print(f"{'partitions of jobs':22}" + "".join(f"{life.days[day - 1].partitions:>18}" for day in at))
    first, last = reserve_around(life, at[0]), reserve_around(life, at[-1])
    print(f"reserve: median {1000 * first:.2f} ms around day {at[0]}, {1000 * last:.2f} ms on the last days,", end=" ")
    print(f"ratio {last / first:.2f}")
    rounds = [seen.keeping for seen in life.days]
    print(f"housekeeping: {1000 * statistics.median(rounds):.0f} ms a day, at most {1000 * max(rounds):.0f} ms")
    grown = [name for name in names if grows(life, name, at)]
    print(f"unsettled jobs lost: {len(life.lost)}; tables that grew in the last third: {', '.join(grown) or 'none'}")
    print(f"{seconds:.0f} s")
    return int(bool(life.lost or grown or last > SLOWER * first))


def reserve_around(life: Life, day: int) -> float:
    """Seconds, the median of the five days before."""
    return statistics.median(seen.reserve for seen in life.days[max(0, day - 5) : day])


def grows(life: Life, name: str, at: list[int]) -> bool:
    """Whether it has a fifth more rows than a third of the time before, and they are not few."""
    before, after = (life.days[day - 1].sizes.get(name, (0, 0))[0] for day in at[-2:])
    return after > 1.2 * before + 100


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--mailboxes", type=int, default=10)
    parser.add_argument("--quota", type=int, default=16)
    parser.add_argument("--history", type=int, default=45, help="days until days are rolled up; 410 in earnest")
    parser.add_argument("--seed", type=int, default=1)
    return asyncio.run(live(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
