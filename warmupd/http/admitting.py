"""Enrolling one mailbox for who asks over HTTP, by page or API: whose it becomes, and who may do without a check."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from fastapi import Request

from warmupd.core.form import Form, read_form
from warmupd.core.sheet_application import Given
from warmupd.daemon.admission import Admission, Manner, Tell
from warmupd.daemon.keyring import keyring_of
from warmupd.errors import WarmupdError
from warmupd.http.identity import Identity
from warmupd.http.problem import Problem, as_problem
from warmupd.http.site import site_of
from warmupd.mail.header_text import mail_address
from warmupd.mail.oauth import Tokens
from warmupd.store.users import User, find_user, user_by_id

AS_USUAL = Manner()


def read_texts(texts: Mapping[str, str], *, secret: bool = True) -> Form:
    """What was entered, or what is wrong with which field."""
    guess = texts.get("guess", "") in {"yes", "true"}
    return read_form(texts, Given(guess=guess), mail_address, secret=secret)


async def owner_of(request: Request, identity: Identity, email: str) -> User:
    """Whose a new mailbox is to be: who asks, or for an admin the user named. Raises Problem 403, NotFound."""
    db, email = site_of(request).db, email.strip()
    if not email or email.lower() == identity.email.lower():
        return await user_by_id(db, identity.user_id)
    if not identity.is_admin:
        raise Problem(403, "only an admin enrols mailboxes of others", remedy="leave the user out")
    if not email.isprintable():
        raise Problem(422, "that is no address of a user")
    return await find_user(db, email)


async def admit(
    request: Request,
    identity: Identity,
    form: Form,
    *,
    user: User,
    tell: Tell,
    tokens: Tokens | None = None,
    manner: Manner = AS_USUAL,
) -> int | None:
    """Enrol it; its id. Raises Problem and what `Admission.enrol` raises.

    Only an admin does without a check: who is let in without one could ask after any address whether it is enrolled.
    """
    if not manner.check and not identity.is_admin:
        raise Problem(403, "only an admin enrols a mailbox without a check of its logins")
    if form.application is None:
        raise Problem(422, "there is no mailbox to enrol")
    site = site_of(request)
    manner = replace(manner, by_admin=identity.is_admin)
    async with keyring_of(site.config, site.db, site.clock) as keyring:
        admission = Admission(
            site.config, site.db, site.clock, user=user, keyring=keyring, actor=identity.email, tell=tell, manner=manner
        )
        return await admission.enrol(form.application, form.secrets, tokens)


def refusal(error: WarmupdError, words: Callable[[str], str]) -> Problem:
    """Why it was not enrolled: what a server or provider thinks of the mailbox is no failure of ours."""
    problem = as_problem(error)
    status = 422 if problem.status == 500 else problem.status
    return Problem(status, words(problem.detail), remedy=words(problem.remedy), headers=problem.headers)
