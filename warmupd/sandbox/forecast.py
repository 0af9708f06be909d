"""The weather of one run: what befalls which account when, decided by the seed, so that no kind of event stays out."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from warmupd.core.reply import Phase
from warmupd.sandbox.fate import chance
from warmupd.sandbox.weather import Event, Weather

APPOINTED_A_DAY = 3  # of an account, at most: with few accounts not every event finds a place
FIRST_TRY, LAST_TRY = 2, 23  # of the attempts of a day on which an event is appointed: 30 are made even in a calm one


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """What an account may send a day, and what its further messages are answered."""

    messages: int
    event: Event


@dataclass(frozen=True, kw_only=True, slots=True)
class Appointment:
    """An event that befalls the account on this attempt of the day, or the next one that gets as far."""

    attempt: int
    event: Event


class Forecast:
    """Knows the accounts, so that it can have each event befall some of them for sure."""

    def __init__(self, weather: Weather, seed: int, accounts: Iterable[str]) -> None:
        self._weather = weather
        self._seed = seed
        self._accounts = sorted(accounts)
        self._limits = self._limited()

    def event(self, account: str, day: int, attempt: int) -> Event | None:
        """What by chance befalls the `attempt`-th attempt (from 1) of this account on that day (from 0)."""
        drawn = chance(self._seed, "weather", f"{account}\n{day}\n{attempt}")
        for event in self._weather.events:
            drawn -= event.share
            if drawn < 0:
                return event
        return None

    def limit(self, account: str) -> Limit | None:
        """The daily limit of the account, if it has one: the same every day, as with real providers."""
        return self._limits.get(account)

    def appointments(self, day: int) -> dict[str, list[Appointment]]:
        """What is to befall whom on that day, in the order of their attempts: each event as often as weather asks."""
        order = self._shuffled(f"appointed\n{day}")
        rounds = _share_of(len(order), self._weather.accounts_an_event)
        found: dict[str, list[Appointment]] = {account: [] for account in order}
        for number, event in enumerate([*self._weather.events] * rounds):
            if number < APPOINTED_A_DAY * len(order):
                when = chance(self._seed, "when", f"{day}\n{number}")
                attempt = FIRST_TRY + int(when * (LAST_TRY + 1 - FIRST_TRY))
                found[order[number % len(order)]].append(Appointment(attempt=attempt, event=event))
        return {account: sorted(its, key=lambda one: one.attempt) for account, its in found.items() if its}

    def _limited(self) -> dict[str, Limit]:
        limits, order = self._weather.limits, self._shuffled("limited")
        number = _share_of(len(order), self._weather.accounts_a_limit) if limits else 0
        return {
            account: Limit(
                messages=self._weather.least_a_day + int(2 * chance(self._seed, "limit", account)),
                event=limits[place % len(limits)],
            )
            for place, account in enumerate(order[:number])
        }

    def _shuffled(self, what: str) -> list[str]:
        return sorted(self._accounts, key=lambda account: chance(self._seed, what, account))


class WeatherDay:
    """One day of the forecast as it comes about: counts each account's attempts and messages."""

    def __init__(self, forecast: Forecast, number: int) -> None:
        self._forecast = forecast
        self._number = number  # from 0
        self._attempts: Counter[str] = Counter()
        self._messages: Counter[str] = Counter()  # that were taken
        self._appointed = forecast.appointments(number)

    def attempt(self, account: str) -> Event | None:
        """An attempt begins. What is to befall it: what is appointed and has yet to come, else what chance brings."""
        self._attempts[account] += 1
        its, attempt = self._appointed.get(account), self._attempts[account]
        if its and its[0].attempt <= attempt:
            return its[0].event
        return self._forecast.event(account, self._number, attempt)

    def befell(self, account: str, event: Event) -> None:
        """The attempt got as far as that: if it was appointed, that is done with."""
        its = self._appointed.get(account)
        if its and its[0].event is event:
            its.pop(0)

    def took(self, account: str) -> None:
        """A message of the account was taken."""
        self._messages[account] += 1

    def limited(self, account: str, phase: Phase) -> Event | None:
        """What is answered in this phase to who has used up the day."""
        limit = self._forecast.limit(account)
        if limit is None or limit.event.phase is not phase or self._messages[account] < limit.messages:
            return None
        return limit.event


def _share_of(number: int, per: int) -> int:
    """One for every `per` that were begun; none when `per` is 0."""
    return math.ceil(number / per) if per else 0
