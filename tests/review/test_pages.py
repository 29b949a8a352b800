"""The Review tab's HTML: what is shown before a vote and what is not, escaping, words that differ, figures, sets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from markupsafe import Markup

from dermiq.knowledge.check.measured import from_words, judge
from dermiq.lesion import measure_findings
from dermiq.review import prompted
from dermiq.review.measures.columns import Votes
from dermiq.review.measures.quality import report_of
from dermiq.review.store.store import Store
from dermiq.review.types import FrozenSet, ReviewCase, SetRule
from dermiq.ui.review import layout, quality_page, sets_page
from dermiq.ui.review.access import Access
from dermiq.ui.review.differences import marked_apart
from dermiq.ui.review.picture import PURGED
from tests.lesion.test_findings import disc, half_moon, painted, star
from tests.review.browser import ADA, BEA, LEAD, session_of, store_with
from tests.review.cases import new_pair, picture
from tests.tiny_graph import GRAPH

EVIL = "<img src=x onerror=alert(1)>"
FIRST = "<think>\n1. Findings: Redpox shows a broken ring [F1].\n2. Conclusion: Redpox.\n</think><answer>mel</answer>"
PROMPT = (
    {"role": "system", "content": "You help."},
    {
        "role": "user",
        "content": "Facts:\n[F1] Redpox shows a broken ring.\n[F2] Said nowhere else.\nQuestion: What is it?\nThink.",
    },
    {"role": "assistant", "content": [{"type": "text", "text": "<think>x</think>It is redpox."}]},
    {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Question: Is it urgent?"}]},
)


def words(html: object) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", str(html)).split())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = store_with(tmp_path, pairs=0)
    yield made
    made.close()


def put(store: Store, prompt: Any = PROMPT, answers: tuple[str, str] = (FIRST, "Blue."), **rest: Any) -> str:
    """One pair; its HTML for ada."""
    image = store.keep_image(picture(), by="test")
    boxes = rest.pop("boxes", ((4, 5, 40, 50),))
    outline = rest.pop("outline", ((1.0, 2.0), (30.0, 2.0), (30.0, 40.0)))
    case = ReviewCase.of(prompt, "Is it urgent?", images=(replace(image, outline=outline),), boxes=boxes, **rest)
    made = new_pair(1, case=case)
    texts = zip((made.first, made.second), answers, strict=True)
    first, second = (replace(answer, id=f"{answer.id}x", text=text) for answer, text in texts)
    store.add_pairs([replace(made, first=first, second=second, overlap=20)], by="test")
    return str(session_of(store).work().items[0].html)


# --- a pair -----------------------------------------------------------------------------


def test_a_pair_shows_image_case_and_both_answers_level(store: Store) -> None:
    html = put(store, context="Patient: 54-year-old male, back.", findings=("irregular border", "two colours"))
    for said in ("Patient 54-year-old male, back.", "Measured irregular border; two colours", "Is it urgent?"):
        assert said in words(html)
    assert html.count('<article class="dq-one"') == 2
    assert html.count("data:image/jpeg;base64,") == 1
    assert 'viewBox="0 0 64 64"' in html
    assert '<rect class="dq-seen" x="4" y="5" width="36" height="45"/>' in html
    assert "the lesion’s outline and the part that the model saw" in html
    assert html.count("<summary>Reasoning</summary>") == 1


def test_nothing_of_model_graph_or_label_is_seen_before_the_vote(store: Store) -> None:
    html = put(store, diagnosis="mel", source="a secret data set", group="lesion 7")
    for hidden in ("nano", "graph prefers", "It cites the graph", "secret data set", "lesion 7", "dq-mark ", "margin"):
        assert hidden not in html
    assert "melanoma" not in html.replace("</span> Melanoma</p>", ""), "but for the model's own answer"


def test_marks_before_the_vote_where_the_set_allows_them(store: Store) -> None:
    put(store)
    html = session_of(store, marks="before").work().items[0].html
    assert "dq-mark dq-supported" in html


def test_a_number_that_the_prompt_gave_to_another_fact_is_put_right(store: Store) -> None:
    put(store, answers=(FIRST.replace("[F1]", "[F2]"), "Blue."))
    html = session_of(store, marks="before").work().items[0].html
    assert "Fact 2, cited wrongly: Said nowhere else." in html
    assert "Fact 1, put right: the model wrote 2: Redpox shows a broken ring." in html


def test_a_reviewer_may_see_the_other_order(store: Store) -> None:
    put(store)
    seen = set()
    for name in map(str, range(12)):
        store.add_reviewer(name, by="test")
        found = store.next(name)
        seen |= {found[0].left} if found else set()
    assert len(seen) == 2, "nobody's order tells which answer is the pair's first"
    html = str(session_of(store).work().items[0].html)
    left = store.next("ada")[0].left  # type: ignore[index]
    assert (html.index(">Reasoning<") < html.index('aria-label="Answer B"')) == (left == "first")


def test_what_the_model_was_told_is_at_hand(store: Store) -> None:
    html = put(store)
    assert "Facts that the model was given (2)" in html
    assert 'aria-label="Fact 1: Redpox shows a broken ring."' in html
    assert "this graph has no such sentence" in html
    assert "What is it? It is redpox." in words(html[html.index("Earlier in this conversation") :])


def test_nothing_that_came_in_becomes_markup(store: Store) -> None:
    prompt = [{"role": "user", "content": f"[F1] {EVIL}\nQuestion: {EVIL}"}, {"role": "assistant", "content": EVIL}]
    prompt.append({"role": "user", "content": EVIL})
    html = put(store, prompt, (f"{EVIL} one", f"</textarea>{EVIL} two"), context=EVIL, findings=(EVIL,), diagnosis=EVIL)
    session = session_of(store)
    item = session.work().items[0]
    session.keep_draft(item.showing, {}, f"</textarea>{EVIL}", {"a": f"</textarea>{EVIL}"})
    checked = session.check(item.showing, "a", f"{EVIL} is redpox.")
    pages = [html, session.work().items[0].html, checked]
    judged = session.vote(item.showing, "a", key="1", comment=EVIL)
    pages += [judged.said, session.look_back(judged.vote)]
    for page in pages:
        assert "<img src=x" not in page
        assert "</textarea>&lt;" not in page
        assert "</textarea><img" not in page


def test_a_deleted_image_is_said_and_the_pair_stays(store: Store) -> None:
    put(store)
    (image,) = next(store.pairs()).case.images
    store.purge_image(image.sha256, by="lead", why="consent was taken back")
    assert PURGED in session_of(store).work().items[0].html


def test_the_models_text_stays_as_it_is_in_the_field(store: Store) -> None:
    html = put(store, answers=("\nBegins with a line.", "<answer>x</answer>\n“Quoted” & more"))
    fields = re.findall(r"<textarea data-edit[^>]*>\n(.*?)</textarea>", html, re.DOTALL)
    assert sorted(map(Markup.unescape, map(Markup, fields))) == sorted(
        ("\nBegins with a line.", "<answer>x</answer>\n“Quoted” & more")
    )


# --- the model's prompt -----------------------------------------------------------------


def test_facts_are_those_of_the_graph_where_it_has_them() -> None:
    items = prompted.evidence(ReviewCase.of(PROMPT, "?"), GRAPH).items
    assert [item.number for item in items] == [1, 2]
    assert items[0].fact.id in {fact.id for fact in GRAPH.all_facts}
    assert items[1].fact.source.id == "prompt"


@pytest.mark.parametrize("prompt", [(), [{"role": "user"}], [{"role": "user", "content": []}], PROMPT[:2]])
def test_a_prompt_without_earlier_turns(prompt: Any) -> None:
    assert prompted.earlier(ReviewCase.of(prompt, "?")) == ()


@pytest.mark.parametrize("shape", [disc, star, half_moon])
@pytest.mark.parametrize("colour", [(150, 100, 66), (30, 25, 25), (200, 60, 60)])
def test_findings_in_words_judge_sentences_as_the_measurements_do(shape: Any, colour: Any) -> None:
    findings = measure_findings(painted(shape(), colour), shape())
    said = from_words([finding.text for finding in findings])
    sentences = ["The border is irregular.", "The border is smooth.", "It is symmetric.", "Black areas are seen."]
    sentences += ["Four colours are present.", "One colour is present.", "There are no red areas.", "Several colours."]
    sentences += ["It is asymmetric about both axes.", "The lesion is round."]
    for sentence in sentences:
        of_words = {(j.code, j.agrees) for j in judge(sentence, said)}
        assert of_words == {(j.code, j.agrees) for j in judge(sentence, findings)}, sentence


# --- words that differ ------------------------------------------------------------------

MARKS = [
    ("the same words", "The same words!", "the same words", "The same words!"),
    ("a b c", "a x c", "a [b] c", "a [x] c"),
    ("a b c d", "a d", "a [b c] d", "a d"),
    ("<p>a <b>b</b> c</p>", "<p>a c</p>", "<p>a <b>[b]</b> c</p>", "<p>a c</p>"),
    ("<p>a b</p><p>c d</p>", "<p>x</p>", "<p>[a b]</p><p>[c d]</p>", "<p>[x]</p>"),
    ("x &amp; y", "x &lt; y", "x [&amp;] y", "x [&lt;] y"),
    ("34 % of it", "35 % of it", "[34] % of it", "[35] % of it"),
    ("", "a", "", "[a]"),
]


@pytest.mark.parametrize(("one", "other", "left", "right"), MARKS)
def test_words_that_differ_are_marked(one: str, other: str, left: str, right: str) -> None:
    found = [
        str(html).replace('<mark class="dq-differs">', "[").replace("</mark>", "]")
        for html in marked_apart(Markup(one), Markup(other))
    ]
    assert found == [left, right]


# --- around the pairs -------------------------------------------------------------------


def test_every_choice_has_its_key_in_its_label() -> None:
    html = str(layout.frame(ADA))
    for key, name in (("1", "A better"), ("2", "B better"), ("3", "tie"), ("4", "both bad"), ("s", "skip")):
        assert re.search(rf'aria-keyshortcuts="{key}"><kbd>{key}</kbd> {name}</button>', html)
    assert 'data-view="split"' not in html
    assert 'data-view="split"' in layout.frame(LEAD)


def test_a_space_that_forgets_says_so_before_and_after_signing_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from dermiq import places
    from dermiq.settings import Settings

    monkeypatch.setattr(places, "STORAGE", tmp_path / "none")
    monkeypatch.setenv("SPACE_ID", "ada/derm")
    access = Access(Settings())
    assert "lost when it restarts" in layout.sign_in(access)
    assert "lost when it restarts" in layout.frame(ADA, lost=access.lost)
    assert Access(Settings(review=tmp_path)).lost == "", "whoever names a folder knows what becomes of it"
    (tmp_path / "none").mkdir()
    assert access.lost == ""
    monkeypatch.delenv("SPACE_ID")
    assert "lost when" not in layout.sign_in(access)


def test_a_password_is_asked_for_where_one_is_needed() -> None:
    from dermiq.settings import Settings

    assert "password" not in layout.sign_in(Access(Settings()))
    assert 'type="password"' in layout.sign_in(Access(Settings(admin_password="x")))
    assert EVIL not in layout.sign_in(Access(Settings()), refused=EVIL, name=EVIL)


def judged(store: Store) -> None:
    store.add_pairs((new_pair(number) for number in range(8)), by="test")
    for person in (ADA, BEA):
        session = session_of(store, person)
        number = 0
        while items := session.work().items:
            grades = {"a": {"accuracy": 4, "safety": 5}, "b": {"accuracy": 2, "safety": 4}}
            session.vote(items[0].showing, ("a", "b", "tie")[number % 3], key=f"{person.name}{number}", rubric=grades)
            number += 1


def test_quality_is_shown_with_intervals_and_words_for_each_drawing(store: Store) -> None:
    judged(store)
    html = str(quality_page.page(report_of(Votes.of(store.columns()))))
    for said in ("Each reviewer", "Each two reviewers", "By diagnosis", "By criterion of the rubric", "ada, bea"):
        assert said in html
    assert "Krippendorff’s alpha, 8 pairs judged twice" in html
    assert re.search(r'role="img" aria-label="Share of votes that prefer[^"]{40,}"', html)
    assert html.count("<svg") == html.count('role="img"')


def test_quality_without_names_names_nobody(store: Store) -> None:
    judged(store)
    html = str(quality_page.page(quality_page.without_names(report_of(Votes.of(store.columns())))))
    assert "By diagnosis" in html
    assert not re.search(r"\b(ada|bea)\b", html)


def test_quality_of_nothing_is_said(store: Store) -> None:
    assert "Nothing was judged yet" in quality_page.page(report_of(Votes.of(store.columns())))


def test_sets_are_listed_newest_first_with_rule_and_card() -> None:
    at = datetime(2026, 3, 1, tzinfo=timezone.utc)
    made = [FrozenSet("mine", n, SetRule(min_votes=2), "lead", at, 7, "d", f"# Card {EVIL} {n}") for n in (1, 2)]
    html = str(sets_page.page(made, [sets_page.Made("run-1", 12)], is_admin=True))
    assert html.index("mine@2") < html.index("mine@1")
    assert "what more than half say, at least 2 votes, with corrections" in html
    assert EVIL not in html
    assert "12 pairs" in html
    assert "No set is frozen yet" in sets_page.page([], [], is_admin=False)


def test_replies_are_json(store: Store) -> None:
    from dermiq.ui.review.controller import work

    put(store)
    found = work(session_of(store).work())
    assert json.loads(json.dumps(found)) == found
