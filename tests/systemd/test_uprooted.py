"""What an uninstall leaves: the last of the tests, for nothing runs after it."""

import pytest

from tests.systemd.machine import Machine
from tests.systemd.test_units import WORKERS, until_healthy

pytestmark = pytest.mark.systemd

INSTALL = "/root/tree/scripts/install.sh"
LINKS = ("sh", "-c", "ls /etc/systemd/system/*.wants | grep warmupd")


@pytest.fixture(autouse=True)
def well_before(machine: Machine) -> None:
    machine.sure("systemctl", "start", "postgresql", "warmupd.target")
    until_healthy(machine)


def test_uninstall_lets_workers_drain_and_forgets_who_was_enabled(machine: Machine) -> None:
    """An instance that was started without the target counts as well."""
    machine.sure("systemctl", "start", "warmupd@auto-3")
    assert "warmupd@0.service" in machine.sure(*LINKS)
    machine.sure("sh", INSTALL, "uninstall")
    for worker in (*WORKERS, "auto-3"):
        assert machine.told(f"warmupd@{worker}.service", "worker.stopped")[-1], "it drained"
        assert machine.show(f"warmupd@{worker}.service", "ActiveState")["ActiveState"] == "inactive"
    assert machine.run(*LINKS).stdout == ""
    assert machine.sure("sh", "-c", "ls -d /usr/local/lib/warmupd* | wc -l; ls /etc/warmupd").split()[0] == "0"
