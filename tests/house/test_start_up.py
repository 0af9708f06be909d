"""What a command does not need it does not wait for."""

import subprocess
import sys

REPORTS = "cli.main, warmupd.cli.session, warmupd.daemon.explain, warmupd.daemon.overview, warmupd.daemon.roster"
SLOW = "aioimaplib aiosmtplib cryptography dns fastapi httpx prometheus_client uvicorn"


def test_reports_load_no_library_of_mail_or_http() -> None:
    code = f"import sys, warmupd.{REPORTS}; print(*set({SLOW!r}.split()) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
