"""The demo's day on Dovecot and Postfix, judged by what these servers themselves wrote down."""

import json
from pathlib import Path

import pytest

from tests.acceptance.test_demo import run_demo

pytestmark = pytest.mark.realmail


def test_every_mailbox_gets_its_quota_on_real_servers(tmp_path: Path) -> None:
    done = run_demo("--mail", "dovecot", "--mailboxes", "6", "--speed", "1800", "--json", cwd=tmp_path)
    report = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert (report["quota"], report["sent"], report["mailboxes_met"]) == (180, 180, 6)
    assert not any(report["violations"].values())
    assert report["server"]["accepted"] == 180
    assert report["server"]["filed"] > 0
    assert report["placement"]["SPAM"] > 0
    assert report["replies"] > 0
    assert report["rescued"] > 0


def test_nothing_is_left_behind(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(data_dir))
    done = run_demo("--mail", "dovecot", "--mailboxes", "2", "--speed", "5000", "--json", cwd=data_dir)
    assert done.returncode == 0, done.stderr
    assert list(data_dir.iterdir()) == []
