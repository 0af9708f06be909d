"""The measuring of what Postgres pays for a send runs, small; how fast it is says nothing here."""

import sys

import pytest

from tests.bench import postgres_cost


def test_reserve_and_settle_are_measured_with_one_worker_and_with_two(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = "--mailboxes 400 --users 100 --jobs 500 --sends 40 --rounds 1 --fsync off --accounts"
    monkeypatch.setattr(sys, "argv", ["bench", *small.split(), "--batches", "5", "20", "--workers", "1", "2"])
    postgres_cost.main()
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert [line[:3] for line in lines] == [["off", workers, size] for workers in "12" for size in ("5", "20")]
    assert all(float(line[3].replace(",", "")) > 0 for line in lines), "nothing was sent"
