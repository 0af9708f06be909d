"""What the pages do to mailboxes, one or many: asked about where it matters, and told row by row."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request, Response

from warmupd.daemon import acting
from warmupd.daemon.ranking import moment_at
from warmupd.errors import DatabaseUnavailable, WarmupdError
from warmupd.http.choice import chosen_ones
from warmupd.http.deeds import ACTIONS, Task, Told, do, row_of
from warmupd.http.listing import BIGINT, rankings_of
from warmupd.http.pages.mailboxes import said_of, selection_of
from warmupd.http.problem import Problem
from warmupd.http.render import page
from warmupd.http.session import Signed, Visitor
from warmupd.http.site import site_of
from warmupd.http.trials import trials_of
from warmupd.http.wording import on_page, sentence
from warmupd.store.removals import find_removals
from warmupd.store.selection import ids_of

router = APIRouter(include_in_schema=False)

MOST = 10_000  # mailboxes at once
SHOWN = 200  # rows of a result
MOST_UNDONE = 900  # by one button: a form has no more fields
CHUNK = 1_000  # mailboxes that are read and changed at once
UNDO = "undo"
ASKED = {  # what is asked before it is done to all that fit
    "pause": "Pause",
    "resume": "Resume",
    "check": "Check the logins of",
    "label": "Label",
    "unlabel": "Take the label from",
    "set": "Change the settings of",
    "remove": "Remove",
}
DONE = {
    "pause": "Paused",
    "resume": "Resumed",
    "check": "Logins checked",
    "label": "Labelled",
    "unlabel": "Label taken away",
    "set": "Settings changed",
    "remove": "Removed",
    UNDO: "Brought back",
}
TONES = {"bad": "could not", "good": "done", "soft": "unchanged"}  # in the order in which they are shown
CHECKED = {"bad": "refused", "good": "let us in"}


class Form:
    """What was entered, and which mailboxes were ticked."""

    def __init__(self, entered: Mapping[str, str], ids: Sequence[int]) -> None:
        self.entered = entered
        self.ids = ids

    @property
    def every(self) -> bool:
        """Whether all mailboxes that fit the filters are meant."""
        return self.entered.get("every") == "yes"


async def form_of(request: Request) -> Form:
    """The form, without what is no text or no mailbox's number."""
    form = await request.form()
    texts = {name: value for name, value in form.items() if isinstance(value, str) and name != "ids"}
    numbers = [int(text) for text in form.getlist("ids") if isinstance(text, str) and _is_number(text)]
    return Form({name: value for name, value in texts.items() if "\0" not in value}, list(dict.fromkeys(numbers)))


Entered = Annotated[Form, Depends(form_of)]


@router.post("/mailboxes/act")
async def act(request: Request, visitor: Signed, form: Entered) -> Response:
    """What the form of the list asks for. Removing, and whatever is for all that fit, is asked about first."""
    action = form.entered.get("action", "")
    if action not in {*ACTIONS, UNDO}:
        raise Problem(422, "that cannot be done to mailboxes", remedy="choose one of the buttons")
    ids = await _all_that_fit(request, visitor, form) if form.every else form.ids
    if action != UNDO and ids and (form.every or action == "remove") and form.entered.get("sure") != "yes":
        return await _ask(request, visitor, action, ids, form)
    return await _answer(request, visitor, action, ids, form)


@router.post("/mailboxes/{mailbox_id:int}/{action}")
async def act_on_one(request: Request, visitor: Signed, mailbox_id: int, action: str, form: Entered) -> Response:
    """One button of a mailbox. 404 for one that is not there, or another user's."""
    if action not in {"pause", "resume", "check", "remove", UNDO} or not 0 < mailbox_id <= BIGINT:
        raise Problem(404, "there is no such page")
    answer = await _answer(request, visitor, action, [mailbox_id], form, one=True)
    if answer.status_code == 404:
        raise Problem(404, "there is no such mailbox")
    return answer


async def _all_that_fit(request: Request, visitor: Visitor, form: Form) -> Sequence[int]:
    site = site_of(request)
    moment = moment_at(site.clock.now(), site.config.window.timezone)
    chosen = selection_of(form.entered)
    return await ids_of(site.db, chosen, owner=visitor.identity.owner, moment=moment, most=MOST)


async def _ask(request: Request, visitor: Visitor, action: str, ids: Sequence[int], form: Form) -> Response:
    some = await chosen_ones(site_of(request).db, ids[:SHOWN], visitor.identity)
    if not some:
        return await _answer(request, visitor, action, [], form)
    number = len(ids) if form.every else len(some)
    return page(
        request,
        "mailboxes_ask.html",
        visitor=visitor,
        action=action,
        asked=f"{ASKED[action]} {'1 mailbox' if number == 1 else f'{number:,} mailboxes'}",
        some=some,
        more=number - len(some),
        first_ones=form.every and len(ids) == MOST,
        entered={name: value for name, value in form.entered.items() if name not in {"csrf", "sure"}},
        ids=[] if form.every else ids,
        back=_back(form),
    )


async def _answer(
    request: Request, visitor: Visitor, action: str, ids: Sequence[int], form: Form, *, one: bool = False
) -> Response:
    rows: list[Told] = []
    problem: WarmupdError | None = None
    try:
        rows = await _act(request, visitor, action, ids[:MOST], form)
    except DatabaseUnavailable:
        raise
    except WarmupdError as error:
        problem = error
    rankings_of(request).forget()
    counts = Counter(row.tone for row in rows)
    rows.sort(key=lambda row: (list(TONES).index(row.tone), row.address.lower()))
    nothing = not rows and problem is None
    return page(
        request,
        "mailboxes_done.html",
        visitor=visitor,
        status=404 if nothing and one else 422 if problem is not None else 200,
        title=DONE[action],
        action=action,
        rows=rows[:SHOWN],
        more=len(rows) - SHOWN,
        counts=[(tone, _word(action, tone), counts[tone]) for tone in TONES if counts[tone]],
        problem="" if problem is None else sentence(Exception.__str__(problem)),
        remedy="" if problem is None else on_page(problem.remedy),
        undoable=[row.mailbox_id for row in rows if row.tone == "good"]
        if action == "remove" and len(rows) <= MOST_UNDONE
        else [],
        back=f"/mailboxes/{ids[0]}" if one and action != "remove" else _back(form),
        one=one,
    )


async def _act(request: Request, visitor: Visitor, action: str, ids: Sequence[int], form: Form) -> list[Told]:
    site, identity = site_of(request), visitor.identity
    if action == UNDO:
        meant = await find_removals(site.db, ids=ids, owner=identity.owner)
        deeds = await acting.undo(site.db, meant, actor=identity.email, at=site.clock.now())
        return [row_of(deed) for deed in deeds]
    turn = partial(trials_of(request).turn, request, identity.user_id)
    task = Task(site=site, identity=identity, entered=form.entered, turn=turn)
    rows: list[Told] = []
    for start in range(0, len(ids), CHUNK):
        chosen = await chosen_ones(site.db, ids[start : start + CHUNK], identity)
        rows += await do(action, task, chosen) if chosen else []
    return rows


def _word(action: str, tone: str) -> str:
    return CHECKED[tone] if action == "check" else TONES[tone]


def _back(form: Form) -> str:
    said = said_of(selection_of(form.entered))
    return f"/mailboxes?{urlencode(said)}" if said else "/mailboxes"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20 and 0 < int(text) <= BIGINT
