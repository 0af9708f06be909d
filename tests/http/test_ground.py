"""What holds on every page and route: headers, bounds, errors in the form that was asked for, cursors."""

import pytest

from tests.http.conftest import OWNER, House
from warmupd.http.guard import MOST_BYTES
from warmupd.http.paging import cursor_of, key_of
from warmupd.http.problem import Problem

KINDS = (str, int, float)


async def test_unknown_page_is_a_page_to_a_browser_and_a_problem_to_a_program(house: House) -> None:
    seen = await house.open().get("/nothing", headers={"accept": "text/html"})
    told = await house.open().get("/api/nothing", headers={"accept": "text/html"})
    assert (seen.status_code, seen.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert (told.status_code, told.headers["content-type"]) == (404, "application/problem+json")


async def test_no_answer_may_be_framed_or_guessed_at(house: House) -> None:
    for path in ("/sign-in", "/healthz", "/api/nothing", "/static/site.css", "/docs", "/openapi.json"):
        answer = await house.open().get(path)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]


async def test_body_that_goes_on_is_cut_off(house: House) -> None:
    answer = await house.open().post("/api/auth/token", content=b" " * (MOST_BYTES + 1))
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"


async def test_form_that_goes_on_is_cut_off(house: House) -> None:
    browser = await house.browser(OWNER)
    answer = await browser.post("/sign-out", data={"csrf": "x" * MOST_BYTES})
    assert answer.status_code == 413


async def test_static_file_is_kept_under_the_name_of_its_content_alone(house: House) -> None:
    page = await house.open().get("/sign-in")
    address = page.text.split('rel="stylesheet" href="')[1].split('"')[0]
    assert "immutable" in (await house.open().get(address)).headers["cache-control"]
    assert (await house.open().get("/static/site.css")).headers["cache-control"] == "no-cache"


async def test_description_names_problems_in_our_form(house: House) -> None:
    described = (await house.open().get("/openapi.json")).json()
    answers = described["paths"]["/api/auth/token"]["post"]["responses"]
    assert {"200", "401", "422", "429"} <= answers.keys()
    assert list(answers["422"]["content"]) == ["application/problem+json"]
    assert "HTTPValidationError" not in described["components"]["schemas"]


async def test_description_is_shown_without_any_other_host(house: House) -> None:
    shown = (await house.open().get("/docs")).text
    assert "//" not in shown.replace("<!doctype", "")
    assert (await house.open().get("/docs/swagger/swagger-ui-bundle.js")).status_code == 200


@pytest.mark.parametrize("key", [["a", 1, 0.5], ["", -(2**63), None], ["\u00e9", 2**63 - 1, 3.0]])
def test_cursor_comes_back_as_it_went(key: list[str | int | float | None]) -> None:
    assert key_of(cursor_of(key), KINDS) == key


@pytest.mark.parametrize(
    "cursor",
    ["?", "AAAA", cursor_of(["a"]), cursor_of(["a\0", 1, 0.5]), cursor_of(["a", 2**63, 0.5]), cursor_of([1, 1, 0.5]),
     cursor_of(["a", True, 0.5]), cursor_of(["a", 1, float("nan")]), "W1tb" * 200, "\u00e9"],
)  # fmt: skip
def test_cursor_of_nobody_is_refused(cursor: str) -> None:
    with pytest.raises(Problem, match="cursor"):
        key_of(cursor, KINDS)
