"""Which folder of a mailbox is what: special-use flags (RFC 6154) first, then the names that providers give."""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import lru_cache

from warmupd.core.placement import FolderRole
from warmupd.core.provider import Provider
from warmupd.mail.imap_syntax import Literal, Reply, Value, astring, from_modified_utf7, kind, to_modified_utf7

MOST_KEPT = 50  # folders of a mailbox whose list is kept, so that the next that has the same need not be made out
MOST_OCTETS = 8192  # of such a list: what is kept is the server's word, and a line may be long


@dataclass(frozen=True, kw_only=True, slots=True)
class Folder:
    """A folder as the server listed it."""

    name: str  # for people, and for marks
    wire: bytes  # octet for octet what the server calls it
    separator: str = ""  # between the levels of a name; "" for a flat server
    attributes: frozenset[str] = frozenset()  # lower case, such as "\\junk"
    role: FolderRole = FolderRole.OTHER

    @property
    def argument(self) -> str | Literal:
        """Its name as an argument of a command."""
        return astring(self.wire)

    @property
    def can_be_read(self) -> bool:
        """Not so mere levels of the hierarchy, nor views of messages that are marked in some way (Gmail's Starred)."""
        return self.attributes.isdisjoint({"\\noselect", "\\nonexistent", "\\flagged", "\\important"})

    def own_name(self, prefix: str = "") -> str:
        """Its name without the prefix under which some servers keep all personal folders: this one, or INBOX."""
        if prefix and self.name.startswith(prefix):
            return self.name[len(prefix) :]
        prefix = f"INBOX{self.separator}"
        return self.name[len(prefix) :] if self.separator and self.name.upper().startswith(prefix) else self.name


class Folders:
    """The folders of one mailbox, each with its role. There is always an INBOX (RFC 3501 section 5.1)."""

    def __init__(self, listed: Iterable[Folder], *, junk_folder: str, warmup_folder: str, provider: Provider) -> None:
        self._junk_folder = junk_folder
        own = {FolderRole.JUNK: provider.junk, FolderRole.SENT: provider.sent}  # its names come before all others
        self._names = {
            role: tuple(dict.fromkeys((*map(_plain, own.get(role, ())), *names)))
            for role, names in _KNOWN_NAMES.items()
        }
        self._warmup_folder = warmup_folder
        self._prefix = ""
        by_name = {folder.name: self._with_role(folder) for folder in (INBOX, *listed)}
        self._folders = sorted(by_name.values(), key=_by_role)

    def copy(self) -> "Folders":
        """For a visit that may add to them."""
        other = copy(self)
        other._folders = list(self._folders)
        return other

    def __iter__(self) -> Iterator[Folder]:
        """INBOX first, then Junk: what matters most is looked at even when a visit is cut short."""
        return iter(self._folders)

    def named(self, name: str) -> Folder:
        """The folder of this name; one that was not listed is believed to exist."""
        found = next((folder for folder in self._folders if folder.name == name), None)
        return found or self._with_role(Folder(name=name, wire=to_modified_utf7(name)))

    def first(self, role: FolderRole) -> Folder | None:
        """The best folder of that role."""
        those = [folder for folder in self._folders if folder.role is role and folder.can_be_read]
        return min(those, key=self._rank, default=None)

    @property
    def may_have_prefix(self) -> bool:
        """Whether a folder that is looked for by name seems to lie under a prefix that is not known yet."""
        sought = [(FolderRole.WARMUP, self._warmup_folder)]
        if self._junk_folder:
            sought.append((FolderRole.JUNK, self._junk_folder))
        for role, name in sought:
            if any(folder.role is role for folder in self._folders):
                continue
            ends = [folder for folder in self._folders if _plain(folder.name).endswith(_plain(_below(folder, name)))]
            if ends:
                return True
        return False

    def set_prefix(self, prefix: str) -> None:
        """From now on the names of personal folders begin behind `prefix` (RFC 2342), such as "Mail/"."""
        if prefix != self._prefix:
            self._prefix = prefix
            self._folders = sorted(map(self._with_role, self._folders), key=_by_role)

    def warmup_folder(self, prefix: str | None) -> Folder:
        """The folder that is to be created for our messages, under the `prefix` of personal folders.

        None: the server does not say. Then the others tell: where all lie under INBOX, nothing else may be created.
        """
        others = [folder for folder in self._folders if folder.name.upper() != "INBOX"]
        separator = next((folder.separator for folder in self._folders if folder.separator), "")
        if prefix is None:
            under_inbox = others and all(folder.own_name() != folder.name for folder in others)
            prefix = f"INBOX{separator}" if under_inbox else ""
        name = self._warmup_folder.replace("/", separator or "-")
        name = name if not prefix or name.startswith(prefix) else prefix + name
        return self._with_role(Folder(name=name, wire=to_modified_utf7(name), separator=separator))

    def add(self, folder: Folder) -> None:
        """It was created in the meantime."""
        self._folders.append(folder)

    def _with_role(self, folder: Folder) -> Folder:
        return replace(folder, role=self._role(folder))

    def _role(self, folder: Folder) -> FolderRole:
        if folder.name.upper() == "INBOX":
            return FolderRole.INBOX
        if self._is_owners_junk(folder):
            return FolderRole.JUNK
        for attribute, role in _SPECIAL_USE.items():
            if attribute in folder.attributes:
                return role
        if folder.own_name(self._prefix) == self._warmup_folder.replace("/", folder.separator or "-"):
            return FolderRole.WARMUP
        return next((role for role, names in self._names.items() if _known_name(folder) in names), FolderRole.OTHER)

    def _is_owners_junk(self, folder: Folder) -> bool:
        names = (folder.name, folder.own_name(self._prefix))
        return self._junk_folder != "" and _plain(self._junk_folder) in map(_plain, names)

    def _rank(self, folder: Folder) -> int:
        if self._is_owners_junk(folder):
            return -2
        if not folder.attributes.isdisjoint(_SPECIAL_USE):
            return -1
        names = self._names.get(folder.role, ())
        return names.index(_known_name(folder)) if _known_name(folder) in names else len(names)


def listed_folders(reply: Reply, *, junk_folder: str, warmup_folder: str, provider: Provider) -> Folders:
    """The folders in the answer to a LIST. Most mailboxes of a server have the same, which are made out once."""
    answers = [parts for parts in reply.untagged if kind(parts) == "LIST"]
    lines = tuple(bytes(parts[0]) for parts in answers)
    kept = len(lines) <= MOST_KEPT and sum(map(len, lines)) <= MOST_OCTETS
    if not kept or any(len(parts) > 1 for parts in answers):
        listed = [folder for answer in reply.of("LIST") if (folder := listed_folder(answer)) is not None]
        return Folders(listed, junk_folder=junk_folder, warmup_folder=warmup_folder, provider=provider)
    return _made_out(lines, junk_folder, warmup_folder, provider).copy()


@lru_cache(maxsize=256)
def _made_out(lines: tuple[bytes, ...], junk_folder: str, warmup_folder: str, provider: Provider) -> Folders:
    reply = Reply(status="OK", text="", codes={}, untagged=[[line] for line in lines])
    listed = [folder for answer in reply.of("LIST") if (folder := listed_folder(answer)) is not None]
    return Folders(listed, junk_folder=junk_folder, warmup_folder=warmup_folder, provider=provider)


def listed_folder(answer: Sequence[Value]) -> Folder | None:
    """The folder in one LIST response, `LIST (attributes) separator name`; None when it is not one."""
    match answer:
        case [_, [*attributes], (None | bytes()) as separator, bytes() as wire, *_]:
            words = frozenset(word.decode("ascii", "replace").lower() for word in attributes if isinstance(word, bytes))
            name = "INBOX" if wire.upper() == b"INBOX" else from_modified_utf7(wire)
            return Folder(name=name, wire=wire, separator=(separator or b"").decode("latin-1"), attributes=words)
    return None


def _by_role(folder: Folder) -> int:
    return _ORDER.index(folder.role)


def _below(folder: Folder, name: str) -> str:
    """How `folder` ends if it is the one of that name below another."""
    separator = folder.separator or "/"
    return separator + name.replace("/", separator)


def _known_name(folder: Folder) -> str:
    """The name to be looked up: the last level, if what stands above it is a mere prefix; else ""."""
    *above, last = folder.name.split(folder.separator) if folder.separator else [folder.name]
    return _plain(last) if not above or (len(above) == 1 and _plain(above[0]) in _PREFIXES) else ""


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


INBOX = Folder(name="INBOX", wire=b"INBOX")
_ORDER = list(FolderRole)

_PREFIXES = frozenset({"inbox", "[gmail]", "[google mail]", "mail"})

_SPECIAL_USE = {
    "\\junk": FolderRole.JUNK,
    "\\sent": FolderRole.SENT,
    "\\drafts": FolderRole.DRAFTS,
    "\\trash": FolderRole.TRASH,
    "\\all": FolderRole.ALL,
}

# The likeliest first. Microsoft 365 has no special-use flags and names its folders in the owner's language.
_NAMES = {
    FolderRole.JUNK: (
        "Junk;Junk Email;Junk E-mail;Spam;Bulk Mail;Bulk;Junk Mail;Junk-E-Mail;Spamverdacht;Courrier indésirable;"
        "Indésirables;Correo no deseado;Correo basura;Posta indesiderata;Lixo Eletrônico;Lixo Eletrónico;"
        "E-mail de lixo;Ongewenste e-mail;Skräppost;Uønsket e-mail;Uønsket mail;Søppelpost;Roskaposti;"
        "Wiadomości-śmieci;Nevyžádaná pošta;Nevyžiadaná pošta;Levélszemét;Gereksiz E-posta;Mesaje nedorite;"
        "Нежелательная почта;Спам;Небажана пошта;Ανεπιθύμητη αλληλογραφία;迷惑メール;垃圾邮件;垃圾郵件;정크 메일;스팸함"
    ),
    FolderRole.SENT: (
        "Sent;Sent Items;Sent Mail;Sent Messages;Gesendet;Gesendete Elemente;Éléments envoyés;Envoyés;"
        "Elementos enviados;Enviados;Posta inviata;Inviati;Itens Enviados;Verzonden items;Skickat;Sendt post;"
        "Sendte elementer;Lähetetyt;Elementy wysłane;Odeslaná pošta;Отправленные;送信済みアイテム;已发送邮件;寄件備份;"
        "보낸 편지함"
    ),
    FolderRole.DRAFTS: (
        "Drafts;Draft;Entwürfe;Brouillons;Borradores;Bozze;Rascunhos;Concepten;Utkast;Kladder;Luonnokset;"
        "Wersje robocze;Koncepty;Черновики;下書き;草稿;草稿匣;임시 보관함"
    ),
    FolderRole.TRASH: (
        "Trash;Deleted Items;Deleted Messages;Deleted;Bin;Papierkorb;Gelöschte Elemente;Corbeille;Éléments supprimés;"
        "Papelera;Elementos eliminados;Cestino;Posta eliminata;Lixeira;Itens Excluídos;Verwijderde items;Borttaget;"
        "Slettet post;Poistetut;Elementy usunięte;Odstraněná pošta;Удаленные;削除済みアイテム;已删除邮件;刪除的郵件;"
        "지운 편지함"
    ),
}
_KNOWN_NAMES = {role: tuple(_plain(name) for name in names.split(";")) for role, names in _NAMES.items()}
