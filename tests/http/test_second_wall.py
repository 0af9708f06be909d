"""What was written down with another user's address in it, by whatever way, is not told to an owner."""

import pytest

from tests.http.conftest import ADMIN, NOW, OWNER, House
from tests.http.test_reports import fill
from warmupd.core.mailbox import MailboxState
from warmupd.store.states import change_state, note_error

API = "/api/warmup"


@pytest.fixture
async def box(house: House) -> int:
    """A mailbox in trouble, with an owner who has another one."""
    first, _ = await fill(house.site.db, OWNER, 2, sent=0)
    words = "550 bob@secret.test, says box2@owner.test"
    db = house.site.db
    await change_state(db, first, MailboxState.SUSPENDED, actor="daemon", reason=words, at=NOW)
    await note_error(db, first, message=words, remedy="wait", at=NOW)
    return first


async def test_no_answer_and_no_page_names_anothers_address(house: House, box: int) -> None:
    client, browser = await house.as_user(OWNER), await house.browser(OWNER)
    for path in ("metrics", "mailboxes", f"mailboxes/{box}", f"mailboxes/{box}/explain", "state-changes"):
        answer = (await client.get(f"{API}/{path}")).text
        assert "bob@" not in answer, path
        assert "another user's address" not in answer or "says box2@owner.test" in answer, path
    for path in ("/", "/mailboxes", f"/mailboxes/{box}"):
        assert "bob@" not in (await browser.get(path)).text, path


async def test_an_admin_reads_all_of_it(house: House, box: int) -> None:
    client = await house.as_user(ADMIN)
    assert "bob@secret.test" in (await client.get(f"{API}/state-changes")).text
