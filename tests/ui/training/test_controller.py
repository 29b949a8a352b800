"""What a visitor of the Training tab does, with real run folders and real (small) processes, without a browser."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dermiq.errors import ModelError
from dermiq.knowledge import Graph
from dermiq.settings import Settings
from dermiq.types import Case
from dermiq.ui.training.access import Access, impossible
from dermiq.ui.training.beside import Beside
from dermiq.ui.training.controller import Said, TrainingController, TrainingSession
from dermiq.ui.training.forecast import forecast
from dermiq.ui.training.form import Form
from tests.fakes import FakeConsultant
from tests.train.stage_runs import make_table, tiny_options
from tests.train.tiny_stage import TinyConfig
from tests.zips import packed
from train import options
from train.grpo import GRPOConfig
from train.pipeline import PipelineConfig
from train.runs import arbiter, paths, worker
from train.runs import registry as runs

PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def graph() -> Graph:
    return Graph.load()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DERMIQ_RUNS", str(tmp_path / "runs"))
    return paths.runs_folder()


@pytest.fixture
def room(root: Path, graph: Graph) -> TrainingController:
    return room_of(root, graph)


def room_of(root: Path, graph: Graph, **settings: Any) -> TrainingController:
    beside = Beside(FakeConsultant(), root)
    return TrainingController(Access(Settings(**settings)), beside, root=root, graph=lambda: graph)


def act(
    room: TrainingController, session: TrainingSession, event: str, index: str = "", value: str = "", **fields: str
) -> dict[str, str]:
    """What an event changes on the page."""
    changed: dict[str, str] = {}
    for step in room.act(session, event, Said(index, value, fields)):
        changed |= {part: str(html) for part, html in step.items() if part != "form"}
        changed["form"] = changed.get("form", "") + str(step.get("form", ""))
    return changed


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.1)


def finished(root: Path, name: str, steps: int = 4) -> runs.Run:
    folder = runs.create(TinyConfig(steps=steps, seconds=0.0), name=name, root=root)
    worker.work(folder)
    return runs.load_run(folder)


# --- what is seen ---------------------------------------------------------------------------


def test_an_empty_room_offers_the_example(room: TrainingController) -> None:
    session = TrainingSession()
    seen = room.look(session)
    assert "No run yet" in seen["rows"]
    assert 'data-event="smoke"' in seen["rows"]
    assert seen["form"]["form"] == {"visible": True}
    assert room.look(session) == {}  # nothing is sent twice


def test_a_run_is_shown_as_it_goes_and_survives_the_room(room: TrainingController, root: Path, graph: Graph) -> None:
    run = runs.start(TinyConfig(steps=400, seconds=0.02), name="one", root=root)
    session = TrainingSession()
    seen: dict[str, str] = {}

    def looked(words: str) -> bool:
        nonlocal seen
        seen |= {part: str(html) for part, html in room.look(session).items()}
        return words in seen["head"]

    until(lambda: looked("running"))
    until(lambda: looked("running") and "data-curves" in seen["curves"] and "Loss" in seen["curves"])
    assert room.training().startswith("Training one: step ")
    other, second = room_of(root, graph), TrainingSession()  # the app was started again
    assert "running" in other.look(second)["head"]
    assert "finishes its step" in act(other, second, "stop", "one")["head"]
    until(lambda: runs.load_run(run.folder).state == "stopped")
    until(lambda: looked("stopped"))
    assert "Resume" in seen["head"]
    act(room, session, "resume", "one")
    until(lambda: runs.load_run(run.folder).state == "running")
    assert "Killed on request" in act(room, session, "kill", "one")["head"]
    assert runs.load_run(run.folder).state == "interrupted"


def test_a_run_that_dies_is_told_at_the_next_look(room: TrainingController, root: Path) -> None:
    run = runs.start(TinyConfig(steps=400, seconds=0.05), name="one", root=root)
    until(lambda: runs.load_run(run.folder).status.step > 3)
    session = TrainingSession()
    room.look(session)
    runs.kill(run.folder)
    (run.folder / "status.json").write_text((run.folder / "status.json").read_text().replace("Killed on request.", ""))
    time.sleep(0.6)  # a list of runs is shared for half a second
    assert "interrupted" in room.look(session)["head"]


def test_views_samples_and_zoom(room: TrainingController, root: Path) -> None:
    finished(root, "one")
    session = TrainingSession()
    room.look(session)
    for view, words in (
        ("log", "Nothing was written"),
        ("config", "seconds"),
        ("evaluation", "Not evaluated yet"),
        ("samples", "draws"),
    ):
        assert words in act(room, session, "view", "", view)["body"], view
    act(room, session, "view", "", "overview")
    assert '"steps":[2,3]' in act(room, session, "range", "", "2,3")["curves"].replace("&#34;", '"')
    act(room, session, "step", "one", "3")
    assert session.step == 3
    act(room, session, "view", "", "no such view")
    assert session.view == "overview"


def test_the_marks_of_a_sample_know_whose_fact_and_which_number(room: TrainingController) -> None:
    sample = {
        "prompt": "Facts:\n[F1] Dermoscopy of melanoma typically shows a blue-white veil.\n[F2] Melanoma is malignant.",
        "completion": "Melanoma is malignant [F1]. Seborrheic keratosis needs no treatment.",
        "diagnosis": "mel",
    }
    (_, first, why), (_, second, whose) = room.verdicts(sample)
    assert (first, why) == ("wrong_citation", "it cites fact 1, which says something else; fact 2 says this")
    assert (second, whose) == ("another_condition", "true of seborrheic keratosis; here melanoma leads")
    assert room.verdicts(sample | {"prompt": "Name it."})[0][1] == "supported"


def test_comparing(room: TrainingController, root: Path) -> None:
    for name in ("one", "two"):
        finished(root, name, 3 + len(name))
    session = TrainingSession()
    room.look(session)
    for name in ("one", "two"):
        act(room, session, "tick", "1", name)
    seen = act(room, session, "compare")
    assert "one" in seen["body"]
    assert "two" in seen["body"]
    assert seen["head"] == ""
    assert "Run two" in act(room, session, "view", "", "overview")["head"]  # the way back
    act(room, session, "compare")
    assert "head" in act(room, session, "select", "", "two")
    assert not session.comparing
    act(room, session, "tick", "0", "two")
    assert session.ticked == ["one"]


def test_steering_a_run_that_is_over(room: TrainingController, root: Path) -> None:
    finished(root, "one")
    session = TrainingSession()
    room.look(session)
    assert "not running: it is finished" in act(room, session, "stop", "one")["head"]
    assert "cannot be called" in act(room, session, "rename", "one", "a b")["head"]
    act(room, session, "rename", "one", "better")
    act(room, session, "note", "better", "the first that works")
    assert runs.load_run(root / "better").note == "the first that works"
    seen = act(room, session, "delete", "better")
    assert "Undo" in seen["rows"]
    assert "better is back" in act(room, session, "undelete", "", "better")["head"]
    for index in ("", "../better", ".trash"):
        act(room, session, "delete", index)
        assert "gone" in session.told
    assert "no training" in act(room, session, "duplicate", "better")["head"]


# --- starting -------------------------------------------------------------------------------


def test_a_form_is_checked_estimated_and_started(room: TrainingController, root: Path, tmp_path: Path) -> None:
    given = {**tiny_options(tmp_path), "steps": 2, "group": 2, "new_tokens": 6, "facts": 1, "mask_truncated": False}
    config = GRPOConfig(**given)
    session = TrainingSession(form=Form.of_options("grpo", options.as_dict(config)))
    seen = act(room, session, "start", learning_rate="much")
    assert "learning_rate" in seen["form"]
    assert not root.exists() or not runs.list_runs(root)
    act(room, session, "set", learning_rate="1e-2")
    act(room, session, "estimate")
    assert session.form.estimate is not None
    assert session.form.estimate.seconds
    act(room, session, "start", name="mine")
    run = runs.load_run(root / "mine")
    assert run.options["learning_rate"] == 1e-2
    assert session.selected == "mine"
    runs.stop(run.folder)
    until(lambda: not runs.load_run(run.folder).is_live)
    act(room, session, "duplicate", "mine")
    assert session.form.config() == config


def test_uploaded_images_are_named_in_the_form(room: TrainingController, root: Path, tmp_path: Path) -> None:
    table = make_table(tmp_path / "data", rows=4)
    content = packed({path.name: path.read_bytes() for path in table.parent.iterdir()})
    for stage in ("grpo", "pipeline"):
        session = TrainingSession(form=Form.of(stage))
        assert "Uploaded: table.csv (4 images)" in str(room.take(session, content)["form"])
        config: Any = session.form.config()
        ours = config if stage == "grpo" else config.sft
        assert [Path(source).name for source in ours.data] == ["table.csv"]
        assert "no zip" in room.take(session, b"x")["own"]
        act(room, session, "forget")
    assert "Uploaded" not in str(session.fields)


def test_what_needs_too_much_memory_asks_again(
    room: TrainingController, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []

    def start(config: Any, **other: object) -> runs.Run:
        started.append(config)
        return finished(root, "x")

    monkeypatch.setattr(runs, "start", start)
    monkeypatch.setattr("dermiq.ui.training.forecast.free_on", lambda device: 1000)
    given = {**tiny_options(tmp_path), "steps": 2, "group": 2, "new_tokens": 6, "facts": 1, "mask_truncated": False}
    session = TrainingSession(form=Form.of_options("grpo", options.as_dict(GRPOConfig(**given))))
    seen = act(room, session, "start")
    assert "'startanyway': {'visible': True" in seen["form"]
    assert session.form.estimate is not None
    assert "most of it" in session.form.estimate.lower[0].lower()
    assert not started
    act(room, session, "startanyway")
    assert started[0].check_memory is False


def test_a_chain_takes_the_memory_of_its_largest_stage_and_the_time_of_all(root: Path, tmp_path: Path) -> None:
    given = {**tiny_options(tmp_path), "steps": 2}
    model = given.pop("model")
    one = {**given, "group": 2, "new_tokens": 6, "facts": 1, "mask_truncated": False}
    single = forecast(GRPOConfig(model=model, **one), root)
    both = forecast(PipelineConfig(model=model, stages=("grpo", "sft"), grpo=GRPOConfig(**one)), root)
    assert both.seconds is not None
    assert single.seconds is not None
    assert both.seconds > single.seconds
    assert both.total >= single.total
    assert "grpo: " in both.why


# --- who may --------------------------------------------------------------------------------


def test_a_public_page_without_a_password_is_closed(root: Path, graph: Graph) -> None:
    finished(root, "one")
    room = room_of(root, graph, host="0.0.0.0")
    seen = room.look(TrainingSession())
    assert "DERMIQ_ADMIN_PASSWORD" in seen["gate"]
    assert not any(html for part, html in seen.items() if part != "gate")
    assert act(room, TrainingSession(), "delete", "one").get("head", "") == ""
    assert runs.list_runs(root)
    for host in ("127.0.0.1", "localhost", "::1"):
        assert not room_of(root, graph, host=host).access.closed


def test_a_password_opens_it_for_one_visitor(root: Path, graph: Graph) -> None:
    room = room_of(root, graph, host="0.0.0.0", admin_password="sesame")
    session, other = TrainingSession(), TrainingSession()
    assert "Password" in room.look(session)["gate"]
    act(room, session, "smoke")
    assert not runs.list_runs(root)
    assert "not the password" in act(room, session, "admit", password="Sesame")["gate"]
    assert act(room, session, "admit", password="sesame")["gate"] == ""
    assert session.fields["form"]["visible"]
    assert "form" not in {part for part, html in room.look(other).items() if html}


def test_where_nothing_can_be_trained_runs_are_still_shown(
    root: Path, graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not impossible({})
    assert "ZeroGPU" in impossible({"SPACES_ZERO_GPU": "1", "SPACE_ID": "a/b"})
    assert "no GPU" in impossible({"SPACE_ID": "a/b"})
    monkeypatch.setattr("dermiq.ui.training.controller.impossible", lambda: "There is no GPU here.")
    finished(root, "one")
    room, session = room_of(root, graph), TrainingSession()
    seen = room.look(session)
    assert "There is no GPU here." in seen["form"]["said"]["value"]
    assert "one" in seen["head"]
    act(room, session, "smoke")
    assert [run.name for run in runs.list_runs(root)] == ["one"]


def test_only_what_is_new_is_sent_of_the_form(room: TrainingController) -> None:
    session = TrainingSession()
    room.look(session)
    sent = {"=": session.form.key, "stage": "grpo", "preset": session.form.preset, "grpo.steps": "9"}
    new = next(iter(room.act(session, "set", Said(fields=sent))))["form"]
    assert set(new) == {"grpo.steps", "yaml", "command", "plain", "preset"}
    assert "value" not in new["grpo.steps"], "the browser has it"
    late = act(room, session, "set", **{**sent, "=": "sft/defaults", "grpo.steps": "8"})
    assert late["form"] == str({"grpo.steps": {"value": "9"}}), "what was meant for other fields is put right"


def test_a_file_that_was_typed_counts_more_than_the_fields_and_one_that_was_shown_does_not(
    room: TrainingController,
) -> None:
    session = TrainingSession()
    shown = session.form.yaml_text()
    assert "yaml" not in room.look(session)["form"], "the page has it as it was built"
    act(room, session, "set", steps="9")
    act(room, session, "saveyaml", steps="9", yaml=shown)
    assert session.form.text("steps") == "9", "the text was on its way when the field changed"
    act(room, session, "yaml", name="mine", yaml="steps: 3\n")
    assert (session.form.name, session.form.config()) == ("mine", GRPOConfig(steps=3))
    act(room, session, "yaml", yaml="steps: [")
    assert "not valid YAML" in session.form.errors["yaml"]
    act(room, session, "discard")
    assert session.form.config() == GRPOConfig(steps=3)
    act(room, session, "saveyaml")
    assert session.exported is not None
    assert "mine.yaml" in session.exported.download


# --- with the consultation ------------------------------------------------------------------


def test_a_runs_weights_answer_and_go_back(
    room: TrainingController, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(root, "one")
    fake: Any = room.beside._consultant
    session = TrainingSession()
    room.look(session)
    assert "answers in the consultation" in act(room, session, "use", "one", "final")["head"]
    assert room.beside.answering == ("one", "final")
    assert fake.used == (str(root / "one" / "final"), "one")
    act(room, session, "rename", "one", "two")
    assert room.beside.answering == ("two", "final")
    act(room, session, "back")
    assert room.beside.answering is None

    def fails(model: str = "", *, name: str = "") -> None:
        raise ModelError("It does not fit into memory.")

    monkeypatch.setattr(fake, "use", fails)
    assert "does not fit" in act(room, session, "use", "two", "final")["head"]
    assert room.beside.answering is None


def test_only_weights_that_are_there_can_answer(room: TrainingController, root: Path) -> None:
    finished(root, "one")
    session = TrainingSession()
    for value in ("../one/final", "checkpoint-99", "/etc"):
        act(room, session, "use", "one", value)
        assert "no longer has these weights" in session.told
    assert room.beside.answering is None


def test_runs_wait_while_an_answer_is_written(room: TrainingController, root: Path) -> None:
    case = Case((), question="What is this?")
    answer = room.beside.assess(case, stop=threading.Event(), session_id="s")
    assert not arbiter.is_consulting(root)
    next(answer)
    assert arbiter.is_consulting(root)
    answer.close()
    assert not arbiter.is_consulting(root)


# --- what is waited for, and what is asked ----------------------------------------------------


def test_an_estimate_is_told_and_can_be_given_up(room: TrainingController, monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on = threading.Event()

    def slow(config: Any, root: Path, *, progress: Any) -> Any:
        progress("Measuring example 3 of 8", 0.5)
        goes_on.wait(PATIENCE_S)
        progress("Counting the memory", 0.9)
        raise AssertionError("it was given up")

    monkeypatch.setattr("dermiq.ui.training.controller.forecast", slow)
    monkeypatch.setattr(Form, "check", lambda form: form)
    session, said = TrainingSession(), Said()
    steps = room.act(session, "start", said)
    until(lambda: "Measuring example 3 of 8." in str(next(steps).get("form", "")))
    assert session.form.share > 0
    assert list(room.act(session, "start", said)) == [{}], "a second click is no second run"
    act(room, session, "cancel")
    for _ in steps:
        pass
    goes_on.set()
    assert session.form.said == "Cancelled. Nothing was started."
    assert (session.form.doing, session.starting, session.working) == ("", False, None)
    assert not runs.list_runs(room.root)


def test_a_named_set_fills_the_form(room: TrainingController) -> None:
    session = TrainingSession()
    room.prefer(session, "mine@1")
    act(room, session, "set", preset="embedded_cpu")
    act(room, session, "set", stage="dpo")
    config: Any = session.form.config()
    assert (config.preferences, config.steps, config.images) == (("mine@1",), 0, 0)
    act(room, session, "plain")
    assert session.form.fields == {}


def test_an_evaluation_is_asked_about_first(
    room: TrainingController, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(root, "one")
    monkeypatch.setenv("DERMIQ_DATA", str(tmp_path / "none"))
    session = TrainingSession()
    assert "nothing to judge by" in act(room, session, "evaluate", "one", "final")["head"]
    table = make_table(tmp_path / "data", rows=4)
    room.take(session, packed({path.name: path.read_bytes() for path in table.parent.iterdir()}))
    seen = act(room, session, "evaluate", "one", "final")["head"]
    assert "All 4 images. No evaluation ran here yet" in seen
    assert "2 of 4 images, at random" in act(room, session, "asked", "one", **{"judge-images": "2"})["head"]
    assert "write a whole number" in act(room, session, "judge", "one", **{"judge-images": "-1"})["head"]
    assert [run.name for run in runs.list_runs(root)] == ["one"]
    started: list[Any] = []

    def start(config: Any, **other: Any) -> Any:
        started.append(config)
        return finished(root, other["name"])

    monkeypatch.setattr(runs, "start", start)
    seen = act(room, session, "judge", "one", **{"judge-images": "2", "judge-known": "true"})["head"]
    assert "one-evaluation reads 2 images of Uploaded: table.csv" in seen
    assert (started[0].images, started[0].labels, Path(started[0].data).name) == (2, "known", "table.csv")
    assert session.asked is None
