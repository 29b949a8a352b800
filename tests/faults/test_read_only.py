"""A folder that takes nothing: a place below a file, which no user may write to, not even root."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dermiq import shipped
from dermiq.errors import DermIQError, ModelError
from dermiq.examples import Examples
from dermiq.knowledge.export import export as export_graph
from dermiq.knowledge.language import embed
from dermiq.knowledge.schema import Tables
from dermiq.review.sets.freeze import export as export_set
from dermiq.review.sets.freeze import freeze
from dermiq.review.store.store import Store
from dermiq.review.types import SetRule
from dermiq.types import CLASSES, Case, Lesion
from dermiq.ui.training import own_data
from dermiq.ui.training.beside import Beside
from dermiq.vlm.base import ensure_base
from tests.fakes import FakeConsultant, picture
from tests.review.votes import review, store_of
from tests.tiny_graph import EDGES, NODES, SOURCE
from tests.train.tiny_stage import TinyConfig
from train import preferences
from train.evaluate import write_predictions
from train.runs import registry as runs


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "below"


PREDICTED = pd.DataFrame([{"image_id": "a", **{f"p_{code}": 1 / 7 for code in CLASSES}, "answer": "nv"}])
WRITERS: dict[str, Callable[[Path], object]] = {
    "a run": lambda place: runs.create(TinyConfig(), root=place),
    "the review": lambda place: Store(place),
    "data to train on": lambda place: own_data.keep(b"PK", place),
    "the base language model": lambda place: ensure_base(place),
    "an export of the graph": lambda place: export_graph(Tables(NODES, EDGES, (SOURCE,)), "jsonld", place / "a"),
    "predictions": lambda place: write_predictions(PREDICTED, place / "a.csv"),
    "pairs": lambda place: preferences.Pairs(place / "pairs.jsonl", {}),
}


@pytest.mark.fault(
    "A folder is read-only",
    where="runs, the review, uploads, the base language model, exports, predictions, pairs",
    seen="which place cannot be written, why, and which other place to name",
    kept="everything",
)
@pytest.mark.parametrize("what", WRITERS)
def test_what_cannot_be_written_is_one_sentence(what: str, place: Path) -> None:
    with pytest.raises(DermIQError) as caught:
        WRITERS[what](place)
    assert len(str(caught.value)) > 30
    assert place.parent.read_text() == ""


@pytest.mark.fault(
    "A folder is read-only",
    where="the runs' folder, while a consultation is answered; the caches of embedded sentences and of examples",
    seen="nothing",
    kept="the answer",
)
def test_an_answer_needs_no_folder(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside, case = Beside(FakeConsultant(), place), Case((Lesion(picture()),))
    events = list(beside.assess(case, stop=threading.Event(), session_id="a"))
    assert events
    monkeypatch.setenv("DERMIQ_CACHE", str(place))
    assert list(Examples().keeping("key", (event for event in events))) == events
    assert Examples().find("key") is None
    monkeypatch.setattr(embed, "encode", lambda texts: np.ones((len(texts), embed.DIMENSIONS), np.float32))
    assert embed.encode_cached(["never shipped"]).shape == (1, embed.DIMENSIONS)


@pytest.mark.fault(
    "A folder is read-only",
    where="the export of a set of the review",
    seen="“… cannot be written: …. …” with: “Free some space there, or name another place.”",
    kept="the set",
)
def test_a_set_stays_where_its_export_cannot_be_written(place: Path, tmp_path: Path) -> None:
    store = store_of(tmp_path, 2, overlap=1)
    review(store, "ben", {0: "good", 1: "good"})
    freeze(store, "mine", SetRule(), by="ana")
    with pytest.raises(DermIQError, match="cannot be written"):
        export_set(store, "mine@1", place / "set")
    assert export_set(store, "mine@1", tmp_path / "set").pairs == 2
    store.close()


@pytest.mark.fault(
    "A folder is read-only",
    where="`dermiq.shipped`",
    seen="“… cannot be written: …. …” with: “The manifest is as it was.”",
    kept="the manifest",
)
def test_a_manifest_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "PARTS", {tmp_path.resolve(): ModelError})
    (tmp_path / shipped.MANIFEST).mkdir()  # nothing can be put in its place
    with pytest.raises(DermIQError, match="cannot be written"):
        shipped.seal(tmp_path)
