"""Each mailbox keeps its own name, greeting and sign-off: in every message, to everybody, and after a restart."""

import json
import os
import subprocess
import sys
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from random import Random

import pytest

from tests.mail.test_message import KEY, LIBRARY, NOW, job
from warmupd.core.job import Thread
from warmupd.mail.content import BUILT_IN, Library
from warmupd.mail.message import Correspondent, compose
from warmupd.mail.persona import persona_of

NAMELESS = "m{}@alpha.example"
BOXES = [
    Correspondent(1, "anna@alpha.example", "Anna Smith"),
    Correspondent(2, "t.baker@beta.example"),
    *(Correspondent(number, NAMELESS.format(number)) for number in range(3, 11)),
]
Manners = tuple[str, str, str]  # name in From, greeting with ... for the name, the last two lines


def manners(messages: int = 40, library: Library = LIBRARY) -> dict[int, set[Manners]]:
    """What everybody's messages have, openers and answers, about all topics, to all the others."""
    rng, found = Random(5), dict[int, set[Manners]]()
    for number in range(messages):
        for writer in BOXES:
            reader = rng.choice([box for box in BOXES if box is not writer])
            depth = 1 + number % 4
            seed = rng.getrandbits(40)
            thread = Thread(topic=library.choose_topic(seed), seed=seed, depth=depth, subject="Lunch")
            message = compose(
                job(thread, number), sender=writer, recipient=reader, library=library, message_key=KEY, now=NOW
            )
            found.setdefault(writer.mailbox_id, set()).add(_manners(message.content, reader, library, depth))
    return found


def _manners(content: bytes, reader: Correspondent, library: Library, depth: int) -> Manners:
    mail = message_from_bytes(content, policy=default)
    text = mail.get_content().replace("\r\n", "\n")
    own = text.split("\n>")[0] if depth > 1 else text
    first_name = persona_of(reader, library.languages["en"]).first_name
    lines = [line for line in own.strip().split("\n") if line]
    if depth > 1 and "\n>" in text:
        lines.pop()  # the attribution
    greeting = lines[0].replace(first_name, "...") if lines[0].endswith(f"{first_name},") else ""
    return str(mail["From"]), greeting, "\n".join(lines[-2:])


def test_name_greeting_and_sign_off_are_the_same_in_every_message() -> None:
    for mailbox_id, seen in manners().items():
        assert len({(name, sign_off) for name, _, sign_off in seen}) == 1, mailbox_id
        assert len({greeting for _, greeting, _ in seen if greeting}) == 1, mailbox_id


def test_mailboxes_differ_from_each_other() -> None:
    seen = [one for its in manners(4).values() for one in its]
    assert len({name for name, _, _ in seen}) == len(BOXES)
    assert len({greeting for _, greeting, _ in seen if greeting}) >= 3
    assert len({sign_off.split("\n")[0] for _, _, sign_off in seen}) >= 5


def test_they_are_the_same_after_a_restart() -> None:
    """Another process, whose strings hash to something else."""
    script = "import json; from tests.mail.test_persona import manners;"
    script += "print(json.dumps({key: sorted(value) for key, value in manners(6).items()}))"
    environment = {**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": str(Path(__file__).parents[2])}
    told = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True, text=True)
    again = {int(key): {tuple(one) for one in value} for key, value in json.loads(told.stdout).items()}
    assert again == manners(6)


@pytest.mark.parametrize("greeting", ["{Hi|Hello|Dear|Hey|Good day} {first_name},"])
def test_greeting_that_leaves_a_choice_is_chosen_once(tmp_path: Path, greeting: str) -> None:
    text = (BUILT_IN / "en" / "_manners.txt").read_text()
    before, _, after = text.partition("[greeting]\n")
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "_manners.txt").write_text(
        f"[greeting]\n{greeting}\n\n[sign-off]{after.partition('[sign-off]')[2]}"
    )
    seen = manners(20, Library.load(tmp_path))
    for its in seen.values():
        assert len({one for _, one, _ in its if one}) == 1
    assert len({one for its in seen.values() for _, one, _ in its if one}) > 2
    assert before
