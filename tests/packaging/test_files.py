"""Dockerfile, compose.yaml and the Kubernetes example say the same as the program, and give nothing away."""

import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it comes with schemathesis, without types

from tests.packaging.dockerfile import ROOT, read_dockerfile
from warmupd import __version__
from warmupd.cli.signals import HURRIED_WITHIN
from warmupd.config import Config
from warmupd.config.sources import KNOWN_VARIABLES
from warmupd.daemon.options import stop_within

PORT = 3000
USER = 10001
DOCUMENTS = {
    document["kind"]: document for document in yaml.safe_load_all((ROOT / "deploy/kubernetes.yaml").read_text())
}


def compose() -> Any:
    return yaml.safe_load((ROOT / "compose.yaml").read_text())


def pod() -> Any:
    return DOCUMENTS["StatefulSet"]["spec"]["template"]["spec"]


def test_images_are_pinned() -> None:
    stages = read_dockerfile()
    assert len({stage.image for stage in stages}) == 1
    images = [stage.image for stage in stages] + [service["image"] for service in compose()["services"].values()]
    assert [image for image in images if not re.search(r":v?\d+\.\d+(\.\d+)?", image)] == []


def test_the_images_python_is_one_that_the_program_takes() -> None:
    assert re.match(r"python:3\.(1[1-9])\.\d+-slim-\w+$", read_dockerfile()[0].image)


def test_the_container_runs_as_nobody_special_and_ends_in_order() -> None:
    last = read_dockerfile()[-1]
    assert last.last("USER").text == f"{USER}:{USER}"
    assert last.last("STOPSIGNAL").text == "SIGTERM"
    assert '["python", "-I", "-m", "warmupd.cli.healthcheck"]' in last.last("HEALTHCHECK").text
    assert last.last("VOLUME").words == [last.directory]
    assert last.last("ENTRYPOINT").words + last.last("CMD").words == ["warmupd", "run", "--init"]


def test_the_container_listens_where_its_port_is_told() -> None:
    last = read_dockerfile()[-1]
    assert last.environment["WARMUP_HTTP__LISTEN"] == f"0.0.0.0:{last.last('EXPOSE').text}" == f"0.0.0.0:{PORT}"
    assert Config.isolated().http.port == PORT


def test_only_named_files_enter_the_image() -> None:
    ignored, *kept = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    copied = [word for stage in read_dockerfile() for one in stage.all("COPY") for word in one.words[:-1]]
    assert ignored == "*"
    assert {f"!{word}" for word in copied if not word.startswith(("--from", "/"))} == {k for k in kept if k[0] == "!"}
    assert all((ROOT / name.strip("!")).exists() for name in kept if name[0] == "!")


def test_no_secret_is_in_a_layer() -> None:
    for stage in read_dockerfile():
        assert not re.search(r"(?i)secret|password|token|database_url", " ".join(map(str, stage.environment)))


def test_versions_agree() -> None:
    assert f"VERSION={__version__}" in (ROOT / "Dockerfile").read_text()
    assert compose()["services"]["worker"]["image"] == f"warmupd:{__version__}"
    assert {one["image"] for one in pod()["containers"] + pod()["initContainers"]} == {f"warmupd:{__version__}"}


def variables() -> set[str]:
    named = set(compose()["services"]["worker"]["environment"]) | set(read_dockerfile()[-1].environment)
    return {one for one in named if "WARMUP" in one} | {one["name"] for one in pod()["containers"][0]["env"]}


def test_every_variable_is_one_that_the_program_knows() -> None:
    assert variables() - KNOWN_VARIABLES == set()


def test_compose_keeps_its_database_to_itself_and_its_secrets_in_files() -> None:
    services, secrets = compose()["services"], compose()["secrets"]
    assert "ports" not in services["postgres"]
    assert all(port.startswith("127.0.0.1:") for one in services.values() for port in one.get("ports", []))
    assert {name for one in services.values() for name in one.get("secrets", [])} == set(secrets)
    script = (ROOT / "scripts/compose-secrets.sh").read_text()
    assert set(re.findall(r"^make (\w+)", script, re.MULTILINE)) == set(secrets)
    assert {one["file"].split("/")[1] for one in secrets.values()} <= set(
        (ROOT / ".gitignore").read_text().split("/\n")
    ) | {"secrets"}


def test_compose_starts_three_workers_after_the_schema() -> None:
    worker = compose()["services"]["worker"]
    assert worker["deploy"]["replicas"] == 3
    assert worker["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert worker["ports"] == [f"127.0.0.1:{PORT}-{PORT + 2}:{PORT}"]


def told(pattern: str, file: str) -> list[str]:
    return re.findall(pattern, (ROOT / file).read_text(), re.MULTILINE)


def test_every_packaging_gives_a_worker_the_time_to_drain() -> None:
    seconds = {int(found) for file in ("Dockerfile", "docs/deployment.md") for found in told(r"stop -t (\d+)", file)}
    seconds |= {60 * int(compose()["services"]["worker"]["stop_grace_period"].removesuffix("m"))}
    seconds |= {60 * int(told(r"^TimeoutStopSec=(\d+)min$", "systemd/warmupd@.service")[0])}
    (allowed,) = seconds | {pod()["terminationGracePeriodSeconds"]}
    assert allowed >= stop_within(Config.isolated()) + HURRIED_WITHIN


def make_secrets(folder: Path) -> "subprocess.CompletedProcess[str]":
    script = ["sh", str(ROOT / "scripts/compose-secrets.sh"), str(folder), "db"]
    return subprocess.run(script, capture_output=True, text=True, check=False)


def test_secrets_take_a_password_of_ones_own_and_close_its_file(tmp_path: Path) -> None:
    (tmp_path / "postgres_password").write_text("my-own.Password_1~\n")
    (tmp_path / "postgres_password").chmod(0o666)
    done = make_secrets(tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "database_url").read_text() == "postgresql://warmupd:my-own.Password_1~@db:5432/warmupd\n"
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o444}


@pytest.mark.parametrize("password", ["p@ss/w:rd#1", "pässword", "two\nlines", "new\r\n", "", "\n"])
def test_secrets_refuse_a_password_that_a_url_cannot_hold(password: str, tmp_path: Path) -> None:
    (tmp_path / "postgres_password").write_text(password, newline="")
    done = make_secrets(tmp_path)
    assert done.returncode == 2
    assert "letters, digits" in done.stderr
    assert not (tmp_path / "database_url").exists()
    (tmp_path / "database_url").write_text("postgresql://db/warmupd")
    assert make_secrets(tmp_path).returncode == 0


@pytest.mark.parametrize("file", ["deploy/kubernetes.yaml", "docs/deployment.md"])
def test_pods_see_the_secrets_that_they_need_and_no_other(file: str) -> None:
    files = {one["value"] for one in pod()["containers"][0]["env"] if one["name"].endswith("_FILE")}
    assert {f"/run/secrets/warmupd/{name}" for name in told(r"--from-file=secrets/(\w*)", file)} == files


def test_prometheus_finds_the_workers_of_compose() -> None:
    settings = yaml.safe_load((ROOT / "monitoring/prometheus.compose.yml").read_text())
    (job,) = settings["scrape_configs"]
    assert job["dns_sd_configs"][0] | {"refresh_interval": ""} == {
        "names": ["worker"], "type": "A", "port": PORT, "refresh_interval": ""
    }  # fmt: skip
    assert Path(job["authorization"]["credentials_file"]).name in compose()["services"]["prometheus"]["secrets"]


def test_kubernetes_asks_where_the_program_answers() -> None:
    (container,) = pod()["containers"]
    assert container["ports"][0]["containerPort"] == PORT
    asked = {
        probe: container[probe]["httpGet"]["path"] for probe in ("livenessProbe", "readinessProbe", "startupProbe")
    }
    assert asked == {"livenessProbe": "/healthz", "readinessProbe": "/readyz", "startupProbe": "/healthz"}


def test_kubernetes_counts_as_many_workers_as_pods() -> None:
    values = {one["name"]: one for one in pod()["containers"][0]["env"]}
    assert int(values["WARMUP_WORKER__COUNT"]["value"]) == DOCUMENTS["StatefulSet"]["spec"]["replicas"]
    assert "pod-index" in values["WARMUP_WORKER__ID"]["valueFrom"]["fieldRef"]["fieldPath"]


@pytest.mark.parametrize("kind", ["containers", "initContainers"])
def test_pods_are_confined(kind: str) -> None:
    (container,) = pod()[kind]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod()["securityContext"]["runAsUser"] == USER
    assert not pod()["automountServiceAccountToken"]
