"""The demo's day on Dovecot and Postfix, judged by what these servers themselves wrote down."""

import json
from pathlib import Path

import pytest

from tests.acceptance.test_demo import run_demo

pytestmark = pytest.mark.realmail


def test_every_mailbox_gets_its_quota_on_real_servers(tmp_path: Path) -> None:
    done = run_demo("--mail", "dovecot", "--mailboxes", "6", "--speed", "1200", "--json", cwd=tmp_path)
    report = json.loads(done.stdout)
    assert not any(report["violations"].values()), report["violations"]
    assert (done.returncode, done.stderr) == (0, "")
    assert (report["quota"], report["sent"], report["mailboxes_met"]) == (180, 180, 6)
    assert report["server"]["accepted"] == 180
    assert report["server"]["filed"] > 0
    placed = report["placement"]  # each, by `misplaced`, where the server's own record has it
    assert sum(placed.values()) + report["unseen"] == 180  # what came too late for the day's last visit
    assert (placed["MISSING"], placed["SPAM"] > 0, placed["OTHER"] > 0) == (0, True, True)
    assert report["replies"] > 0
    assert report["rescued"] > 0


def test_nothing_is_left_behind(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data_dir.chmod(0o755)  # Dovecot and Postfix drop to users of their own
    monkeypatch.setenv("TMPDIR", str(data_dir))
    done = run_demo("--mail", "dovecot", "--mailboxes", "2", "--speed", "5000", "--json", cwd=data_dir)
    assert json.loads(done.stdout)["mailboxes"] == 2  # at this speed a busy machine may break a promise
    assert list(data_dir.iterdir()) == []
