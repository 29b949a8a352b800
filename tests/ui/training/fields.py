"""The fields of the training form in a real browser, by the names of `form_shown`."""

from __future__ import annotations

from dermiq.ui.training.form_shown import elem_id
from tests.ui.test_browser import Page

TYPED = (
    "const [e, text] = arguments; e.focus(); e.value = text; e.dispatchEvent(new Event('input', {bubbles: true}));"
    "requestAnimationFrame(() => e.blur())"
)


def field(key: str) -> str:
    """As CSS finds what is typed into."""
    return f"#{elem_id(key)} :is(input, textarea)"


def fill(page: Page, key: str, text: str) -> None:
    page.js(TYPED, page.one(field(key)), text)


def value(page: Page, key: str) -> str:
    said: str = page.one(field(key)).get_attribute("value") or ""
    return said


def choose(page: Page, key: str, title: str) -> None:
    """Opens the list, and clicks what is called so."""

    def choice():  # type: ignore[no-untyped-def]
        return next((one for one in page.all("ul[role=listbox] li") if one.text.strip().endswith(title)), None)

    page.click(field(key))
    page.until(lambda: choice() and (choice().click(), True), title)


def unfold(page: Page, key: str) -> None:
    page.click(f"#{elem_id(f'fold.{key}')} button")
