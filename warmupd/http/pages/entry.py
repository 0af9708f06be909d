"""Signing in and out."""

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response

from warmupd.http.login import logins_of
from warmupd.http.origin import demand_own_origin
from warmupd.http.problem import Problem
from warmupd.http.render import page
from warmupd.http.session import Signed, sign_in, sign_out
from warmupd.http.wording import sentence

router = APIRouter(include_in_schema=False)


@router.get("/sign-in")
async def show(request: Request, then: str = "/") -> Response:
    """The form."""
    return page(request, "sign_in.html", then=then, email="", problem="")


@router.post("/sign-in")
async def enter(
    request: Request,
    email: Annotated[str, Form(max_length=320)] = "",
    password: Annotated[str, Form(max_length=1024)] = "",
    then: Annotated[str, Form(max_length=2000)] = "/",
) -> Response:
    """Signs in, or shows the form again with the reason why not."""
    demand_own_origin(request)
    try:
        access = await logins_of(request).log_in(request, email, password)
    except Problem as problem:
        told = sentence(problem.detail)
        answer = page(request, "sign_in.html", status=problem.status, then=then, email=email, problem=told)
        answer.headers.update(problem.headers or {})
        return answer
    return await sign_in(request, access, then=then)


@router.post("/sign-out")
async def leave(request: Request, _: Signed) -> Response:
    """Ends the session."""
    return await sign_out(request)
