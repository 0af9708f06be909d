"""The Dockerfile, read: its stages, and what each says, with the values of its ARGs put in."""

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True, slots=True)
class Instruction:
    verb: str  # RUN, COPY ...
    text: str  # what follows it, continued lines joined

    @property
    def words(self) -> list[str]:
        """Of the JSON form, or of a shell's."""
        return json.loads(self.text) if self.text.startswith("[") else shlex.split(self.text)


@dataclass(kw_only=True, slots=True)
class Stage:
    image: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, verb: str) -> list[Instruction]:
        return [one for one in self.instructions if one.verb == verb]

    def last(self, verb: str) -> Instruction:
        return self.all(verb)[-1]

    @property
    def environment(self) -> dict[str, str]:
        """What its ENVs say together."""
        return dict(word.split("=", 1) for one in self.all("ENV") for word in one.words)

    @property
    def directory(self) -> str:
        return self.last("WORKDIR").text


def read_dockerfile(path: Path = ROOT / "Dockerfile") -> list[Stage]:
    """The stages in order."""
    text = re.sub(r"^#.*\n", "", path.read_text(), flags=re.MULTILINE)
    text = re.sub(r"\\\n\s*", "", text)
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        verb, _, rest = line.partition(" ")
        rest = re.sub(r"\$\{(\w+)\}", lambda found: arguments.get(found[1], found[0]), rest.strip())
        if verb == "ARG":
            name, _, value = rest.partition("=")
            arguments[name] = value
        elif verb == "FROM":
            image, _, name = rest.partition(" AS ")
            stages.append(Stage(image=image, name=name))
        else:
            stages[-1].instructions.append(Instruction(verb=verb, text=rest))
    return stages
