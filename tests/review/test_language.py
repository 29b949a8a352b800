"""The Review tab in another language: no English text of the page is left in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from markupsafe import Markup

from dermiq import language
from dermiq.errors import InputError
from dermiq.review.measures.columns import Votes
from dermiq.review.measures.figures import figures_of
from dermiq.review.measures.quality import report_of
from dermiq.review.store.store import Store
from dermiq.settings import Settings
from dermiq.types import CLASS_NAMES
from dermiq.ui.component import STATIC
from dermiq.ui.review import adjudicate, finished, layout, quality_page, sets_page
from dermiq.ui.review.access import LOST, READ_ONLY, Access
from dermiq.ui.review.administration import Administration
from tests.languages import in_brackets, left_in, said_by
from tests.review.browser import ADA, LEAD, Browser, session_of, store_with
from tests.review.synthetic import fill_votes, synthetic_pairs

KNOWN = ("Ctrl Enter", "Esc", "Escape", "Shift E", "ada", "lead", "preferences", "majority", "adjudicated", "UTC")
MORE = ("python -m dermiq review import pairs", "jsonl", "train", "preferences")
NOTE = "names nothing that the graph knows"  # of the graph, on a sentence
OUT = re.compile(r"<svg.*?</svg>|<pre.*?</pre>|aria-label=\"[^\"]*(?:share|curve|Share)[^\"]*\"", re.DOTALL)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = store_with(tmp_path, pairs=0)
    made.add_pairs([*synthetic_pairs(30)], by="test")
    yield made
    made.close()


@pytest.fixture
def brackets() -> Iterator[None]:
    with in_brackets():
        yield


def left(html: object, *known: str) -> set[str]:
    names = (*CLASS_NAMES, *CLASS_NAMES.values())
    return left_in(OUT.sub("", str(html)), [*KNOWN, *MORE, *names, *known], part=12)


@pytest.mark.usefixtures("brackets")
def test_no_text_of_the_frame_bypasses_the_translation() -> None:
    everything = Settings(admin_password="x", reviewers="ada:b")
    pages = (layout.frame(ADA), layout.frame(LEAD, lost=LOST), layout.read_only("", Markup("")))
    for html in (*pages, layout.sign_in(Access(everything)), layout.sign_in(Access(Settings())), *ends()):
        assert not left(html)


def ends() -> list[object]:
    more = [finished.empty(is_admin=True), finished.empty(is_admin=False), adjudicate.nothing()]
    return [*more, adjudicate.progress_line(2), sets_page.page([], [sets_page.Made("ada", 3)], is_admin=True)]


@pytest.mark.usefixtures("brackets")
def test_no_text_of_a_pair_and_its_vote_bypasses_the_translation(store: Store) -> None:
    pairs = [*said_by([store.pair(pair.pair_id) for pair in store.votes()])]
    session = session_of(store, rubric="open")
    for choice in ("a", "tie", "skip"):
        work = session.work()
        item = work.items[0]
        view = store.pair(item.pair)
        pairs = [*said_by([view.case, view.first, view.second, view.pair])]
        judged = session.vote(item.showing, choice, key=choice, seconds=5)
        shown = (item.html, work.progress, judged.work.progress, session.look_back(judged.vote))
        for html in (*shown, f"<p>{judged.said}</p>", session.end()):
            assert not left(html, *pairs, NOTE)
    item = session.work().items[0]
    assert not left(session.check(item.showing, "a", "A new text."), "A new text", NOTE)


@pytest.mark.usefixtures("brackets")
def test_no_text_of_figures_and_sets_bypasses_the_translation(store: Store, tmp_path: Path) -> None:
    empty = report_of(Votes.of(store.columns()), store.opinions())
    assert not left(quality_page.page(empty))
    fill_votes(store, reviewers=4)
    report = report_of(Votes.of(store.columns()), store.opinions())
    names = [one.name for one in report.reviewers]
    figures = [text for figure in figures_of(report) for text in (figure.title, figure.alt)]
    page = quality_page.page(replace(report, outliers=()))
    assert not left(page, *names, *figures, *(one.name for one in report.models))
    assert not left(finished.page(report.reviewers[0], store.progress(names[0])), *names)
    administration = Administration(store, LEAD, tmp_path)
    administration.freeze({"name": "ada", "with_edits": True, "proxy_only": True, "min_margin": "0.1"})
    assert not left(administration.sets())


def test_what_cannot_be_done_is_said_in_german(store: Store, tmp_path: Path) -> None:
    browser = Browser(store, tmp_path)
    language.use("de")
    try:
        assert "Nennen Sie einen Namen" in json.dumps(browser.sign_in(""), ensure_ascii=False)
        browser.sign_in("ada")
        assert browser.say("freeze", fields={})["error"].startswith("Dies ist Administratoren vorbehalten.")
        assert browser.say("undo", vote="x")["error"].startswith("Es gibt keine solche Stimme")
        assert "nennt keine Gutachter" in language.said(READ_ONLY)
        with pytest.raises(InputError, match="DERMIQ_REVIEWERS"):
            Access(Settings(reviewers="ada"))
    finally:
        language.use("en")


@pytest.mark.parametrize("name", ["review.js", "review-typing.js"])
def test_the_scripts_say_nothing_that_is_not_translated(name: str) -> None:
    script = (STATIC / name).read_text(encoding="utf-8")
    assert not re.search(r'\b(?:tell|toast)\(["`]\w', script)
