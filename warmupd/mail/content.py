"""The template library: loads every language from the built-in and the owner's files, refuses what is malformed."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

from warmupd.errors import ContentError
from warmupd.mail.language import NAME_SLOTS, Language, Topic
from warmupd.mail.template import Template
from warmupd.mail.template_file import Section, file_error, read_sections

BUILT_IN: Final = Path(__file__).parent / "templates"
FEWEST_ANSWERS: Final = 3
_FEWEST_WORDS = 4  # in a list: so that {other_...} and the avoidance of the writers' own names always find one
_MOST_WORDS = 10_000
_RANGE = re.compile(r"(\d{1,6})\.\.(\d{1,6})")
_ANSWER = re.compile(r"answer ([1-9]\d?)")
_MANNERS = ("greeting", "sign-off", "attribution")
_SMALL_TALK = ("pleasantry", "closing")  # a language can do without


@dataclass(frozen=True, kw_only=True, slots=True)
class Library:
    """All languages at hand. A topic's key carries its language ("en/lunch"), so a thread stays in the one it began
    in, whatever the mailboxes are set to."""

    languages: Mapping[str, Language]
    default: str

    @classmethod
    def load(cls, templates_dir: Path | None = None, language: str = "en") -> "Library":
        """Read the built-in languages and `templates_dir`/<language>/*.txt over them: an owner's topic is added, or
        replaces the one of the same file name. `language` is what `choose_topic` takes when it is not told.

        Raises ContentError that names file, line and remedy.
        """
        roots = [BUILT_IN] if templates_dir is None else [BUILT_IN, _owner_root(templates_dir)]
        names = sorted({folder.name for root in roots for folder in root.iterdir() if _holds_templates(folder)})
        library = cls(
            languages={name: _language(name, [root / name for root in roots]) for name in names},
            default=language,
        )
        library.language(language)
        return library

    def language(self, name: str) -> Language:
        """The language of that name; ContentError names those there are."""
        try:
            return self.languages[name]
        except KeyError:
            raise ContentError(
                f"there are no templates in the language {name!r}, only in: {', '.join(self.languages)}",
                remedy=f"set content.language to one of these, or write {name}/*.txt in content.templates_dir",
            ) from None

    def choose_topic(self, seed: int, language: str | None = None) -> str:
        """The topic of a new thread with this seed, in `language` where it is known; the same seed, the same topic."""
        return self.languages.get(language or self.default, self.languages[self.default]).choose(seed)

    def language_of(self, topic: str, otherwise: str | None = None) -> Language:
        """The language that `topic` belongs to; when it is none of ours any more, `otherwise` or the default."""
        known = self.languages.get(topic.partition("/")[0])
        return known or self.languages.get(otherwise or self.default) or self.languages[self.default]


def _owner_root(templates_dir: Path) -> Path:
    if not templates_dir.is_dir():
        raise ContentError(
            f"content.templates_dir {templates_dir} is not a directory", remedy="create it, or take the setting out"
        )
    if not any(map(_holds_templates, templates_dir.iterdir())):
        raise ContentError(
            f"content.templates_dir {templates_dir} holds no templates",
            remedy=f"put them in a folder named for their language, such as {templates_dir / 'en'}",
        )
    return templates_dir


def _holds_templates(folder: Path) -> bool:
    return folder.is_dir() and any(folder.glob("*.txt"))


def _language(name: str, folders: Sequence[Path]) -> Language:
    if [folder for folder in folders if folder.is_dir()] == [BUILT_IN / name]:
        return _built_in(name)
    return _load_language(name, folders)


@cache
def _built_in(name: str) -> Language:
    """Read once: it takes a tenth of a second, and what comes with the program stays as it is while that runs."""
    return _load_language(name, [BUILT_IN / name])


@dataclass(kw_only=True, slots=True)
class _Draft:
    """The files of one language, later folders over earlier ones."""

    words: dict[str, Sequence[str]] = field(default_factory=dict)
    manners: dict[str, Section] = field(default_factory=dict)
    any_answers: list[Section] = field(default_factory=list)
    topics: dict[str, list[Section]] = field(default_factory=dict)


def _load_language(name: str, folders: Sequence[Path]) -> Language:
    draft = _Draft()
    for path in [path for folder in folders for path in sorted(folder.glob("*.txt"))]:
        _add_file(draft, path)
    _refuse_incomplete(name, draft)
    slots = NAME_SLOTS | set(draft.words) | {f"other_{word}" for word in draft.words}
    return Language(
        name=name,
        topics={f"{name}/{key}": _topic(f"{name}/{key}", sections, slots) for key, sections in draft.topics.items()},
        keys=tuple(sorted(f"{name}/{key}" for key in draft.topics)),
        words=draft.words,
        greetings=_manners(draft, "greeting", {"first_name"}),
        sign_offs=_manners(draft, "sign-off"),
        attributions=_manners(draft, "attribution", {"name"}),
        pleasantries=_manners(draft, "pleasantry"),
        closings=_manners(draft, "closing"),
        any_answers=tuple(section.block(slots) for section in draft.any_answers),
    )


def _add_file(draft: _Draft, path: Path) -> None:
    sections = read_sections(path)
    match path.name:
        case "_words.txt":
            draft.words |= {section.heading: _word_list(section) for section in sections}
        case "_manners.txt":
            draft.manners |= {_expected(section, (*_MANNERS, *_SMALL_TALK)).heading: section for section in sections}
        case "_any.txt":
            draft.any_answers = [_expected(section, {"answer"}) for section in sections]
        case _ if re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", path.stem):
            if [section.heading for section in sections] == ["off"]:
                draft.topics.pop(path.stem, None)
            else:
                draft.topics[path.stem] = sections
        case _:
            raise file_error(
                path, "a topic's file name has only a-z, 0-9 and '-'", remedy="rename it, such as to new-office.txt"
            )


def _expected(section: Section, headings: Collection[str]) -> Section:
    if section.heading not in headings:
        raise section.error(f"is not a heading of this file; it takes {', '.join(f'[{one}]' for one in headings)}")
    return section


def _word_list(section: Section) -> Sequence[str]:
    """The values of a slot: a line each, or all whole numbers of a range such as 1000..9999."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", section.heading) or section.heading.startswith("other_"):
        raise section.error("is no name for a slot: it has only a-z, 0-9 and '_', and does not begin with other_")
    if section.heading in NAME_SLOTS:
        raise section.error("is the name of a slot that is filled from the mailboxes")
    numbers = _RANGE.fullmatch(section.text)
    if numbers:
        first, last = int(numbers[1]), int(numbers[2])
        values = tuple(map(str, range(first, min(last, first + _MOST_WORDS) + 1)))
    else:
        section.each_row(())  # what is forbidden in a message is forbidden here
        values = tuple(dict.fromkeys(row for _, row in section.rows))
    if not _FEWEST_WORDS <= len(values) <= _MOST_WORDS:
        raise section.error(f"has {len(values)} different values; it needs {_FEWEST_WORDS} to {_MOST_WORDS}")
    return values


def _manners(draft: _Draft, heading: str, slots: Collection[str] = ()) -> tuple[Template, ...]:
    return tuple(draft.manners[heading].each_row(slots)) if heading in draft.manners else ()


def _refuse_incomplete(name: str, draft: _Draft) -> None:
    missing = [f"[{part}] in _manners.txt" for part in _MANNERS if part not in draft.manners]
    missing += [f"[{part}] in _words.txt" for part in ("colleague", "surname") if part not in draft.words]
    missing += [] if draft.any_answers else ["[answer] in _any.txt"]
    missing += [] if draft.topics else ["a topic"]
    if missing:
        raise ContentError(
            f"the language {name!r} lacks: {', '.join(missing)}",
            remedy="docs/templates.md says what a language needs",
        )


def _topic(key: str, sections: list[Section], slots: Collection[str]) -> Topic:
    subjects: list[Template] = []
    depths: dict[int, list[Template]] = {}
    for section in sections:
        answer = _ANSWER.fullmatch(section.heading)
        if section.heading == "subjects":
            subjects += section.each_row(slots)
        elif section.heading == "opener" or answer:
            depths.setdefault(int(answer[1]) if answer else 0, []).append(section.block(slots))
        else:
            raise section.error(
                "is not a heading of a topic; those are [subjects], [opener], [answer 1], [answer 2] ..."
            )
    if not subjects:
        raise file_error(sections[0].path, f"topic {key} has no [subjects]")
    for depth in range(max(FEWEST_ANSWERS, *depths) + 1 if depths else 1):
        if depth not in depths:
            wanted = f"[answer {depth}]" if depth else "[opener]"
            raise file_error(
                sections[0].path,
                f"topic {key} has no {wanted}",
                remedy=f"a topic has an opener and answers 1 to {FEWEST_ANSWERS} at least, none left out",
            )
    return Topic(key=key, subjects=tuple(subjects), depths=tuple(tuple(depths[at]) for at in sorted(depths)))
