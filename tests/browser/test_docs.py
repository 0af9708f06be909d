"""The description of the API in a browser."""

from playwright.async_api import Page, expect


async def test_description_is_shown_from_this_machine_alone(page: Page) -> None:
    await page.goto("/docs")
    await expect(page.get_by_text("/api/auth/token").first).to_be_visible()
