"""A persona: how the person behind a mailbox writes; the same in every message, for ever."""

import re
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

from warmupd.mail.header_text import clean
from warmupd.mail.language import Language
from warmupd.mail.template import Draw, Template

_LONGEST_NAME = 100  # characters; display names in use are under 70
_LONGEST_WORD = 30
_TITLES = {"dr", "prof", "mr", "mrs", "ms", "mx", "herr", "frau", "ir", "ing"}
_LIKE_AN_ADDRESS = re.compile(r"[@:/\\<>|{}]|\.\w")
_NAMED_LOCAL_PART = re.compile(r"([a-z]{2,20})[._-]([a-z]{2,30})", re.IGNORECASE)
_OFFICES = re.compile(r"admin|contact|desk|hello|help|info|mail|no|noreply|office|reply|sales|service|support|team")


class Correspondent(NamedTuple):  # made twice for each send: a frozen dataclass takes twice as long to make
    """One of the two of a thread. `display_name` is the owner's word for it; "" means that he gave none."""

    mailbox_id: int
    address: str
    display_name: str = ""


class Quoting(IntEnum):
    """How much of the parent a persona leaves below its answer."""

    NOTHING = 0
    BEGINNING = 1  # the greeting and the first paragraph
    ALL = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What others know a mailbox's writer by."""

    display_name: str  # for the From and To headers
    first_name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Persona(Known):
    """The habits of one mailbox's writer."""

    greeting: Template
    habit: str  # what its words are drawn by where `greeting` leaves a choice: the same ones in every message
    greets_in_answers: bool
    sign_off: str  # with the name below it, as it stands under a message
    quoting: Quoting
    attribution: Template


def known_as(who: Correspondent, language: Language) -> Known:
    """The names of this mailbox's persona: all that a first message needs of its reader."""
    display_name, words = _named(who, language)
    return Known(display_name=display_name, first_name=words[0])


@lru_cache(maxsize=4096)  # of no use to the largest fleets, but then it is three megabytes
def persona_of(who: Correspondent, language: Language) -> Persona:
    """The persona of this mailbox in this language. A name that neither the owner nor the address tells is made up
    from the mailbox id."""
    draw = Draw(f"persona {who.mailbox_id}")
    display_name, words = _named(who, language)
    sign_off = language.sign_offs[draw.below(len(language.sign_offs))].render(draw, {})
    signed = words[0] if draw.below(3) else " ".join(words[:4])
    return Persona(
        display_name=display_name,
        first_name=words[0],
        greeting=language.greetings[draw.below(len(language.greetings))],
        habit=f"greeting {who.mailbox_id}",
        greets_in_answers=draw.below(2) == 0,
        sign_off=f"{sign_off}\n{signed}",
        quoting=Quoting(draw.below(3)),
        attribution=language.attributions[draw.below(len(language.attributions))],
    )


def _named(who: Correspondent, language: Language) -> tuple[str, list[str]]:
    """The display name and its words, made up where nobody tells any."""
    display_name, words = _name_of(who)
    if not words:
        colleagues, surnames = language.words["colleague"], language.words["surname"]
        name = Draw(f"name {who.mailbox_id}")  # apart, so that a name given later does not change the habits
        words = [colleagues[name.below(len(colleagues))], surnames[name.below(len(surnames))]]
        display_name = " ".join(words)
    return display_name, words


def _name_of(who: Correspondent) -> tuple[str, list[str]]:
    """The display name and its words: the owner's, else what an address such as anna.smith@... tells, else none."""
    name = clean(who.display_name, _LONGEST_NAME)
    words = _words_of(name) if "@" not in name else []
    if words:
        return name, words
    parts = _NAMED_LOCAL_PART.fullmatch(who.address.rpartition("@")[0])
    if parts and not any(_OFFICES.fullmatch(part.lower()) for part in parts.groups()):
        words = [parts[1].capitalize(), parts[2].capitalize()]
    return " ".join(words), words


def _words_of(display_name: str) -> list[str]:
    """The words that people would greet by, in spoken order: no titles, no punctuation, nothing like a link."""
    last, comma, first = display_name.partition(",")
    spoken = f"{first} {last}" if comma else display_name
    words = [word.strip(".;()[]\"'*!?") for word in spoken.split()]
    return [
        word
        for word in words
        if word.lower() not in _TITLES
        and any(map(str.isalpha, word))
        and not _LIKE_AN_ADDRESS.search(word)
        and len(word) <= _LONGEST_WORD
    ]
