# The first code of warmupd.pyz, put there by scripts/binary.py. It must be readable for any Python that somebody may
# start it with, as old as that may be: it says so where this one cannot run the rest.
"""Says where it cannot run; else unpacks what is packed here, once for this user, and starts it."""

import os
import platform
import sys

MADE_FOR = {}  # what scripts/binary.py knows of the machine that it was made on
FAILED = 2


def main():
    wrong = unfit()
    if wrong:
        sys.stderr.write("error: %s\n" % wrong)
        sys.exit(FAILED)
    name = unpacked_name()
    os.environ["SHIV_ROOT"] = root = cache(name)
    from _bootstrap import bootstrap

    hold(root, name)
    bootstrap()


def unfit():
    """Why this Python, or machine, cannot run it; None when it can."""
    here = {
        "python": "%s %d.%d" % ((platform.python_implementation(),) + tuple(sys.version_info[:2])),
        "system": "%s %s" % (sys.platform, platform.machine()),
    }
    made = MADE_FOR
    if here["python"] != made["python"] or here["system"] != made["system"]:
        command = "python" + made["python"].split()[-1]
        return (
            "this file was made for %s on %s; this is %s on %s\n       start it with %s where that is installed,"
            " or make one for this machine from the source tree: make binary"
            % (made["python"], made["system"], here["python"], here["system"], command)
        )
    libc, version = platform.libc_ver()
    needed = tuple(made["glibc"])
    if needed and (libc != "glibc" or tuple(int(part) for part in version.split(".")[:2]) < needed):
        return (
            "this file needs glibc %d.%d or newer; here is %s\n       on this machine install the wheel with pip"
            " instead, or run a container" % (needed + ((" ".join([libc, version]).strip() or "another C library"),))
        )
    return None


def unpacked_name():
    """Of the directory that shiv unpacks to: another one for everything that differs."""
    import json
    import zipfile

    with zipfile.ZipFile(sys.argv[0]) as archive:
        build = json.loads(archive.read("environment.json").decode())["build_id"]
    return "%s_%s" % (os.path.basename(os.path.realpath(sys.argv[0])), build)


def cache(name):
    """Where it is unpacked: a directory of this user's, with room, where files may be written and programs run."""
    for place in places():
        try:
            os.makedirs(place, 0o755 if os.geteuid() == 0 else 0o700, exist_ok=True)
            its, disk = os.stat(place), os.statvfs(place)
            if its.st_uid != os.geteuid() or its.st_mode & 0o022 or disk.f_flag & os.ST_NOEXEC:
                continue  # another user could put something there, or nothing in it could be run
            if disk.f_bavail * disk.f_frsize < MADE_FOR["bytes"] and not os.path.exists(os.path.join(place, name)):
                continue
            if os.access(place, os.W_OK | os.X_OK):
                return place
        except OSError:
            continue
    sys.stderr.write(
        "error: no directory to unpack to: %s\n       set XDG_CACHE_HOME to one of this user alone, with %d MB free,"
        " where programs may be run\n" % (", ".join(places()), MADE_FOR["bytes"] // 1000000)
    )
    sys.exit(FAILED)


def places():
    """Best first. Root's is open for reading: the embedded Postgres runs as another user then."""
    user = os.geteuid()
    home = "/var/cache" if user == 0 else os.path.join(os.path.expanduser("~"), ".cache")
    asked = [os.environ.get("SHIV_ROOT"), os.environ.get("XDG_CACHE_HOME")]
    found = [asked[0]] if asked[0] else []
    found += [os.path.join(base, "warmupd", "pyz") for base in (asked[1], home) if base and os.path.isabs(base)]
    return found + [os.path.join(os.environ.get("TMPDIR") or "/tmp", "warmupd-%d" % user, "pyz")]


def hold(root, ours):
    """Mark what is ours as in use for as long as this process lives, and take away versions that nobody uses."""
    import fcntl
    import shutil

    def locked(name, how):
        file = os.open(os.path.join(root, ".%s.in-use" % name), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, how)
        except OSError:
            os.close(file)
            return None
        return file

    locked(ours, fcntl.LOCK_SH)  # let go of when the process ends
    for name in os.listdir(root):
        version = name[: -len(".tmp")] if name.endswith(".tmp") else name
        if name.startswith(".") or version == ours or ".pyz_" not in name:
            continue
        file = locked(version, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if file is not None:
            shutil.rmtree(os.path.join(root, name), ignore_errors=True)
            os.close(file)


if __name__ == "__main__":
    main()
