"""Makes dist/warmupd.pyz: the program and all it needs in one file, for this machine's kind of Python.

shiv packs it. Then it is packed anew: with a start that says where it cannot run (scripts/binary_main.py), and without
what pip notes of the machine it ran on, so that two makings of one tree are the same to the byte.
"""

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

TREE = Path(__file__).parents[1]
ENTRY = "warmupd.cli.entry:main"
NOTES_OF_PIP = re.compile(r"site-packages/(bin/.*|[^/]+\.dist-info/(RECORD|INSTALLER|REQUESTED|direct_url\.json))")
EPOCH = (1980, 1, 1, 0, 0, 0)


def main(target: Path) -> None:
    """Build the wheel, pack it with its dependencies, and write `target`."""
    os.umask(0o022)
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder, target.name)
        run("build", "--wheel", "--no-isolation", "--outdir", folder, str(TREE))
        (wheel,) = Path(folder).glob("*.whl")
        extras = ("--constraint", str(TREE / "constraints.txt"), f"{wheel}[demo]")
        run("shiv", "--quiet", "--reproducible", "-E", "-c", "warmupd", "-o", str(draft), "--no-compile", *extras)
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_name(f".{target.name}")
        repack(draft, fresh)
    fresh.chmod(0o755)
    fresh.replace(target)
    print(f"{target}  {target.stat().st_size / 1e6:.1f} MB, for {' on '.join(list(kind().values()))}")


def run(module: str, *arguments: str) -> None:
    """A tool of this Python; what it says is shown when it fails."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{module} failed:\n{done.stdout}")


def kind() -> dict[str, str]:
    """Of Python and of machine that the compiled parts are for."""
    major, minor = sys.version_info[:2]
    return {
        "python": f"{platform.python_implementation()} {major}.{minor}",
        "system": f"{sys.platform} {platform.machine()}",
    }


def repack(draft: Path, target: Path) -> None:
    """The same contents in a fixed order, with our own start."""
    with zipfile.ZipFile(draft) as archive:
        infos = {info.filename: info for info in archive.infolist() if not info.is_dir()}
        kept = sorted(name for name in infos if not NOTES_OF_PIP.fullmatch(name))
        contents = {name: archive.read(name) for name in kept}
    made = kind() | {"glibc": glibc(contents), "bytes": 2 * sum(map(len, contents.values()))}  # and what it compiles
    start = (TREE / "scripts/binary_main.py").read_text("utf-8").replace("MADE_FOR = {}", f"MADE_FOR = {made!r}")
    contents["__main__.py"] = start.encode()
    environment = json.loads(contents.pop("environment.json")) | {"entry_point": ENTRY, "build_id": digest(contents)}
    contents["environment.json"] = json.dumps(environment, sort_keys=True).encode()
    with target.open("wb") as file:
        file.write(b"#!/usr/bin/env python3\n")
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for name in sorted(contents):
                info = zipfile.ZipInfo(name, EPOCH)
                info.compress_type = zipfile.ZIP_DEFLATED
                executable = name in infos and infos[name].external_attr >> 16 & 0o111
                info.external_attr = (0o100755 if executable else 0o100644) << 16
                archive.writestr(info, contents[name])


def glibc(contents: dict[str, bytes]) -> list[int]:
    """The oldest glibc that all compiled parts run with, as their wheels say; empty where none says."""
    needed = [0, 0]
    for name, content in contents.items():
        if name.endswith(".dist-info/WHEEL"):
            names = re.findall(r"manylinux_(\d+)_(\d+)|manylinux(2014)", content.decode())
            tags = [[2, 17] if old else [int(major), int(minor)] for major, minor, old in names]
            needed = max(needed, min(tags, default=[0, 0]))
    return needed if any(needed) else []


def digest(contents: dict[str, bytes]) -> str:
    """Of all that is packed: another name for everything that differs."""
    told = hashlib.sha256()
    for name in sorted(contents):
        told.update(f"{name}\n{len(contents[name])}\n".encode() + contents[name])
    return told.hexdigest()


if __name__ == "__main__":
    main(Path(sys.argv[1] if sys.argv[1:] else TREE / "dist/warmupd.pyz").absolute())
