"""Looking through a mailbox for messages of ours, so that trouble in one folder spoils nothing in the others."""

import datetime as dt
from collections.abc import MutableMapping, Sequence
from dataclasses import replace

from warmupd.core.placement import LET_BE_AFTER, FolderMark, FolderRole
from warmupd.mail.delivery_report import DeliveryReport, read_reports
from warmupd.mail.found import Bounce, Found, Look, Place, place_of
from warmupd.mail.imap import ImapBusy, ImapDenied, ImapError, ImapSession, ImapThrottled
from warmupd.mail.imap_folders import Folder
from warmupd.mail.imap_mailbox import Mailbox, News
from warmupd.mail.imap_messages import Head, Opened
from warmupd.mail.recognition import Recogniser
from warmupd.mail.tabs import in_tabs


class Survey:
    """What one visit sees. Its looks change nothing in the mailbox."""

    def __init__(
        self,
        session: ImapSession,
        mailbox: Mailbox,
        known: Recogniser,
        *,
        grasped: MutableMapping[Place, Head],
        looked: MutableMapping[Place, Head],
    ) -> None:
        """`grasped` is told of delivery reports on messages of ours, which may be treated as ours; `looked` of ours."""
        self._session = session
        self._mailbox = mailbox
        self._known = known
        self._grasped = grasped
        self._looked = looked

    async def near(self, marks: Sequence[FolderMark], since: dt.date) -> Look:
        """INBOX, Junk and the warmup folder, the latter two unless they gave trouble lately."""
        folders = await self._mailbox.folders()
        junk = folders.first(FolderRole.JUNK)
        look = Look(found=[], marks=[], complete=True, junk_folder=junk.name if junk else None)
        known = {mark.folder: mark for mark in marks}
        return await self._into([(one, known.get(one.name)) for one in folders if _is_near(one, known)], since, look)

    async def further(self, marks: Sequence[FolderMark], since: dt.date, *, everywhere: bool) -> Look:
        """The other folders, those that gave trouble last; the marks of all, whether they were looked into or not."""
        roles = _EVERYWHERE if everywhere else _ALWAYS
        known = {mark.folder: mark for mark in marks}
        wanted: list[tuple[Folder, FolderMark | None]] = []
        kept: list[FolderMark] = []
        for folder in await self._mailbox.folders():
            mark = known.get(folder.name)
            if _is_near(folder, known):
                continue
            if folder.can_be_read and folder.role in roles and not (everywhere and mark and mark.looked):
                wanted.append((folder, mark))
            elif mark is not None:
                kept.append(mark)
        wanted.sort(key=lambda one: one[1].refusals if one[1] else 0)
        look = await self._into(wanted, since, Look(found=[], marks=kept, complete=True, junk_folder=None))
        read = {folder.name for folder, _ in wanted if everywhere} - look.left
        return replace(look, marks=[replace(one, looked=True) if one.folder in read else one for one in look.marks])

    async def sent(self, since: dt.date) -> list[Found]:
        """Messages of ours in the folder of sent mail, as far as it can be read."""
        folder = (await self._mailbox.folders()).first(FolderRole.SENT)
        return (await self._into_one(folder, None, since)).found if folder is not None else []

    async def _into(self, wanted: Sequence[tuple[Folder, FolderMark | None]], since: dt.date, look: Look) -> Look:
        """One after the other, until time runs short or the server makes trouble."""
        for at, (folder, mark) in enumerate(wanted):
            is_inbox = folder.role is FolderRole.INBOX
            if not is_inbox and not self._session.has_time:
                return look.plus(_left(wanted[at:], more=True))
            try:
                look = look.plus(await self._into_one(folder, mark, since))
            except ImapError as error:
                if is_inbox:
                    raise
                # Who asks for patience means the mailbox; else it may be this folder, which must not hide the others.
                here = _left(wanted[at : at + 1]) if isinstance(error, ImapThrottled) else _refused(folder, mark)
                return replace(look.plus(here).plus(_left(wanted[at + 1 :])), trouble=error)
        return look

    async def _into_one(self, folder: Folder, mark: FolderMark | None, since: dt.date) -> Look:
        try:
            news = await self._mailbox.read_new(folder, mark, since)
        except (ImapDenied, ImapBusy) as denied:
            if folder.role is FolderRole.INBOX:
                raise
            if isinstance(denied, ImapDenied) and is_gone(denied):
                return Look(found=[], marks=[mark] if mark else [], complete=True, junk_folder=None)
            return _refused(folder, mark)
        found = self._ours(news) if news.opened else []
        if folder.role is FolderRole.INBOX and found:
            tabbed = await in_tabs(self._session, [ours.uid for ours in found])
            found = [replace(one, role=_of_tab(one.role)) if one.uid in tabbed else one for one in found]
        look = Look(
            found=found,
            marks=[news.mark],
            complete=news.whole,
            junk_folder=None,
            more=news.more,
            left=frozenset() if news.whole else frozenset({folder.name}),
        )
        return await self._with_reports(look, news.opened, news.heads) if news.opened else look

    def _ours(self, news: News) -> list[Found]:
        """Who treats several of them in this visit need not read their headers again."""
        found = []
        for head in news.heads:
            if news.opened is not None and (ours := self._known.ours(news.opened, head)) is not None:
                self._looked[place_of(ours)] = head
                found.append(ours)
        return found

    async def _with_reports(self, look: Look, opened: Opened, heads: Sequence[Head]) -> Look:
        """Where too many lie, the next look goes on there; what it finds for a second time is known by then."""
        if opened.folder.role not in _FOR_REPORTS:
            return look
        strange = [head for head in heads if self._known.token(head) is None]
        reports, left = await read_reports(self._session, strange, self._known.recognise)
        look = replace(look, bounces=[self._bounce(opened, report) for report in reports])
        if left is None:
            return look
        (mark,) = look.marks
        mark = replace(mark, last_uid=min(mark.last_uid, left - 1))
        return replace(look, marks=[mark], complete=False, more=True, left=frozenset({opened.folder.name}))

    def _bounce(self, opened: Opened, report: DeliveryReport) -> Bounce:
        """From now on the report counts as ours in this visit: it may be marked as read and filed away."""
        place = self._known.found(opened, report.head, report.token)
        self._grasped[place_of(place)] = report.head
        return Bounce(place=place, fates=report.fates)


def is_gone(denied: ImapDenied) -> bool:
    """Whether the folder is somebody else's, or was deleted this moment (RFC 5530)."""
    return not _NOT_FOR_US.isdisjoint(denied.reply.codes)


def _is_near(folder: Folder, known: dict[str, FolderMark]) -> bool:
    if folder.role is FolderRole.INBOX:
        return True
    mark = known.get(folder.name)
    return folder.can_be_read and folder.role in _ALWAYS and not (mark and mark.refusals)


def _left(wanted: Sequence[tuple[Folder, FolderMark | None]], *, more: bool = False) -> Look:
    """These were not looked into this time."""
    names = frozenset(folder.name for folder, _ in wanted)
    marks = [mark for _, mark in wanted if mark is not None]
    return Look(found=[], marks=marks, complete=not names, junk_folder=None, more=more, left=names)


def _refused(folder: Folder, mark: FolderMark | None) -> Look:
    """A folder that the server would not show; after some looks in vain it counts as one that cannot be read."""
    mark = mark or FolderMark(folder=folder.name, uidvalidity=0, last_uid=0)  # no server's UIDVALIDITY is 0
    mark = replace(mark, refusals=min(mark.refusals + 1, 100))
    let_be = mark.refusals >= LET_BE_AFTER
    left = frozenset() if let_be else frozenset({folder.name})
    return Look(found=[], marks=[mark], complete=let_be, junk_folder=None, left=left)


def _of_tab(role: FolderRole) -> FolderRole:
    """A tab is no place where one sees at once what came; the owner's own message stays what it is."""
    return FolderRole.OTHER if role is FolderRole.INBOX else role


_ALWAYS = frozenset({FolderRole.INBOX, FolderRole.JUNK, FolderRole.WARMUP})
_FOR_REPORTS = frozenset({FolderRole.INBOX, FolderRole.OTHER})  # a filter holds those in Junk to be forged: let be
_EVERYWHERE = _ALWAYS | {FolderRole.TRASH, FolderRole.ALL, FolderRole.OTHER}
_NOT_FOR_US = frozenset({"NOPERM", "NONEXISTENT"})
