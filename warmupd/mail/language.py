"""A language: its topics, words and manners, and the text of any message of a thread."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple
from zlib import crc32

from warmupd.mail.template import Draw, Template

NAME_SLOTS: Final = frozenset({"first_name", "sender_first_name"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Topic:
    """What a thread is about. `depths[0]` are the openers, `depths[n]` the alternatives of the n-th answer."""

    key: str  # language and file name, such as "en/lunch"
    subjects: tuple[Template, ...]
    depths: tuple[tuple[Template, ...], ...]


class Names(NamedTuple):  # made twice for each send: a frozen dataclass takes twice as long to make
    """The first names of the two who write, as this message sees them."""

    sender: str
    recipient: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Language:
    """Everything written in one language. What it says depends on the arguments alone."""

    name: str
    topics: Mapping[str, Topic]
    keys: tuple[str, ...]  # of topics, sorted
    words: Mapping[str, Sequence[str]]
    greetings: tuple[Template, ...]
    sign_offs: tuple[Template, ...]
    attributions: tuple[Template, ...]  # the line above a quote
    pleasantries: tuple[Template, ...]  # before a first message's text, now and then
    closings: tuple[Template, ...]  # after it
    any_answers: tuple[Template, ...]  # fit any thread

    def choose(self, seed: int) -> str:
        """The topic that a thread with this seed has."""
        return self.keys[Draw(f"topic {seed}").below(len(self.keys))]

    def subject(self, topic: str, seed: int, names: Names) -> str:
        """The subject of the thread's first message."""
        subjects = self.topics[topic].subjects
        draw = Draw(f"{topic} {seed} subject")
        return subjects[draw.below(len(subjects))].render(draw, Facts(self.words, f"{topic} {seed}", names))

    def body(self, topic: str, seed: int, depth: int, names: Names) -> str:
        """What the message at `depth` (1 for the first) says, without greeting and sign-off; paragraphs are parted by
        an empty line, lines are not yet wrapped. Past the topic's last answer, or when the topic is no longer there,
        it is a short answer that fits any thread."""
        known = self.topics.get(topic)
        alternatives = known.depths[depth - 1] if known and depth <= len(known.depths) else self.any_answers
        draw = Draw(f"{topic} {seed} {depth}")
        template = alternatives[draw.below(len(alternatives))]
        text = template.render(draw, Facts(self.words, f"{topic} {seed}", names))
        return text if depth > 1 else self._dressed(text, draw)

    def _dressed(self, text: str, draw: Draw) -> str:
        """A first message with what people say before they come to the point, and after it: half of them do."""
        if self.pleasantries and draw.below(2):
            text = f"{self.pleasantries[draw.below(len(self.pleasantries))].render(draw, {})} {text}"
        if self.closings and draw.below(2):
            text = f"{text}\n\n{self.closings[draw.below(len(self.closings))].render(draw, {})}"
        return text


class Facts(dict[str, str]):
    """The values of a thread's slots, drawn when first asked for: the same at every depth, whoever writes.

    Each slot draws by itself, so an answer knows the opener's {weekday} though it names no other slot of it.
    """

    __slots__ = ("_checksum", "_taken", "_words")

    def __init__(self, words: Mapping[str, Sequence[str]], thread: str, names: Names) -> None:
        super().__init__(first_name=names.recipient, sender_first_name=names.sender)
        self._words = words
        self._checksum = crc32(thread.encode())
        self._taken: tuple[str, ...] = (names.recipient, names.sender)  # nobody speaks of a colleague of the same name

    def __missing__(self, slot: str) -> str:
        values, taken = self._words.get(slot), self._taken
        if values is None:
            base = slot.removeprefix("other_")
            values, taken = self._words[base], (*taken, self[base])
        # A checksum is linear: without the multiplication lists of equal length would always move together.
        mixed = crc32(slot.encode(), self._checksum) * 0x9E3779B1 & 0xFFFFFFFF
        place = (mixed >> 8) % len(values)
        while values[place] in taken:  # ends: a list has more values than this can be
            place = (place + 1) % len(values)
        self[slot] = values[place]
        return values[place]
