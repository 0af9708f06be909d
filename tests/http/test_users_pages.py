"""The pages of users and plans: admins only, and what their forms do."""

import re

import httpx
import pytest

from tests.http.conftest import ADMIN, OTHER, OWNER, House
from warmupd.errors import NotFound
from warmupd.store.plans import find_plan
from warmupd.store.users import find_user


class Admin:
    """An admin's browser, whose forms show its token."""

    def __init__(self, browser: httpx.AsyncClient, csrf: str) -> None:
        self.browser = browser
        self.csrf = csrf

    async def get(self, path: str) -> str:
        answer = await self.browser.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text

    async def post(self, path: str, **form: str) -> httpx.Response:
        return await self.browser.post(path, data={"csrf": self.csrf, **form})


@pytest.fixture
async def admin(house: House) -> Admin:
    browser = await house.browser(ADMIN)
    found = re.search(r'name="csrf" value="([^"]+)"', (await browser.get("/users")).text)
    assert found is not None
    return Admin(browser, found[1])


async def test_list_shows_users_and_plans(admin: Admin) -> None:
    shown = await admin.get("/users")
    assert all(email in shown for email in (ADMIN, OWNER, OTHER))
    assert "/plans/default" in shown
    assert OTHER not in await admin.get("/users?search=owner")
    assert "Nobody fits" in await admin.get("/users?search=%3Cscript%3E")


async def test_pages_are_for_admins(house: House) -> None:
    browser, other = await house.browser(OWNER), await find_user(house.site.db, OTHER)
    for path in ("/users", f"/users/{other.id}", f"/users/{other.id}/export", "/plans/new", "/plans/default"):
        assert (await browser.get(path)).status_code == 403
        assert (await house.open().get(path)).status_code == 303


async def test_form_changes_a_user(house: House, admin: Admin) -> None:
    owner = await find_user(house.site.db, OWNER)
    form = {"name": "Olga", "role": "USER", "plan": "default", "timezone": "Asia/Tokyo"}
    assert (await admin.post(f"/users/{owner.id}", **form)).status_code == 303
    shown = await admin.get(f"/users/{owner.id}?done=saved")
    assert "Asia/Tokyo" in shown
    assert "Became a user" in shown
    wrong = await admin.post(f"/users/{owner.id}", **{**form, "timezone": "Mars/Base", "name": "two\nlines"})
    assert wrong.status_code == 422
    assert wrong.text.count('aria-invalid="true"') == 2


async def test_user_is_removed_only_with_the_address_typed(house: House, admin: Admin) -> None:
    owner = await find_user(house.site.db, OWNER)
    assert (await admin.post(f"/users/{owner.id}/remove", address="owner")).status_code == 422
    assert (await admin.post(f"/users/{owner.id}/remove", address=OWNER.upper())).status_code == 303
    with pytest.raises(NotFound):
        await find_user(house.site.db, OWNER)
    assert "Bring back" in await admin.get("/users")
    assert (await admin.post(f"/users/{owner.id}/restore")).status_code == 303
    assert (await find_user(house.site.db, OWNER)).id == owner.id


async def test_erasure_of_a_removed_user_is_asked_for_once(house: House, admin: Admin) -> None:
    owner = await find_user(house.site.db, OWNER)
    assert (await admin.post(f"/users/{owner.id}/erase")).status_code == 404
    await admin.post(f"/users/{owner.id}/remove", address=OWNER, erase="yes")
    assert "being erased" in await admin.get("/users")
    assert (await admin.post(f"/users/{owner.id}/restore")).status_code == 409


async def test_invitation_that_is_not_mailed_is_shown_once(admin: Admin) -> None:
    told = await admin.post("/users/invite", email="new@site.test", role="USER", plan="default")
    assert (told.status_code, "/invite/" in told.text) == (201, True)
    shown = await admin.get("/users")
    assert "new@site.test" in shown
    assert "/invite/" not in shown.replace("/users/invite/withdraw", "")
    assert (await admin.post("/users/invite/withdraw", email="new@site.test")).status_code == 303
    assert "new@site.test" not in await admin.get("/users")
    assert (await admin.post("/users/invite", email="nobody", role="USER")).status_code == 422


async def test_last_admin_is_told_why_not(house: House, admin: Admin) -> None:
    last = await find_user(house.site.db, ADMIN)
    refused = await admin.post(f"/users/{last.id}/remove", address=ADMIN)
    assert (refused.status_code, "last admin" in refused.text) == (409, True)
    demoted = await admin.post(f"/users/{last.id}", role="USER", plan="default")
    assert (demoted.status_code, "last admin" in demoted.text) == (422, True)


async def test_plan_is_made_and_changed_by_form(house: House, admin: Admin) -> None:
    made = await admin.post("/plans/new", name="Large & fast", priority="5", mailbox_limit="100")
    assert made.status_code == 303, made.text
    assert "100" in await admin.get("/plans/Large%20%26%20fast")
    await admin.post("/plans/Large%20%26%20fast", priority="5", per_hour="60")
    plan = await find_plan(house.site.db, "Large & fast")
    assert (plan.mailbox_limit, plan.per_hour) == (None, 60)
    assert (await admin.post("/plans/new", name="default", priority="0")).status_code == 422
    assert (await admin.post("/plans/default", priority="much", per_hour="0")).text.count('aria-invalid="true"') == 2
    assert (await admin.browser.get("/plans/none")).status_code == 404


async def test_export_is_a_download(house: House, admin: Admin) -> None:
    owner = await find_user(house.site.db, OWNER)
    answer = await admin.browser.get(f"/users/{owner.id}/export")
    assert answer.headers["content-type"] == "application/zip"
