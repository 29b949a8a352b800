"""A folder becomes a table: the figures of one-by-one, whatever a file holds, however often the run was killed."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dermiq import api
from dermiq.__main__ import main
from dermiq.consultant import LocalConsultant
from dermiq.consultation import Readers
from dermiq.decoder.pool import BUSY
from dermiq.errors import DataError, ImageError, InputError, ModelError
from dermiq.exchange import batch, tasks
from dermiq.exchange.reading import Assessed, BothReaders, SpecialistAlone
from dermiq.exchange.results import Results
from dermiq.exchange.tasks import Task, tasks_of
from dermiq.knowledge import Graph
from dermiq.lesion.drawn import drawn_examples
from dermiq.settings import Settings
from dermiq.specialist import Specialist
from dermiq.types import CLASSES, Case
from dermiq.vlm.load import VLM
from tests.exchange.made import NAME, NUMBER, rgb
from tests.fakes import SPECIALIST, picture, png, reading, sample_answer
from tests.tiny import tiny

ROOT = Path(__file__).resolve().parents[2]


class Quick:
    """An assessor without models."""

    name, weights, device = "quick 1", "0123abcd", "CPU"

    def __init__(self) -> None:
        self.cases: list[Case] = []

    def assess(self, case: Case) -> Assessed:
        self.cases.append(case)
        answer = sample_answer(case, differentials=(SPECIALIST,))
        return Assessed(case, answer, tuple(reading(lesion, i) for i, lesion in enumerate(case.lesions)))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Quick:
    made = Quick()
    monkeypatch.setattr(batch, "reader_of", lambda options: made)
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four photographs, one of them below, a text, a hidden file and an empty one."""
    made = tmp_path / "photographs"
    (made / "more").mkdir(parents=True)
    for n, name in enumerate(("a.png", "b.png", "more/c.png", "d.JPG")):
        (made / name).write_bytes(png(picture(160, 120, seed=n)))
    (made / "notes.txt").write_text("x")
    (made / "._a.png").write_bytes(b"x")
    (made / "empty.png").touch()
    return made


def run(folder: Path, *more: str) -> int:
    return main(["batch", str(folder), "--out", str(folder.parent / "out.csv"), *more])


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def by_case(folder: Path) -> dict[str, dict[str, str]]:
    return {row["case"]: row for row in rows(folder.parent / "out.csv")}


# --- the figures ------------------------------------------------------------------------


def told(row: dict[str, str]) -> dict[str, Any]:
    return {
        "probabilities": {code: float(row[f"p_{code}"]) for code in CLASSES},
        "sets": {certainty: row[f"set_{certainty}"].split() for certainty in ("90", "95")},
        "model_revision": row["weights"],
    }


def test_every_row_is_what_assess_says_of_the_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = tmp_path / "photographs"
    made.mkdir()
    Image.fromarray(drawn_examples()[0][1]).save(made / "a.jpg")
    (made / "b.dcm").write_bytes(rgb())
    (made / "c.png").write_bytes(b"text")
    table = tmp_path / "table.csv"
    table.write_text("image;age;sex;site;symptoms\na.jpg;70;f;face;itch grew\nb.dcm;;;;\nc.png;;;;\n")
    assert run(made, "--table", str(table)) == 0
    found = by_case(made)
    capsys.readouterr()
    for name, more in (("a.jpg", "--age 70 --sex f --site face --symptom itch --symptom grew"), ("b.dcm", "")):
        assert main(["assess", str(made / name), *more.split(), "--reader", "specialist", "--json"]) == 0
        alone = json.loads(capsys.readouterr().out)
        assert told(found[name]) == {key: alone[key] for key in told(found[name])}
        assert found[name]["urgency"] == alone["urgency"]["level"]
        assert alone["quality"] == [] or alone["quality"][0] in found[name]["reasons"]
        assert (alone["abstention"] or "") in found[name]["reasons"]
    assert "not an image" in found["c.png"]["error"]
    assert found["c.png"]["p_mel"] == ""
    written = (tmp_path / "out.csv").read_text()
    assert [text for text in (str(tmp_path), NAME, NUMBER) if text in written] == []


def test_both_readers_have_their_columns() -> None:
    answer = sample_answer(Case(()))
    figures = batch.figures_of(Assessed(Case(()), answer, ()))
    assert set(figures) < set(batch.columns_of("vlm"))
    assert (figures["p_mel"], figures["vlm_p_mel"]) == ("0.58", "0.62")
    assert not [name for name in batch.columns_of("specialist") if name.startswith("vlm")]


def test_with_both_readers_a_row_is_the_answer_and_the_specialist_s_part_as_alone() -> None:
    model, processor = tiny("llava")
    vlm = VLM(model, processor, name="tiny", revision="0")
    consultant = LocalConsultant(Settings())
    consultant._readers = Readers(Specialist.load(), vlm, Graph.load(), max_images=1)
    consultant._loaded.set()
    both, case = BothReaders(consultant), Case((api.opened(rgb())[0],))
    assessed = both.assess(case)
    assert (both.name, both.weights) == (assessed.answer.model, assessed.answer.model_revision)
    row = batch.figures_of(assessed)
    for code in CLASSES:
        assert float(row[f"vlm_p_{code}"]) == assessed.answer.differentials[1].probability(code)
    alone = batch.figures_of(SpecialistAlone(consultant.readers().specialist, Graph.load()).assess(case))
    assert alone == {name: value for name, value in row.items() if not name.startswith("vlm")}


# --- folders and tables -----------------------------------------------------------------


def test_every_photograph_below_the_folder_has_its_row(folder: Path, quick: Quick) -> None:
    assert run(folder) == 0
    found = by_case(folder)
    assert list(found) == ["a.png", "b.png", "d.JPG", "empty.png", "more/c.png"]
    assert found["a.png"]["diagnosis"] == "mel"
    assert "empty" in found["empty.png"]["error"]
    assert {(row["model"], row["weights"]) for row in found.values()} == {("quick 1", "0123abcd")}


def test_a_table_says_whose_images_they_are(folder: Path, quick: Quick, capsys: pytest.CaptureFixture[str]) -> None:
    table = folder.parent / "mine.csv"
    table.write_text(
        "Case,Image,Age,Skin type,Symptoms,Question\n"
        'one,a.png,50-60,III,"bled, grew",Why?\none,more\\c.png,,3,,\n'
        "two,b.png,54,,,\ntwo,d.JPG,55,,,\nthree,gone.png,,,,\nfour,a.png,,,dances,\n"
    )
    assert run(folder, "--table", str(table)) == 0
    found = by_case(folder)
    assert found["one"]["file"] == "a.png | more/c.png"
    assert "differ in skin_type: III and 3" in found["one"]["error"]
    assert "differ in age: 54 and 55" in found["two"]["error"]
    assert "gone.png cannot be read: No such file" in found["three"]["error"]
    assert "“dances”" in found["four"]["error"]
    assert "1 photographs of the folder are not in the table" in capsys.readouterr().err


def test_what_the_table_says_reaches_the_reader(folder: Path, quick: Quick) -> None:
    table = folder.parent / "mine.csv"
    table.write_text('case,image,age,skin_type,symptoms,question\n1,a.png,50-60,III,"bled; grew",Why?\n1,b.png,,,,\n')
    assert run(folder, "--table", str(table)) == 0
    (case,) = quick.cases
    assert (case.context.age, case.context.skin_type, case.context.symptoms) == (None, 3, ("bled", "grew"))
    assert (case.question, len(case.lesions)) == ("Why?", 2)
    assert np.array_equal(case.lesions[0].pixels, api.lesion_of(folder / "a.png").pixels)


@pytest.mark.parametrize("name", ["/etc/passwd", "../a.png", "C:\\\\a.png", ""])
def test_a_table_names_files_below_the_folder(folder: Path, name: str) -> None:
    table = folder.parent / "mine.csv"
    table.write_text(f"image,age\n{name},5\n")
    with pytest.raises(DataError, match="line 2"):
        tasks_of(folder, table=table)


def test_no_folder_no_photographs_and_no_column_are_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        tasks_of(tmp_path / "gone", table=None)
    with pytest.raises(InputError, match="no photograph"):
        tasks_of(tmp_path, table=None)
    (tmp_path / "t.csv").write_text("picture,age\na,1\n")
    with pytest.raises(DataError, match="image"):
        tasks_of(tmp_path, table=tmp_path / "t.csv")


# --- faults -----------------------------------------------------------------------------


def test_a_fault_of_ours_is_a_row_and_one_of_the_model_the_end(
    folder: Path, quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults: Iterator[Exception] = iter([ZeroDivisionError("secret"), ModelError("The model is gone.")])

    def fail(case: Case) -> Assessed:
        raise next(faults)

    monkeypatch.setattr(quick, "assess", fail)
    assert run(folder) == 2
    (row,) = by_case(folder).values()
    assert row["error"] == "It could not be assessed (ZeroDivisionError)."


def test_a_busy_computer_is_asked_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answers: Iterator[Exception | None] = iter([ImageError(BUSY), ImageError(BUSY), None])
    case = Case(())

    def read(task: Task, folder: Path) -> Case:
        if error := next(answers):
            raise error
        return case

    monkeypatch.setattr(tasks.Task, "case", read)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    assert batch._read(Task("a", ("a",)), tmp_path) is case


# --- stopped and gone on with -----------------------------------------------------------


def test_a_run_goes_on_where_it_stopped(folder: Path, quick: Quick, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder) == 0
    out = folder.parent / "out.csv"
    whole = out.read_bytes()
    lines = whole.splitlines(keepends=True)
    head, done = lines[0], len(lines[0] + lines[1])
    for cut in (0, 5, len(head), len(head) + 9, done, done + 1, done + len(lines[2]) - 1, len(whole) - 1, len(whole)):
        out.write_bytes(whole[:cut])
        quick.cases.clear()
        assert run(folder) == 0
        assert out.read_bytes() == whole
        assert len(quick.cases) == 4 - sum(name in whole[:cut] for name in ends_of(lines)), cut
    assert "5 of 5 were done before" in capsys.readouterr().err


def ends_of(lines: list[bytes]) -> list[bytes]:
    """The whole lines of the four images that can be read."""
    return [line for line in lines[1:] if not line.startswith(b"empty")]


def test_zeros_that_a_lost_power_leaves_are_no_row(folder: Path, quick: Quick) -> None:
    assert run(folder) == 0
    out = folder.parent / "out.csv"
    whole = out.read_bytes()
    out.write_bytes(whole[: whole.rindex(b"\n", 0, -1) + 1] + bytes(40) + b"\n")
    assert run(folder) == 0
    assert out.read_bytes() == whole


def test_a_table_of_other_weights_or_options_is_not_gone_on_with(
    folder: Path, quick: Quick, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(folder) == 0
    out = folder.parent / "out.csv"
    whole = out.read_bytes()
    monkeypatch.setattr(Quick, "weights", "ffffffff")
    assert run(folder) == 2
    assert "weights '0123abcd', and now it is 'ffffffff'" in capsys.readouterr().err
    assert run(folder, "--reader", "vlm") == 2
    assert "first line is another" in capsys.readouterr().err
    assert out.read_bytes() == whole


def test_a_case_whose_patient_changed_is_not_gone_on_with(
    folder: Path, quick: Quick, capsys: pytest.CaptureFixture[str]
) -> None:
    table = folder.parent / "mine.csv"
    for age, code in (("54", 0), ("54", 0), ("55", 2)):
        table.write_text(f"image,age\na.png,{age}\n")
        assert run(folder, "--table", str(table)) == code
    assert "a.png with age '54', and now it is '55'" in capsys.readouterr().err


def test_a_file_that_is_no_table_of_ours_is_left_as_it_is(folder: Path, quick: Quick) -> None:
    out = folder.parent / "out.csv"
    for content in (b"my own notes", b"a,b\n1,2", png(picture())):
        out.write_bytes(content)
        assert run(folder) == 2
        assert out.read_bytes() == content


def test_names_that_no_line_can_hold_are_written_as_signs(folder: Path, quick: Quick) -> None:
    strange = os.fsdecode(b'x\n\xff,".png')
    (folder / strange).write_bytes(png(picture(160, 120)))
    for _ in range(2):
        assert run(folder) == 0
    assert by_case(folder)['x\\n\\udcff,".png']["error"] == ""
    assert len(by_case(folder)) == 6
    assert len((folder.parent / "out.csv").read_bytes().splitlines()) == 7


def test_two_runs_do_not_write_one_table(tmp_path: Path) -> None:
    one, two = (Results(tmp_path / "t.csv", columns=("case",), made_by={}) for _ in range(2))
    with one, pytest.raises(InputError, match="Another run"):
        two.__enter__()
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


WRITER = """
import sys
from pathlib import Path
from dermiq.exchange.results import Results
with Results(Path(sys.argv[1]), columns=("case", "text", "made"), made_by={"made": "x"}) as results:
    for n in range(10_000):
        if str(n) not in results.done:
            results.append({"case": str(n), "text": "word, " * (n % 50)})
"""


def test_a_killed_run_loses_no_row_that_it_wrote(tmp_path: Path) -> None:
    out, before = tmp_path / "t.csv", 0
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(out)], cwd=ROOT)
        until = time.monotonic() + 20
        while time.monotonic() < until and (not out.exists() or out.read_bytes().count(b"\n") < before + 20):
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        written = out.read_bytes()
        with Results(out, columns=("case", "text", "made"), made_by={"made": "x"}) as results:
            assert list(results.done) == [str(n) for n in range(written.count(b"\n") - 1)]
            assert all(row["text"] == ("word, " * (int(key) % 50)).strip("\n") for key, row in results.done.items())
            assert len(results.done) >= before + 19
            before = len(results.done)


def test_progress_says_how_far_and_how_long() -> None:
    progress = batch.Progress(100, done=20)
    progress.done = 40
    assert progress.line(progress.started + 10).strip() == "40/100, 2.00 a second, 30 s left"
    assert [batch.duration(seconds) for seconds in (9, 245, 7500)] == ["9 s", "4 min 05 s", "2 h 05 min"]
