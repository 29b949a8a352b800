"""What axe-core finds on the page of a browser: the rules of accessible content, as far as a machine can check them."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.ui.test_browser import Page

ALIKE = ".dq-model-card td"  # hundreds of cells that are as the next one, half of the time
RUN = """
const [alike, rules, done] = arguments, how = { resultTypes: ['violations'] };
if (rules.length) how.runOnly = { type: 'rule', values: rules };
const where = { include: [['html']], exclude: [[alike]] };
axe.run(where, how).then(({ violations }) => done(violations.flatMap(({ id, impact, nodes }) =>
  nodes.map((node) => `${impact} ${id}: ${node.target.join(' ')} ${node.html.slice(0, 120)}`))));
"""


def findings(page: Page, *rules: str) -> list[str]:
    """Impact, rule and element of each; by `rules` alone where some are named."""
    if not page.js("return Boolean(window.axe)"):
        page.js(resources.files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
    found: list[str] = page.driver.execute_async_script(RUN, ALIKE, list(rules))
    return found


def findings_of_both_themes(page: Page) -> list[str]:
    """All rules in the light one; what depends on colours again in the dark one."""
    page.look()
    found = findings(page)
    page.look(dark=True)
    found += findings(page, "color-contrast")
    page.look()
    return found
