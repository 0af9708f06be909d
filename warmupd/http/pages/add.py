"""The page that enrols one mailbox: its provider is told while the address is typed, its logins are tried in sight."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from warmupd.core.finding import Finding
from warmupd.core.form import Form
from warmupd.core.provider import OTHER, Provider, Server
from warmupd.core.provider_rules import password_advice
from warmupd.core.sheet_columns import SECRETS
from warmupd.daemon.admission import Manner
from warmupd.daemon.consenting import consent_origins
from warmupd.daemon.login_check import LoginRefused
from warmupd.daemon.provider_search import ProviderSearch, records_of
from warmupd.errors import UsageError, WarmupdError
from warmupd.http.admitting import admit, owner_of, read_texts, refusal
from warmupd.http.problem import Problem
from warmupd.http.render import HEADERS, POLICY, page
from warmupd.http.session import Signed, Visitor
from warmupd.http.site import site_of
from warmupd.http.trials import trials_of
from warmupd.http.wording import for_page, sentence
from warmupd.mail.header_text import mail_address
from warmupd.store.consents import connectable
from warmupd.store.pools import shared_pools

STREAM = "application/x-ndjson"
NEVER_BACK = frozenset({*SECRETS, "csrf"})  # of what was entered: not shown again
ISSUERS = {"gmail": "google", "google": "google", "outlook": "microsoft", "microsoft": "microsoft"}

router = APIRouter(include_in_schema=False)


class Entered(dict[str, str]):
    """Field to text; "" for a field without one, as templates ask for all of them."""

    def __missing__(self, _: str) -> str:
        return ""


@router.get("/add")
async def show(request: Request, visitor: Signed, address: str = "", enrolled: int = 0) -> Response:
    """The form; with the mailbox that has just been enrolled or connected."""
    there = (
        await connectable(site_of(request).db, enrolled, owner=visitor.identity.owner) if 0 < enrolled < 2**63 else None
    )
    return await form_page(request, visitor, {"email": address[:320]}, enrolled=there)


@router.get("/add/provider")
async def provider(request: Request, visitor: Signed, address: str = "") -> Response:
    """Who runs the mailbox, by its domain: what the form shows beside the address."""
    try:
        address = mail_address(address.strip())
    except UsageError:
        return JSONResponse({"word": "", "name": ""}, headers={"Cache-Control": "no-store"})
    trials_of(request).look(request, visitor.identity.user_id)
    match = await ProviderSearch(records_of(site_of(request).config)).find(address)
    told = {
        "word": match.provider.word,
        "name": "" if match.provider.word == OTHER else match.provider.name,
        "smtp": _server(match.smtp),
        "imap": _server(match.imap),
        "issuer": ISSUERS.get(match.provider.word, ""),
        **_advice(match.provider),
    }
    return JSONResponse(told, headers={"Cache-Control": "no-store"})


@router.post("/add")
async def add(request: Request, visitor: Signed) -> Response:
    """Try the mailbox, and enrol it when both servers let us in. Told line by line to a script, else as a page."""
    texts = await texts_of(request)
    streams = STREAM in request.headers.get("accept", "")
    form = read_texts(texts)
    if form.application is None:
        return (
            _stream_of([{"errors": errors_of(form)}])
            if streams
            else await form_page(request, visitor, texts, form=form)
        )
    if streams:
        return StreamingResponse(_lines(request, visitor, form, texts), media_type=STREAM, headers=HEADERS)
    findings: list[Finding] = []
    try:
        enrolled = await _enrol(request, visitor, form, texts, findings.append)
    except Problem as problem:
        return await form_page(request, visitor, texts, problem=problem, findings=findings)
    there = await connectable(site_of(request).db, enrolled or 0, owner=visitor.identity.owner)
    return await form_page(request, visitor, {}, enrolled=there, findings=findings)


async def texts_of(request: Request) -> dict[str, str]:
    """The form's fields; a file is none."""
    return {name: value for name, value in (await request.form()).items() if isinstance(value, str)}


def errors_of(form: Form) -> dict[str, str]:
    """What is wrong with which field, in words for the page."""
    told = {name: error.remedy or Exception.__str__(error) for name, error in form.errors.items()}
    return {name: sentence(for_page(text)) for name, text in told.items()}


async def form_page(
    request: Request,
    visitor: Visitor,
    texts: Mapping[str, str],
    *,
    form: Form | None = None,
    problem: Problem | None = None,
    **values: Any,
) -> Response:
    """The form with what was entered but for secrets, and what is wrong with it."""
    site = site_of(request)
    errors = errors_of(form) if form else {}
    shown = Entered({name: text for name, text in texts.items() if name not in NEVER_BACK})
    status = problem.status if problem else 422 if errors else 200
    answer = page(
        request,
        "add.html",
        visitor=visitor,
        status=status,
        values=shown,
        errors=Entered(errors),
        problem=problem,
        pools=(pools := await shared_pools(site.db)),
        pool_choices=[(name, name) for name in pools],
        connects=sorted(provider.lower() for provider in consent_origins(site.config)),
        for_page=for_page,
        sentence=sentence,
        **{"enrolled": None, "findings": [], **values},
    )
    answer.headers.update(problem.headers or {} if problem else {})
    return may_leave(request, answer)


def may_leave(request: Request, answer: Response) -> Response:
    """Its forms may lead to the pages where owners consent: browsers ask the policy of redirects, too."""
    origins = " ".join(consent_origins(site_of(request).config).values())
    if origins:
        answer.headers["Content-Security-Policy"] = POLICY.replace(
            "form-action 'self'", f"form-action 'self' {origins}"
        )
    return answer


async def _enrol(request: Request, visitor: Visitor, form: Form, texts: Mapping[str, str], tell: Any) -> int | None:
    """Raises Problem, in words for the page."""
    identity = visitor.identity
    async with trials_of(request).turn(request, identity.user_id):
        try:
            return await admit(
                request,
                identity,
                form,
                user=await owner_of(request, identity, texts.get("user", "")),
                tell=tell,
                manner=Manner(
                    check=texts.get("check") != "no",
                    anew=texts.get("anew") == "yes",
                    dns=True,
                    save=texts.get("do") != "check",
                ),
            )
        except LoginRefused as error:  # the lines say by whom, and what to do there
            detail = f"{form.application.address if form.application else 'it'} was not let in, so nothing was saved"
            raise Problem(422, detail, remedy=for_page(error.advice)) from error
        except WarmupdError as error:
            raise refusal(error, for_page) from error


async def _lines(request: Request, visitor: Visitor, form: Form, texts: Mapping[str, str]) -> AsyncIterator[str]:
    """What is found, as it is found; last what has come of it."""
    told: asyncio.Queue[Finding | None] = asyncio.Queue()

    async def work() -> int | None:
        try:
            return await _enrol(request, visitor, form, texts, told.put_nowait)
        finally:
            told.put_nowait(None)

    working = asyncio.create_task(work(), name="enrolling")
    try:
        while (finding := await told.get()) is not None:
            yield _line(line_of(finding))
        try:
            yield _line(
                {"done": True, "id": await working, "address": form.application.address if form.application else ""}
            )
        except Problem as problem:
            yield _line(
                {"problem": sentence(problem.detail), "remedy": sentence(problem.remedy), "status": problem.status}
            )
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


def line_of(finding: Finding) -> dict[str, str]:
    """A finding, in words for the page."""
    told = {"text": sentence(for_page(finding.text)), "remedy": sentence(for_page(finding.remedy))}
    return {"grade": finding.grade.value, "check": finding.check, **told}


def _line(told: Mapping[str, object]) -> str:
    return json.dumps(told) + "\n"


def _stream_of(lines: list[dict[str, Any]]) -> Response:
    return Response("".join(map(_line, lines)), media_type=STREAM, headers=HEADERS)


def _server(server: Server | None) -> dict[str, object] | None:
    if server is None:
        return None
    return {"host": server.host, "port": server.port, "security": server.security, "username": server.username}


def _advice(provider: Provider) -> dict[str, str]:
    """What stands in the way of a password, or else what its owner must do first."""
    if advice := password_advice(provider):
        return {"advice": sentence(for_page(advice.text)), "hint": sentence(for_page(advice.remedy)), "tone": "warn"}
    return {"advice": "", "hint": sentence(for_page(provider.hint)), "tone": "soft"}
