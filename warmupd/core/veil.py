"""What of a mail server's words may be shown to somebody who must not learn whom a message went to, or came from."""

import re
import unicodedata
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

HIDDEN = "[another user's address]"
CUT = 300  # characters: of words that were cut at this length the last may be a piece of what is to be hidden
_AT = "(?:[@\N{FULLWIDTH COMMERCIAL AT}\N{SMALL COMMERCIAL AT}]|%40)"  # the last as in the links that servers give
_ADDRESS = rf'(?:"[^"]{{0,64}}"(?={_AT}))?[^\s<>]{{0,400}}{_AT}[^\s<>]*'
_SOUGHT = re.compile(_ADDRESS, re.IGNORECASE)
_SIGNS = ("@", "%40", HIDDEN)  # one of them is in whatever `_compiled(())` finds in ASCII in lower case
_BESIDE = "'\"()[]{},;:.!?"  # may stand around an address in a sentence
_PATTERNS = 512  # sets of words that are kept compiled; mostly one domain each, as local parts are seldom repeated


@dataclass(kw_only=True, slots=True)  # not frozen: made for each send (core/job.py)
class Ends:
    """Both ends of a message. What a server says of it is told to one without the other, unless one user has both."""

    sender: str  # its address; "": not known any more
    recipient: str
    same_user: bool

    def for_sender(self, said: str) -> str:
        """As the sender's owner may read it."""
        return said if self.same_user else veil(said, own=[self.sender], hide=_words(self.recipient))

    def for_recipient(self, said: str) -> str:
        """As the recipient's owner may read it."""
        return said if self.same_user else veil(said, own=[self.recipient], hide=_words(self.sender))

    def for_others(self, said: str, *, host: str) -> str:
        """As everybody may read it who has mailboxes on the mail server `host`, whose name they know."""
        words = [*_words(self.sender), *_words(self.recipient)]
        return veil(said, own=(), hide=[word for word in words if not f".{host.lower()}".endswith(f".{word}")])


def veil(text: str, *, own: Collection[str], hide: Collection[str] = ()) -> str:
    """`text` without the e-mail addresses that are not among the reader's `own`, and without the words to `hide`.

    Servers repeat the recipient in their refusals, and sometimes only its name or its domain: that is what `hide` is
    for. A domain is hidden in whatever name it is part of, but for one that the reader has, too. An address is all
    that stands around an @ up to the next blank or angle bracket: rather too much than a piece of it. What is veiled
    already stays as it is.
    """
    kept = {form for address in own for form in _forms(address)}
    known = {address.rpartition("@")[2] for address in kept}
    words = {form for word in hide if word for form in _forms(word)} - known
    text = unicodedata.normalize("NFC", text)
    if hide and len(text) >= CUT and text.endswith("..."):
        text = f"{text[:-3].rpartition(' ')[0]} ..."
    low = text.lower()
    met = tuple(sorted((word for word in words if _may_occur(word, low)), key=lambda word: (-len(word), word)))
    if not met and low.isascii() and not any(sign in low for sign in _SIGNS):
        return text  # as nearly every acceptance: there is nothing to look for

    def told(found: re.Match[str]) -> str:
        stem = found[0].rstrip(_BESIDE)
        if found[0] == HIDDEN or found[0] == "@" or _fold(stem.lstrip(_BESIDE)) in kept:
            return found[0]
        return HIDDEN + found[0][len(stem) :]

    return _compiled(met).sub(told, text)


def addresses_in(text: str) -> set[str]:
    """What `veil` takes for addresses there, in lower case."""
    found = _SOUGHT.findall(unicodedata.normalize("NFC", text)) if text else []
    return {_fold(one).strip(_BESIDE) for one in found if one != "@"}


def _words(address: str) -> list[str]:
    """What servers call it when they do not say the whole of it."""
    local, _, domain = _fold(address).rpartition("@")
    return [word for word in (domain, local) if word]


def _may_occur(word: str, low: str) -> bool:
    """Whether its pattern could match in text that is `low` in lower case: cheap, and never wrongly no.

    Only for ASCII: some other letters are the same as ASCII's when case is ignored (a long s, a dotless i).
    """
    return not (word.isascii() and low.isascii()) or word.replace("-", ".") in low.replace("-", ".")


@lru_cache(_PATTERNS)
def _compiled(words: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join([re.escape(HIDDEN), _ADDRESS, *map(_pattern, words)]), re.IGNORECASE)


def _pattern(word: str) -> str:
    if "." not in word:
        return rf"(?<![\w-]){re.escape(word)}(?![\w-])"
    return rf"[\w.-]*{'[.-]'.join(map(re.escape, word.split('.')))}[\w-]*"  # hosts are named after domains with hyphens


def _forms(word: str) -> set[str]:
    """An address or a word as it is written, and its domain as DNS and as people have it."""
    folded = _fold(word)
    if folded.isascii() and "xn--" not in folded:
        return {folded}
    local, at, domain = folded.rpartition("@")
    domains = {domain}
    for change in (_to_unicode, _to_ascii, _to_older_ascii):
        with suppress(UnicodeError):
            domains.add(".".join(map(change, domain.split("."))))
    return {f"{local}{at}{one}" for one in domains}


def _fold(text: str) -> str:
    return unicodedata.normalize("NFC", text).lower()


def _to_unicode(label: str) -> str:
    return label[4:].encode("ascii").decode("punycode") if label.startswith("xn--") else label


def _to_ascii(label: str) -> str:
    """As IDNA of 2008 has it (RFC 5891) for a label that is normal already."""
    return label if label.isascii() else f"xn--{label.encode('punycode').decode('ascii')}"


def _to_older_ascii(label: str) -> str:
    """As IDNA of 2003 has it (RFC 3490), which wrote some letters in others' stead."""
    return label if label.isascii() else label.encode("idna").decode("ascii")
