"""The wheel holds what the program needs: built from a copy of the tree, unpacked, and run from there."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "dist", "build", "tests")


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the contents of a freshly built wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, folder / "tree", ignore=NOT_COPIED)
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(folder),
        str(folder / "tree"),
    ]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def test_every_file_of_the_package_is_in_the_wheel(unpacked: Path) -> None:
    package = {file.relative_to(ROOT) for file in (ROOT / "warmupd").rglob("*") if file.is_file()}
    sql = {Path("warmupd") / file.relative_to(ROOT) for file in (ROOT / "sql").rglob("*.sql")}
    wanted = {file for file in package if "__pycache__" not in file.parts} | sql
    assert sql
    assert {str(file) for file in wanted if not (unpacked / file).is_file()} == set()


def test_migrations_are_found_in_the_wheel(unpacked: Path, tmp_path: Path) -> None:
    program = (
        "import warmupd, warmupd.store.migrate as migrate\n"
        "print(warmupd.__file__)\n"
        "print(*[migration.file for migration in migrate.read_migrations()])\n"
    )
    environ = {"PYTHONPATH": str(unpacked), "PYTHONDONTWRITEBYTECODE": "1"}
    (tmp_path / "elsewhere").mkdir()
    output = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path / "elsewhere",
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert output[0] == str(unpacked / "warmupd/__init__.py")
    assert output[1].split() == sorted(file.name for file in (ROOT / "sql").glob("*.sql"))
