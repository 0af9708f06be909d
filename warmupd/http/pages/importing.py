"""Importing a CSV file in the browser: chosen, looked at row by row, begun, watched, its rejected rows taken home."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

from warmupd.core.sheet import MOST_BYTES
from warmupd.daemon.import_run import open_rejected
from warmupd.errors import UsageError, WarmupdError
from warmupd.http.admitting import owner_of, refusal
from warmupd.http.importing import imports_of
from warmupd.http.pages.add import Entered, texts_of
from warmupd.http.problem import Problem
from warmupd.http.render import HEADERS, page
from warmupd.http.session import Signed, Visitor
from warmupd.http.site import site_of
from warmupd.http.wording import for_page, sentence
from warmupd.store.imports import ImportReport, drop_import, find_import, import_progress, last_import, rejected_file
from warmupd.store.pools import shared_pools

SHOWN = 500  # rows of a page
GONE = "there is no such import, or not any more"


class _InMemory(MultiPartParser):
    """An upload holds passwords: it stays in memory, which is bounded in http/guard.py, and goes to no disk."""

    spool_max_size = 2 * MOST_BYTES


class _Upload(Request):
    """Its form is read so by whoever asks first: the check of its token, before the page."""

    async def _get_form(self, **limits: Any) -> FormData:
        if self._form is None and self.headers.get("content-type", "").lower().startswith("multipart/form-data"):
            try:
                async with aclosing(self.stream()) as stream:
                    self._form = await _InMemory(self.headers, stream).parse()
            except MultiPartException as error:
                raise HTTPException(400, error.message) from error
        return await super()._get_form(**limits)


class _Uploads(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_upload(request: Request) -> Response:
            return await handle(_Upload(request.scope, request.receive))

        return handle_upload


router = APIRouter(include_in_schema=False, route_class=_Uploads)


@router.get("/add/import")
async def choose(request: Request, visitor: Signed) -> Response:
    """The form, and the last import, if it is still there."""
    return await _form(request, visitor)


async def _closing(request: Request) -> AsyncIterator[None]:
    """What was uploaded goes with its request, whoever is refused."""
    yield
    await request.close()


@router.post("/add/import", dependencies=[Depends(_closing)])
async def upload(request: Request, visitor: Signed) -> Response:
    """Take a file in, and go where it is looked at."""
    file, texts = (await request.form()).get("file"), await texts_of(request)
    identity, site = visitor.identity, site_of(request)
    try:
        if not isinstance(file, UploadFile) or not file.size:
            raise UsageError("no file was chosen", remedy="choose a CSV file")
        options = _options(texts, by_admin=identity.is_admin)
        user = await owner_of(request, identity, texts.get("user", ""))
        import_id = await imports_of(request).begin(
            site.config,
            await file.read(),
            user_id=user.id,
            begun_by=identity.user_id,
            name="".join(char for char in file.filename or "" if char.isprintable())[:200] or "file",
            options=options,
        )
    except WarmupdError as error:
        return await _form(request, visitor, texts=texts, problem=refusal(error, for_page))
    return RedirectResponse(f"/add/import/{import_id}", status_code=303)


@router.get("/add/import/{import_id}")
async def show(request: Request, visitor: Signed, import_id: str) -> Response:
    """The import: what it would do, how far it is, or what has become of it."""
    found = await find_import(site_of(request).db, _id(import_id), begun_by=visitor.identity.user_id)
    if found is None:
        raise Problem(404, GONE, remedy="choose the file again")
    return _page(request, visitor, found)


@router.get("/add/import/{import_id}/progress")
async def progress(request: Request, visitor: Signed, import_id: str) -> Response:
    """How far it is, as a piece of its page; once it has ended, the page."""
    told = await import_progress(site_of(request).db, _id(import_id), begun_by=visitor.identity.user_id)
    if told is None or not told[0].is_running or told[1]:
        return RedirectResponse(f"/add/import/{import_id}", status_code=303)
    state, _, done, of = told
    return page(request, "import_progress.html", state=state.value, done=done, of=of)


@router.post("/add/import/{import_id}/start")
async def start(request: Request, visitor: Signed, import_id: str) -> Response:
    """Try the logins, and enrol who is let in."""
    identity = visitor.identity
    await imports_of(request).go(
        site_of(request).config, _id(import_id), begun_by=identity.user_id, actor=identity.email
    )
    return RedirectResponse(f"/add/import/{import_id}", status_code=303)


@router.post("/add/import/{import_id}/drop")
async def drop(request: Request, visitor: Signed, import_id: str) -> Response:
    """Forget the file."""
    await drop_import(site_of(request).db, _id(import_id), begun_by=visitor.identity.user_id)
    return RedirectResponse("/add/import", status_code=303)


@router.get("/add/import/{import_id}/rejected.csv")
async def rejected(request: Request, visitor: Signed, import_id: str) -> Response:
    """The rejected rows with their reasons, to be corrected and imported."""
    site = site_of(request)
    sealed = await rejected_file(site.db, _id(import_id), begun_by=visitor.identity.user_id)
    if sealed is None:
        raise Problem(404, GONE)
    headers = {**HEADERS, "Content-Disposition": 'attachment; filename="rejected.csv"'}
    content = open_rejected(site.config, _id(import_id), sealed)
    return Response(content, media_type="text/csv; charset=utf-8", headers=headers)


def _options(texts: dict[str, str], *, by_admin: bool) -> dict[str, object]:
    """Raises UsageError."""
    labels = texts.get("labels", "").replace(",", " ").split()
    flags = {name: texts.get(name) == "yes" for name in ("already_warm", "guess", "anew")}
    check = not (by_admin and texts.get("check") == "no")
    return {"label": labels, "pool": texts.get("pool") or None, "check": check, "by_admin": by_admin, **flags}


async def _form(
    request: Request, visitor: Visitor, *, texts: dict[str, str] | None = None, problem: Problem | None = None
) -> Response:
    db = site_of(request).db
    answer = page(
        request,
        "import.html",
        visitor=visitor,
        status=problem.status if problem else 200,
        values=Entered(texts or {}),
        problem=problem,
        last=await last_import(db, begun_by=visitor.identity.user_id),
        pools=(pools := await shared_pools(db)),
        pool_choices=[(name, name) for name in pools],
        sentence=sentence,
    )
    answer.headers.update(problem.headers or {} if problem else {})
    return answer


def _page(request: Request, visitor: Visitor, found: ImportReport) -> Response:
    counts = {word: sum(row["result"] == word for row in found.rows) for word in _RESULTS}
    order = {word: place for place, word in enumerate(_RESULTS)}
    rows = sorted(found.rows, key=lambda row: (order[row["result"]], row["row"]))
    return page(
        request,
        "import_result.html",
        visitor=visitor,
        found=found,
        state=found.state.value,
        running=found.state.is_running and not found.is_lost,
        counts=counts,
        rows=rows[:SHOWN],
        more=max(0, len(rows) - SHOWN),
        notes=[sentence(for_page(note)) for note in found.notes],
        told=lambda row: " ".join(sentence(for_page(row[part])) for part in ("reason", "remedy") if row[part]),
        sentence=sentence,
    )


_RESULTS = ("rejected", "good", "enrolled", "already enrolled")  # what needs its owner first


def _id(text: str) -> UUID:
    """Raises Problem 404 for what is no id."""
    try:
        return UUID(text)
    except ValueError:
        raise Problem(404, GONE) from None
