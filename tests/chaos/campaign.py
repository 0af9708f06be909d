"""`make chaos`: seeded runs of several workers against a mail server and a Postgres that a killer makes fail.

A line a run and a summary; ends 1 when any run broke a promise. What such a run left lies in a folder that is named.
"""

import argparse
import asyncio
import multiprocessing
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.chaos.judge import Evidence, Verdict, judge, summary
from tests.chaos.killer import Killer
from tests.chaos.rest import rest
from tests.chaos.safeguards import SAFEGUARDS
from tests.chaos.scenario import Scenario, draw
from tests.chaos.world import ChaosWorld, make_template
from tests.ha.servers import Pair, Server
from warmupd.mail.message_id import MessageKey

SHORT, LONG = 5.0, 60.0  # seconds of faults
REST_WITHIN = 120.0


class Campaign:
    """A Postgres, and runs on it one after the other."""

    def __init__(self, server: Server | Pair, folder: Path, *, without: str = "", keeps: bool = False) -> None:
        self.folder = folder
        self._keeps = keeps
        self._server = server
        self._without = without
        self._context: Any = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["tests.chaos.worker", "tests.chaos.mailserver", "tests.chaos.rest"])

    async def run(self, scenario: Scenario) -> Verdict:
        """The storm, the rest, and the judgement."""
        folder = self.folder / f"seed-{scenario.seed}"
        folder.mkdir(parents=True)
        world = ChaosWorld(self._server, scenario, folder, self._without)
        await world.open(self._context)
        await world.begin()
        killer = Killer(world, self._context)
        try:
            await killer.storm()
            await killer.end()
            faults = await self._rest(world)
        finally:
            killer.kill_all()
            await world.close_mail()
        verdict = await judge(
            world.db,
            Evidence(
                scenario=scenario,
                time=world.time,
                owners=world.world.owners,
                sinks=world.sinks,
                trusted=world.trusted,
                key=MessageKey(world.world.vault),
                record=world.mail.record(),
                lag=world.mail.lag(),
                hands=killer.hands,
                takeovers=killer.takeovers,
                resized=killer.resized,
                done=killer.done,
                faults=[*faults, *killer.deaths()],
            ),
        )
        if verdict.violations or self._keeps:
            await world.leave()
        await world.close(drop=not verdict.violations)
        (folder / "diary").write_text("\n".join([*killer.diary, verdict.line, ""]))
        if not (verdict.violations or self._keeps):
            shutil.rmtree(folder)
        return verdict

    async def _rest(self, world: ChaosWorld) -> list[str]:
        spec = world.spec("auto")
        process = self._context.Process(target=rest, args=(spec, world.time.now()), daemon=True)
        process.start()
        await asyncio.to_thread(process.join, REST_WITHIN)
        if process.exitcode == 0:
            return []
        process.kill()
        return [f"no rest was found (exit {process.exitcode})"]


@asynccontextmanager
async def campaign(
    folder: Path, *, without: str = "", failover: bool = False, keeps: bool = False
) -> AsyncIterator[Campaign]:
    """On a new Postgres, or a primary with its standby, in that folder."""
    directory = Path(tempfile.mkdtemp(prefix="warmupd-chaos-"))
    server = await (Pair if failover else Server).make(directory / "postgres")
    try:
        await make_template(server)
        yield Campaign(server, folder, without=without, keeps=keeps)
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


def main(arguments: list[str] | None = None) -> int:
    """The program."""
    try:
        return asyncio.run(_main(_options(arguments)))
    except asyncio.CancelledError:
        return 2


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--runs", type=int, help="how many (20; 3 with --long)")
    parser.add_argument("--seed", type=int, default=1, help="of the first run; each further one has the next")
    parser.add_argument("--seconds", type=float, help="of faults, in each run (5; 60 with --long)")
    parser.add_argument("--pace", type=float, default=1.0, help="2 on a machine that is half as fast, or busy")
    parser.add_argument("--long", action="store_true", help="with a failover of Postgres in each run")
    parser.add_argument("--without", choices=SAFEGUARDS, default="", help="take a safeguard out: runs must miss it")
    parser.add_argument("--keep", type=Path, help="folder for what runs leave, good ones too")
    options = parser.parse_args(arguments)
    options.runs = options.runs or (3 if options.long else 20)
    options.seconds = options.seconds or (LONG if options.long else SHORT)
    return options


async def _main(options: argparse.Namespace) -> int:
    began, task = time.monotonic(), asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)  # Postgres is not to outlive this
    folder = options.keep or Path(tempfile.mkdtemp(prefix="warmupd-chaos-left-"))
    seeds = range(options.seed, options.seed + options.runs)
    verdicts = []
    ways = {"without": options.without, "keeps": options.keep is not None}
    if options.long:
        for seed in seeds:
            async with campaign(folder, failover=True, **ways) as ground:
                verdicts.append(await _tell(ground, draw(seed, options.seconds, pace=options.pace, failover=True)))
    else:
        async with campaign(folder, **ways) as ground:
            for seed in seeds:
                verdicts.append(await _tell(ground, draw(seed, options.seconds, pace=options.pace)))  # noqa: PERF401  one after the other
    print(f"{summary(verdicts)}\n{time.monotonic() - began:.0f} s")
    if any(verdict.violations for verdict in verdicts):
        print(f"what the bad runs left: {folder}")
        return 1
    if all(verdict.is_empty for verdict in verdicts):
        print("nothing was tried: hardly a message was sent (--pace 2, or --seconds 10)")
        return 1
    if options.keep is None:
        folder.rmdir()
    return 0


async def _tell(ground: Campaign, scenario: Scenario) -> Verdict:
    began = time.monotonic()
    verdict = await ground.run(scenario)
    print(f"{verdict.line} | {time.monotonic() - began:.1f} s", flush=True)
    return verdict


if __name__ == "__main__":
    sys.exit(main())
