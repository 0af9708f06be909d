"""The hunt for secrets: each one, in each form that it might take, in all that a program says, writes and shows."""

import base64
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

PIECE = 12  # characters of a secret that are enough of it to be found


class Hunt:
    """`secrets` by what they are, for the message of a failure."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._forms = {form: name for name, secret in secrets.items() for form in forms(secret)}
        self._whole = {secret.encode(): name for name, secret in secrets.items()}
        self._any = re.compile("|".join(map(re.escape, sorted(self._forms, key=len, reverse=True))), re.IGNORECASE)
        self.searched = 0

    def search(self, place: str, text: str) -> list[str]:
        """Which secrets stand there: `what in where: around it`."""
        self.searched += len(text)
        return [
            f"{self._name(match[0])} in {place}: {text[max(match.start() - 40, 0) : match.end() + 20]!r}"
            for match in self._any.finditer(text)
        ]

    def search_files(self, folder: Path, *, but: Iterable[Path] = ()) -> list[str]:
        """The same for the whole secrets, in the octets of all files there."""
        found = []
        for file in sorted(folder.rglob("*")):
            if not file.is_file() or file in set(but):
                continue
            octets = file.read_bytes()
            self.searched += len(octets)
            found += [f"{name} in {file}" for secret, name in self._whole.items() if secret in octets]
        return found

    def _name(self, form: str) -> str:
        folded = form.lower()
        return next(name for known, name in self._forms.items() if known.lower() == folded)


def forms(secret: str) -> set[str]:
    """A secret and its pieces, plain, quoted, escaped, backwards, in hex and in each shift of base64."""
    pieces = {secret[at : at + PIECE] for at in range(max(1, len(secret) - PIECE + 1))}
    written = {quote(secret, safe=""), quote_plus(secret), repr(secret)[1:-1], json.dumps(secret)[1:-1], secret[::-1]}
    octets = secret.encode()
    coded = {octets.hex(), octets.decode("latin-1").encode("unicode_escape").decode()}
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + octets).decode().rstrip("=")
        inner = text[-(-shift * 8 // 6) : -1]  # without the characters that its neighbours have a share in
        coded |= {inner, inner.replace("+", "-").replace("/", "_")}
    return {form for form in pieces | written | coded if len(form) >= 6}


def processes(pid: int) -> Iterator[tuple[str, str]]:
    """The command line and the environment of a process and all below it."""
    for name in ("cmdline", "environ"):
        yield (
            f"{name} of {pid}",
            Path(f"/proc/{pid}/{name}").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"),
        )
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            if os.path.exists(f"/proc/{child}"):
                yield from processes(int(child))
