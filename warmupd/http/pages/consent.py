"""Connecting a mailbox at Google or Microsoft: there, where its owner consents, and back."""

from collections.abc import Mapping

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from warmupd.core.application import Secrets
from warmupd.core.form import Form
from warmupd.core.outcome import presentable
from warmupd.core.provider_match import match_provider
from warmupd.core.sheet_columns import HEADERS as FIELDS
from warmupd.core.sheet_columns import SECRETS
from warmupd.daemon.admission import Manner
from warmupd.daemon.consenting import OTHER_ACCOUNT, Consenting, consent_origins
from warmupd.daemon.keyring import keyring_of
from warmupd.daemon.login_check import LoginRefused
from warmupd.errors import NotFound, WarmupdError
from warmupd.http.admitting import admit, owner_of, read_texts, refusal
from warmupd.http.bearer import token_hash
from warmupd.http.pages.add import ISSUERS, form_page, may_leave, texts_of
from warmupd.http.problem import Problem
from warmupd.http.render import page
from warmupd.http.session import Signed, Visitor, cookie_name
from warmupd.http.site import site_of
from warmupd.http.trials import trials_of
from warmupd.http.wording import for_page, sentence
from warmupd.mail.oauth import Tokens
from warmupd.store.consents import Connectable, Consent, connectable
from warmupd.store.users import user_by_id

NAMES = {"google": "Google", "microsoft": "Microsoft"}

router = APIRouter(include_in_schema=False)


@router.get("/connect/{provider}")
async def show(request: Request, visitor: Signed, provider: str, mailbox: int = 0, address: str = "") -> Response:
    """Whose consent is asked for, before anybody leaves. No server is taken from the address of this page."""
    name = _name(provider)
    there = await _mailbox(request, visitor, mailbox) if mailbox else None
    return _connect_page(request, visitor, name, there=there, address=there.address if there else address[:320])


@router.post("/connect/{provider}")
async def leave(request: Request, visitor: Signed, provider: str) -> Response:
    """Off to the provider, with everything that was entered kept here until its owner is back."""
    name, texts = _name(provider), await texts_of(request)
    there = await _mailbox(request, visitor, _number(texts["mailbox"])) if texts.get("mailbox") else None
    kept = {*FIELDS} - {*SECRETS, "oauth"} if there is None else set()
    entries = {word: text for word, text in texts.items() if word in kept}
    entries |= {"anew": "yes"} if texts.get("anew") == "yes" else {}
    site, user_id, address = site_of(request), visitor.identity.user_id, there.address if there else ""
    if there is None:
        form = read_texts(entries, secret=False)
        if form.application is None:
            return await form_page(request, visitor, texts, form=form)
        user_id = (await owner_of(request, visitor.identity, texts.get("user", ""))).id
        address = form.application.address
    trials_of(request).look(request, visitor.identity.user_id)
    try:
        async with keyring_of(site.config, site.db, site.clock) as keyring:
            url = await Consenting(site.config, site.db, site.clock, keyring=keyring).begin(
                provider.upper(),
                user_id=there.user_id if there else user_id,
                address=address,
                mailbox_id=there.id if there else None,
                entries=entries,
                session_hash=_session_hash(request),
                redirect_uri=_redirect_uri(request, provider),
            )
    except WarmupdError as error:
        return _connect_page(request, visitor, name, there=there, address=address, problem=refusal(error, for_page))
    return RedirectResponse(url, status_code=303)


@router.get("/connect/{provider}/callback")
async def come_back(
    request: Request,
    visitor: Signed,
    provider: str,
    state: str = "",
    code: str = "",
    error: str = "",
    error_description: str = "",
) -> Response:
    """Back from the provider: what its owner consented to is exchanged, tried and stored, or why not is told."""
    name = _name(provider)
    denied = _denied(name, error, error_description) if error or not code else None
    try:  # a turn before the consent is used up: who has to wait may load this page again
        async with trials_of(request).turn(request, visitor.identity.user_id):
            return await _taken(request, visitor, provider, state, code, denied=denied)
    except Problem as wait:
        again = Problem(
            wait.status, wait.detail, remedy="wait a moment, then load this page again", headers=wait.headers
        )
        return _connect_page(request, visitor, name, there=None, address="", problem=again)


async def _taken(
    request: Request, visitor: Visitor, provider: str, state: str, code: str, *, denied: Problem | None
) -> Response:
    name, site = NAMES[provider], site_of(request)
    async with keyring_of(site.config, site.db, site.clock) as keyring:
        consenting = Consenting(site.config, site.db, site.clock, keyring=keyring)
        try:
            consent = await consenting.take(provider.upper(), state, session_hash=_session_hash(request))
        except NotFound as unknown:
            problem = Problem(409, Exception.__str__(unknown), remedy=unknown.remedy)
            return _connect_page(request, visitor, name, there=None, address="", problem=problem)
        try:
            if consent.mailbox_id:
                await _mailbox(request, visitor, consent.mailbox_id)
            if denied:
                raise denied
            tokens = await consenting.exchange(consent, code)
            mailbox_id = await _connected(request, visitor, consenting, consent, tokens)
        except (WarmupdError, Problem) as failed:
            problem = refusal(failed, for_page) if isinstance(failed, WarmupdError) else failed
            return await _failed(request, visitor, name, consent, problem)
    return RedirectResponse(f"/add?enrolled={mailbox_id}", status_code=303)


async def _connected(
    request: Request, visitor: Visitor, consenting: Consenting, consent: Consent, tokens: Tokens
) -> int:
    """The mailbox's id: an enrolled one that logs in by these tokens from now on, or a new one."""
    if consent.mailbox_id is not None:
        await consenting.reconnect(consent, tokens, actor=visitor.identity.email)
        return consent.mailbox_id
    provider = _word(consent.provider.lower(), consent.address)
    form = read_texts({"provider": provider, **consent.entries}, secret=False)
    secrets = Secrets(issuer=consent.provider, refresh_token=tokens.refresh)
    form = Form(application=form.application, secrets=secrets, errors=form.errors)
    user = await user_by_id(site_of(request).db, consent.user_id)
    try:
        mailbox_id = await admit(
            request,
            visitor.identity,
            form,
            user=user,
            tell=lambda _: None,
            tokens=tokens,
            manner=Manner(anew=consent.entries.get("anew") == "yes"),
        )
    except LoginRefused as error:
        hint = OTHER_ACCOUNT.format(address=consent.address)
        told = for_page(Exception.__str__(error))
        raise Problem(422, told, remedy=f"{hint}. {sentence(for_page(error.remedy))}") from error
    return mailbox_id or 0


def _connect_page(
    request: Request,
    visitor: Visitor,
    name: str,
    *,
    there: Connectable | None,
    address: str,
    problem: Problem | None = None,
    entries: Mapping[str, str] | None = None,
) -> Response:
    answer = page(
        request,
        "connect.html",
        visitor=visitor,
        status=problem.status if problem else 200,
        name=name,
        provider=name.lower(),
        there=there,
        address=address,
        entries={word: text for word, text in (entries or {}).items() if word != "email"},
        problem=problem,
        registered=name.upper() in consent_origins(site_of(request).config),
        redirect_uri=_redirect_uri(request, name.lower()),
        sentence=sentence,
    )
    answer.headers.update(problem.headers or {} if problem else {})
    return may_leave(request, answer)


async def _failed(request: Request, visitor: Visitor, name: str, consent: Consent, problem: Problem) -> Response:
    owner = visitor.identity.owner
    db = site_of(request).db
    there = await connectable(db, consent.mailbox_id, owner=owner) if consent.mailbox_id else None
    return _connect_page(
        request, visitor, name, there=there, address=consent.address, problem=problem, entries=consent.entries
    )


async def _mailbox(request: Request, visitor: Visitor, mailbox_id: int) -> Connectable:
    """Raises Problem 404 for one that is not there or another's."""
    in_range = 0 < mailbox_id < 2**63
    there = await connectable(site_of(request).db, mailbox_id, owner=visitor.identity.owner) if in_range else None
    if there is None:
        raise Problem(404, "there is no such mailbox")
    return there


def _name(provider: str) -> str:
    if provider not in NAMES:
        raise Problem(404, "there is no such provider")
    return NAMES[provider]


def _word(issuer: str, address: str) -> str:
    """The provider that the consent is for, in the words of core/providers.py: by the address, or the usual one."""
    word = match_provider(address).provider.word
    return word if ISSUERS.get(word) == issuer else issuer


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def _session_hash(request: Request) -> bytes:
    return token_hash(request.cookies.get(cookie_name(request), ""))


def _redirect_uri(request: Request, provider: str) -> str:
    """As it is registered with the provider: under `http.public_url`, or where the browser is, without one."""
    base = site_of(request).config.http.public_url or str(request.base_url)
    return f"{base.rstrip('/')}/connect/{provider}/callback"


def _denied(name: str, error: str, description: str) -> Problem:
    """The provider's words for why there is no consent (RFC 6749 section 4.1.2.1; Microsoft's codes AADSTS...)."""
    if error == "access_denied" and "AADSTS" not in description:
        return Problem(422, f"{name} was not allowed to let us in", remedy="begin again, and agree on its page")
    if any(code in description for code in ("AADSTS90094", "AADSTS90095", "AADSTS65001")):
        remedy = "ask an administrator of the organisation to agree for all, then begin again"
        return Problem(422, f"{name} wants an administrator's consent for this account", remedy=remedy)
    said = presentable(f"{error} {description}".strip()) or "it gave no reason"
    return Problem(422, f"{name} did not let us in: {said}", remedy="begin again, or try later")
