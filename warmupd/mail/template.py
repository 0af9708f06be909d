"""A template: text with variations `{this|or that}` and slots `{weekday}`, parsed once and rendered often."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import blake2b
from itertools import chain
from math import prod

_DEEPEST = 6  # variations within variations; more is a slip of the pen
_MOST_OPTIONS = 50  # of a variation: a byte draws among them
_LONGEST_WORD = 60  # so that no line of a message gets near the 78 characters of RFC 5322, section 2.1.1
_SLOT = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_SPECIAL = re.compile(r"[{|}]")
_GAP = re.compile(r"[{|](?=[|}\s])|\s[|}]|  ")
_FORBIDDEN = (
    (re.compile(r"https?|ftp:|://|\bwww\b", re.IGNORECASE), "a link"),
    (re.compile(r"@"), "an address (@)"),
    (re.compile(r"\b[\w-]{2,}\.[^\W\d_]{2,}\b"), "what reads as a domain name (is a space missing after a dot?)"),
    (re.compile(rf"\S{{{_LONGEST_WORD + 1},}}"), f"a word of more than {_LONGEST_WORD} characters"),
)


class TemplateError(ValueError):
    """What is wrong, and how many characters into the text."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


class Draw:
    """An endless series of choices that a text decides: the same on every machine and every Python."""

    __slots__ = ("byte",)

    def __init__(self, of: str) -> None:
        first = blake2b(of.encode()).digest()  # most draws need no second one
        self.byte: Callable[[], int] = chain(first, _bytes_after(first)).__next__  # even, from 0 to 255

    def below(self, count: int) -> int:
        """The next number, from 0 to `count` - 1; `count` is some hundreds at most."""
        return (self.byte() << 8 | self.byte()) % count


def _bytes_after(digest: bytes) -> Iterator[int]:
    while True:
        digest = blake2b(digest).digest()
        yield from digest


@dataclass(frozen=True, slots=True)
class _Slot:
    name: str


@dataclass(frozen=True, slots=True)
class _Choice:
    options: "tuple[str | _Nodes, ...]"  # a plain str where an option is nothing else: most are, and it saves a call


_Nodes = tuple[str | _Slot | _Choice, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed text. `variants` counts what its variations alone can yield, slots not counted."""

    nodes: _Nodes
    slots: frozenset[str]
    variants: int
    leaves_gaps: bool  # some alternative is empty or has a space at its end: what is left must be closed up

    def render(self, draw: Draw, facts: Mapping[str, str]) -> str:
        """One of its texts: `draw` chooses among variations, `facts` fills the slots."""
        pieces: list[str] = []
        _render(self.nodes, pieces.append, draw.byte, facts)
        text = "".join(pieces)
        if self.leaves_gaps:
            text = re.sub(r"\n{3,}", "\n\n", re.sub(r" *\n *", "\n", re.sub(r" {2,}", " ", text)))
        return text.strip()


def parse(text: str, known_slots: Collection[str] | None = None) -> Template:
    """The template in `text`: lines of a paragraph are joined, blank lines part paragraphs, lines that begin with "- "
    stay lines. Raises TemplateError; a slot must be one of `known_slots` unless that is None."""
    _forbid(text)
    nodes, end = _parse_sequence(text, 0, 0)
    if end < len(text):
        raise TemplateError("'}' or '|' without a '{' before it", end)
    for slot in _SLOT.finditer(text):
        if known_slots is not None and slot[1] not in known_slots:
            near = get_close_matches(slot[1], known_slots, n=1)
            hint = f"; did you mean {{{near[0]}}}?" if near else ""
            raise TemplateError(f"there is no slot {slot[0]}{hint}", slot.start())
    if _can_be_empty(nodes):
        raise TemplateError("it can come out empty", 0)
    return Template(nodes, frozenset(_SLOT.findall(text)), _variants(nodes), bool(_GAP.search(text)))


def _forbid(text: str) -> None:
    for position, character in enumerate(text):
        if not character.isprintable() and character != "\n":
            raise TemplateError(f"an invisible character (U+{ord(character):04X})", position)
    plain = _SPECIAL.sub(" ", text)  # as long as before, so that positions stay
    for pattern, what in _FORBIDDEN:
        found = pattern.search(plain)
        if found:
            raise TemplateError(f"{what} does not belong in a message: {found[0][:40]!r}", found.start())


def _render(nodes: _Nodes, add: Callable[[str], None], byte: Callable[[], int], facts: Mapping[str, str]) -> None:
    for node in nodes:
        if type(node) is str:
            add(node)
        elif type(node) is _Slot:
            add(facts[node.name])
        elif type(node) is _Choice:
            options = node.options
            option = options[byte() % len(options)]
            if isinstance(option, str):
                add(option)
            else:
                _render(option, add, byte, facts)


def _parse_sequence(text: str, start: int, depth: int) -> tuple[_Nodes, int]:
    """The nodes from `start` on, and where the sequence ends: at an unmatched "|" or "}", or at the end."""
    nodes: list[str | _Slot | _Choice] = []
    position = start
    while position < len(text) and text[position] not in "|}":
        slot = _SLOT.match(text, position)
        if slot:
            nodes.append(_Slot(slot[1]))
            position = slot.end()
        elif text[position] == "{":
            choice, position = _parse_choice(text, position, depth + 1)
            nodes.append(choice)
        else:
            special = _SPECIAL.search(text, position)
            end = special.start() if special else len(text)
            nodes.append(_joined_lines(text[position:end]))
            position = end
    return tuple(nodes), position


def _parse_choice(text: str, start: int, depth: int) -> tuple[_Choice, int]:
    if depth > _DEEPEST:
        raise TemplateError(f"variations are nested more than {_DEEPEST} deep", start)
    options: list[str | _Nodes] = []
    position = start
    while position == start or text[position] == "|":
        option, position = _parse_sequence(text, position + 1, depth)
        options.append("".join(map(str, option)) if all(type(node) is str for node in option) else option)
        if position == len(text):
            raise TemplateError("'{' is never closed", start)
    if len(options) == 1:
        raise TemplateError(f"{text[start : position + 1]!r} is neither a slot nor a choice with '|'", start)
    if len(options) > _MOST_OPTIONS:
        raise TemplateError(f"more than {_MOST_OPTIONS} alternatives in one variation", start)
    return _Choice(tuple(options)), position + 1


def _joined_lines(literal: str) -> str:
    return re.sub(r"\n{2,}|\n(?!- )", lambda gap: "\n\n" if len(gap[0]) > 1 else " ", literal)


def _can_be_empty(nodes: str | _Nodes) -> bool:
    if isinstance(nodes, str):
        return not nodes.strip()
    return all(
        not node.strip() if type(node) is str else type(node) is _Choice and any(map(_can_be_empty, node.options))
        for node in nodes
    )


def _variants(nodes: str | _Nodes) -> int:
    return prod(sum(map(_variants, node.options)) for node in nodes if type(node) is _Choice)
