"""What the consultation gives to the review: only what was agreed to, once, and as training would have it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dermiq.errors import InputError
from dermiq.review.measures.columns import Votes
from dermiq.review.measures.quality import report_of
from dermiq.review.sets.freeze import freeze, lines, present
from dermiq.review.store.queue import priority
from dermiq.review.store.store import Store
from dermiq.review.types import Proxy, SetRule
from dermiq.settings import Settings
from dermiq.types import PatientContext
from dermiq.ui.consult.controller import ConsultController
from dermiq.ui.consult.visit import Visit
from dermiq.ui.review import quality_page
from dermiq.ui.review.access import Access
from dermiq.ui.review.contribute import Contributions
from dermiq.ui.review.controller import ReviewController
from dermiq.ui.review.verdicts import Verdicts
from tests.fakes import TEXT, FakeConsultant, png
from tests.fakes import picture as drawn
from tests.tiny_graph import GRAPH


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store.open(tmp_path / "review")
    yield made
    made.close()


def consulted(store: Store, *questions: str) -> tuple[ConsultController, Visit]:
    controller = ConsultController(FakeConsultant(pace=0), contributions=Contributions(lambda: store, offered=True))
    visit = Visit()
    visit.context = PatientContext(age=54, sex="male", site="back")
    list(controller.add_images(visit, [png(drawn(160, 120))]))
    for question in questions or ("What is it?",):
        list(controller.ask(visit, question))
    return controller, visit


def is_empty(store: Store) -> bool:
    return not list(store.pairs()) and not store.thumbs() and not any(change.what == "case" for change in store.log())


def test_each_answer_has_the_buttons_and_nothing_is_kept_by_them(store: Store) -> None:
    controller, visit = consulted(store)
    key = visit.exchanges[0].key
    assert "Correct this answer" in controller.chat(visit)
    for kind in ("good", "poor", "correct"):
        html = str(controller.opinion(visit, key, kind).chat)
        assert "Nothing is stored if you do not agree." in html
        assert 'name="agreed">' in html, "the box is not ticked"
    assert "Store it" not in str(controller.opinion(visit, key, "").chat)
    assert is_empty(store)


@pytest.mark.parametrize("kind", ["good", "poor", "correct"])
def test_without_consent_nothing_is_kept(store: Store, kind: str) -> None:
    controller, visit = consulted(store)
    controller.opinion(visit, "1", kind)
    assert "Nothing was stored." in str(controller.keep(visit, "1", agreed=False, text="Better.").chat)
    assert is_empty(store)


def test_consent_is_asked_for_each_answer_anew(store: Store) -> None:
    controller, visit = consulted(store, "What is it?", "Is it urgent?")
    controller.opinion(visit, "1", "good")
    controller.keep(visit, "1", agreed=True, text="")
    assert "Nothing was stored." not in str(controller.keep(visit, "2", agreed=True, text="").chat)
    assert len(store.thumbs()) == 1, "the second answer was not asked about"


def test_an_opinion_is_kept_with_its_case(store: Store) -> None:
    controller, visit = consulted(store)
    controller.opinion(visit, "1", "poor")
    assert "Stored for the review, as a poor answer." in str(controller.keep(visit, "1", agreed=True, text="").chat)
    (thumb,) = store.thumbs()
    assert not thumb.up
    controller.keep(visit, "1", agreed=True, text="")
    assert len(store.thumbs()) == 1, "once is enough"


def test_a_correction_becomes_a_pair_and_an_edit(store: Store) -> None:
    controller, visit = consulted(store)
    controller.opinion(visit, "1", "correct")
    assert "Nothing was changed" in str(controller.keep(visit, "1", agreed=True, text=TEXT).chat)
    controller.keep(visit, "1", agreed=True, text="It is a nevus.\r\nSure.")
    (view,) = store.pairs()
    assert view.pair.source == "consultation"
    assert {view.first.text, view.second.text} == {TEXT.strip(), "It is a nevus.\nSure."}
    (edit,) = store.edits()
    assert view.answer("first" if edit.answer_id == view.first.id else "second").text == TEXT.strip()
    assert edit.text == "It is a nevus.\nSure."
    assert view.case.context == "Patient: 54-year-old male, back."
    assert view.case.prompt[-1]["role"] == "user"
    assert view.case.diagnosis is None


def test_the_image_is_kept_as_pixels_alone(store: Store) -> None:
    controller, visit = consulted(store)
    controller.opinion(visit, "1", "good")
    controller.opinion(visit, "1", "correct")
    controller.keep(visit, "1", agreed=True, text="Other.")
    (view,) = store.pairs()
    (image,) = view.case.images
    with Image.open(io.BytesIO(store.image(image.sha256))) as kept:
        assert np.array_equal(np.asarray(kept), visit.lesions[0].pixels)
        assert not kept.getexif()
    (box,) = view.case.boxes
    assert box is not None
    left, top, right, bottom = box
    assert 0 <= left < right <= image.width
    assert 0 <= top < bottom <= image.height
    assert image.outline


def test_a_later_answer_is_kept_with_what_was_said_before(store: Store) -> None:
    controller, visit = consulted(store, "What is it?", "Is it urgent?")
    controller.opinion(visit, "2", "correct")
    controller.keep(visit, "2", agreed=True, text="It is.")
    (view,) = store.pairs()
    assert [message["role"] for message in view.case.prompt] == ["system", "user", "assistant", "user"]
    assert view.case.question == "Is it urgent?"
    texts = [part.get("text", "") for message in view.case.prompt for part in message["content"]]
    assert sum("[F1]" in text and text.startswith("Patient") for text in texts) == 1
    assert TEXT.strip() in texts


def test_a_failing_store_is_said_and_the_answer_stays(store: Store) -> None:
    def broken() -> Store:
        raise RuntimeError("disk")

    controller, visit = consulted(store)
    controller.contributions = Contributions(broken, offered=True)
    controller.opinion(visit, "1", "good")
    assert "the log has the reason" in str(controller.keep(visit, "1", agreed=True, text="").chat)


def test_nothing_is_offered_where_the_review_is_closed(store: Store, tmp_path: Path) -> None:
    for host, offered in (("127.0.0.1", True), ("0.0.0.0", False)):
        judging = ReviewController(Access(Settings(host=host)), lambda: store, Verdicts(lambda: GRAPH), tmp_path)
        controller, visit = consulted(store)
        controller.contributions = judging.contributions
        assert ("Correct this answer" in controller.chat(visit)) == offered
    assert "Correct this answer" not in ConsultController(FakeConsultant()).chat(visit)


# --- what was given counts, and can be taken back ---------------------------------------


def given(store: Store, controller: ConsultController, visit: Visit, kind: str, text: str = "Other.") -> str:
    """Keeps an opinion on the last answer; what the page then says."""
    key = visit.exchanges[-1].key
    controller.opinion(visit, key, kind)
    return str(controller.keep(visit, key, agreed=True, text=text).chat)


def images_of(store: Store) -> list[Path]:
    return [path for path in store._images.folder.rglob("*") if path.is_file()] if store._images.folder.exists() else []


def test_an_opinion_counts_in_the_quality_until_it_is_taken_back(store: Store) -> None:
    controller, visit = consulted(store)
    assert "Take back" in given(store, controller, visit, "good")
    report = report_of(Votes.of(store.columns()), store.opinions())
    assert (report.good.value, report.good.n, [one.good.n for one in report.models]) == (1.0, 1, [1])
    assert "1 opinions on single answers" in quality_page.page(report)
    assert store.counts().opinions == 1
    said = str(controller.take_back(visit, visit.exchanges[-1].key).chat)
    assert "Taken back." in said
    assert "Correct this answer" in said, "another opinion can be given"
    assert store.opinions() == []
    assert store.thumbs() == []
    assert store.counts().opinions == 0
    assert not images_of(store), "the image was deleted"
    assert [change.what for change in store.log()][-2:] == ["thumb undone", "image withdrawn"]


def test_after_taking_back_the_same_can_be_given_again(store: Store) -> None:
    controller, visit = consulted(store)
    given(store, controller, visit, "good")
    controller.take_back(visit, "1")
    controller.take_back(visit, "1")
    assert "as a poor answer" in given(store, controller, visit, "poor")
    assert [thumb.up for thumb in store.thumbs()] == [False]
    assert len(images_of(store)) == 1


def test_a_next_draft_makes_a_pair_of_both_which_goes_with_either(store: Store) -> None:
    consultant = FakeConsultant(pace=0)
    controller, visit = consulted(store)
    given(store, controller, visit, "poor")
    controller.consultant = consultant
    list(controller.retry(visit))
    visit.exchanges[-1].text = "Another draft."
    assert "Take back what was kept of the draft before" in controller.chat(visit)
    assert "it is a pair there now" in given(store, controller, visit, "good")
    (view,) = store.pairs()
    assert view.pair.source == "consultation"
    store.add_reviewer("ana", by="test")
    plain, leaning = priority(0.5, 1.0), view.pair.priority
    assert leaning < plain, "both opinions lean to the second draft, so a vote tells less"
    shown = store.next("ana")
    assert shown is not None
    first = visit.exchanges[-1].drafts[0].key
    controller.take_back(visit, first)
    assert store.pair(view.pair.id).pair.withdrawn
    assert store.next("ana") is None
    with pytest.raises(InputError, match="took it back"):
        store.vote(shown[0].id, "a", reviewer="ana", key="k")
    store.rebuild()
    assert store.pair(view.pair.id).pair.withdrawn
    assert len(images_of(store)) == 1, "the second opinion still stands on it"
    controller.take_back(visit, visit.exchanges[-1].key)
    assert not images_of(store)


def test_a_correction_can_be_taken_back_and_given_again(store: Store) -> None:
    controller, visit = consulted(store)
    given(store, controller, visit, "correct", "It is a nevus.")
    store.add_reviewer("ana", by="test")
    freeze(store, "before", SetRule(), by="ana")
    assert len(list(present(store, lines(store, "before@1")))) == 1
    controller.take_back(visit, "1")
    assert list(present(store, lines(store, "before@1"))) == [], "a frozen set is not trained with it any more"
    assert store.next("ana") is None
    assert store.edits() == []
    assert not images_of(store)
    with pytest.raises(InputError, match="took it back"):
        freeze(store, "mine", SetRule(proxy_only=True), by="ana")
    given(store, controller, visit, "correct", "It is a nevus.")
    assert store.next("ana") is not None
    assert len(images_of(store)) == 1


def test_what_was_taken_back_goes_also_where_the_process_died_before(store: Store, tmp_path: Path) -> None:
    controller, visit = consulted(store)
    given(store, controller, visit, "good")
    (image,) = images_of(store)
    kept = image.read_bytes()
    controller.take_back(visit, "1")
    image.write_bytes(kept)  # as if it had not come to that
    Store.open(tmp_path / "review").close()
    assert not image.exists()


def test_a_correction_is_judged_by_the_graph_like_any_pair(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "judged", judge=lambda pair: Proxy("first", 0.2, "accuracy"))
    controller, visit = consulted(store)
    given(store, controller, visit, "correct", "It is a nevus.")
    (view,) = store.pairs()
    assert view.pair.proxy
    store.close()
