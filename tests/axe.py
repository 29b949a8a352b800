"""What axe-core finds on the page of a browser: the rules of accessible content, as far as a machine can check them."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.ui.test_browser import Page

RUN = """
const [rules, done] = arguments, how = { resultTypes: ['violations'] };
if (rules.length) how.runOnly = { type: 'rule', values: rules };
axe.run(document, how).then(({ violations }) => done(violations.flatMap(({ id, impact, nodes }) =>
  nodes.map((node) => `${impact} ${id}: ${node.target.join(' ')} ${node.html.slice(0, 120)}`))));
"""


def findings(page: Page, *rules: str) -> list[str]:
    """Impact, rule and element of each; by `rules` alone where some are named."""
    if not page.js("return Boolean(window.axe)"):
        page.js(resources.files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
    found: list[str] = page.driver.execute_async_script(RUN, list(rules))
    return found


def findings_of_both_themes(page: Page, **size: Any) -> list[str]:
    """All rules in the light one; what depends on colours again in the dark one."""
    page.look(**size)
    found = findings(page)
    page.look(**size, dark=True)
    found += findings(page, "color-contrast")
    page.look(**size)
    return found
