"""What a visitor of the Training tab sees and does, without gradio: one `Desk` a visitor, one `TrainingRoom` for all.

    room = TrainingRoom(access, beside, graph=lambda: graph)
    for changed in room.act(desk, "start", Said(fields={...})): ...   # {part of the page: its new HTML}; of "form",
                                                                      # {field: its new properties}
    changed = room.look(desk)                                         # what is new since the last look

A part is sent only where it differs from what the visitor has. Everything that lasts lies in the run folders.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from markupsafe import Markup

from dermiq.data_sets import DATA_SETS
from dermiq.decoder.pool import decode
from dermiq.errors import DataError, DermIQError, ImageError, InputError
from dermiq.judge import statements
from dermiq.knowledge import Graph, check_claims
from dermiq.settings import Settings
from dermiq.ui.consult.controller import is_loading
from dermiq.ui.markup import data_url, download, fill
from dermiq.ui.protocol import Consultant
from dermiq.ui.training import ask, compared_runs, curves, exports, form_shown, groups, own_data, rows, watch
from dermiq.ui.training.access import Access, impossible
from dermiq.ui.training.ask import Asked
from dermiq.ui.training.beside import Beside
from dermiq.ui.training.forecast import forecast
from dermiq.ui.training.form import KINDS, Form, shown_options, text_of
from dermiq.ui.training.form_shown import AtHand, Props
from dermiq.ui.training.labels import bare
from dermiq.ui.training.working import GivenUp, Working
from dermiq.vlm.parse import parse
from train.cases.data import data_folder
from train.export import weights_of
from train.pipeline import PipelineConfig
from train.runs import paths
from train.runs import registry as runs
from train.runs.progress import Progress, part_of
from train.runs.registry import Run
from train.scoring.rewards import read_findings

log = logging.getLogger(__name__)

PARTS = ("gate", "own", "rows", "head", "views", "curves", "body", "sent")
SMOKE = ("grpo", "embedded_cpu")  # stage and preset of the example
MODELS = ("model",)  # of the form, what changes by itself: a run has finished
FILES_KEPT = 50
LOOKING = "Looking at model and data"
CHECKED = 0.2  # of the time that check and estimate take, what the check takes
TOLD_S = 0.3  # between two looks at work that is waited for
LOOK_S = 0.5  # for which a list of runs is shared between visitors
NOTHING = Markup("")
GONE = "This run is gone. Choose another one."
FAILED = "That did not work; the log of the app says why."


def training_room(consultant: Consultant, settings: Settings, *, graph: Callable[[], Graph]) -> TrainingRoom:
    """The room of a page; its `beside` is the consultant that the page asks."""
    root = paths.runs_folder(settings.runs)
    return TrainingRoom(Access(settings), Beside(consultant, root), root=root, graph=graph)


def exports_folder(settings: Settings) -> Path:
    """What the page may serve files from."""
    return paths.runs_folder(settings.runs) / exports.FOLDER


@dataclass(frozen=True)
class Said:
    """What an event carries."""

    index: str = ""
    value: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(eq=False)
class Desk:
    """Where one visitor is."""

    form: Form = field(default_factory=lambda: Form.of(*SMOKE))
    admitted: bool = False
    selected: str = ""  # a run's name; empty: the one that runs, or the newest
    ticked: list[str] = field(default_factory=list)
    comparing: bool = False
    view: str = "overview"
    step: int | None = None  # of the samples; None: the newest
    group: int = 0
    zoom: tuple[int, int] | None = None
    sort: str = "newest"
    find: str = ""
    told: str = ""  # what came of the last action
    arrived: int = 0  # counts what was started: the page goes to the newest
    starting: bool = False  # Start was pressed, and its run is not there yet
    working: Working[Form] | None = None  # the estimate that is waited for
    asked: Asked | None = None  # what is to be evaluated, while that is chosen
    deleted: str = ""
    exported: exports.Exported | None = None
    refused: str = ""  # why no password was taken
    uploaded: Markup = NOTHING  # what came of the last upload
    uploads: int = 0  # tells one from the next that has the same words
    shown: dict[str, str] = field(default_factory=dict)  # part -> what the visitor has
    fields: dict[str, Props] = field(default_factory=dict)  # of the form, likewise; others are as they were built
    files: list[str] = field(default_factory=lambda: [Form.of(*SMOKE).yaml_text()])  # YAML that was shown, not typed


class TrainingRoom:
    """What visitors share: who may enter, the runs, and which model answers."""

    def __init__(self, access: Access, beside: Beside, *, root: Path, graph: Callable[[], Graph]) -> None:
        self.access, self.beside, self.root = access, beside, root
        self._graph = graph
        self._lock = threading.RLock()
        self._locks: WeakKeyDictionary[Desk, Any] = WeakKeyDictionary()
        self._runs: tuple[float, list[Run]] = (0.0, [])
        self._judged = lru_cache(maxsize=2000)(self._judge)

    @cached_property
    def impossible(self) -> str:
        return impossible()

    # --- what is seen -------------------------------------------------------------------

    def look(self, desk: Desk, *, form: Collection[str] | None = None) -> Changed:
        """The parts that differ from what the visitor has; of the form all fields, or those that are named."""
        with self._lock:
            made = self._parts(desk)
            new: Changed = {part: html for part, html in made.items() if desk.shown.get(part) != str(html)}
            desk.shown |= {part: str(html) for part, html in new.items()}
            if fields := self._fields(desk, form):
                new["form"] = fields
        return new

    def _fields(self, desk: Desk, wanted: Collection[str] | None) -> dict[str, Props]:
        """The properties of the form's fields that differ from what the visitor has."""
        if self._is_shut(desk):
            return {}
        found: dict[str, Props] = {}
        for key, props in self._form(desk).items():
            had = self._had(desk, key)
            new = {name: value for name, value in props.items() if name not in had or had[name] != value}
            if new and (wanted is None or key in wanted):
                found[key], desk.fields[key] = new, {**props, "value": props.get("value", had.get("value"))}
        desk.files = [*desk.files, *([found["yaml"]["value"]] if "value" in found.get("yaml", {}) else [])][
            -FILES_KEPT:
        ]
        return found

    def _had(self, desk: Desk, key: str) -> Props:
        return desk.fields.get(key) or self._built.get(key, {})

    @cached_property
    def _built(self) -> Mapping[str, Props]:
        """What the form's fields show before anything is sent."""
        return form_shown.at_first(Desk().form)

    def _form(self, desk: Desk) -> dict[str, Props]:
        models = [run.name for run in self.runs() if run.state == "finished" and run.stage in KINDS]
        return form_shown.shown(desk.form, AtHand(models, self._data() | own_data.kept(self.root), self.impossible))

    def _given(self, desk: Desk, said: Said) -> Form:
        """The form with its fields as the browser has them."""
        for key, text in said.fields.items():
            had, value = self._had(desk, key), form_shown.value_in(key, text)
            if had.get("value") != value:
                desk.fields[key] = {**had, "value": value}
        typed = said.fields.get("yaml", "")
        if typed and typed not in desk.files:
            return replace(desk.form, name=said.fields.get("name", desk.form.name)).read_yaml(typed)
        return desk.form.given(form_shown.said_by(desk.form.stage, said.fields))

    def _parts(self, desk: Desk) -> dict[str, Markup]:
        empty = dict.fromkeys(PARTS, Markup("")) | {"own": desk.uploaded}
        if self.access.closed:
            return empty | {"gate": fill('<p class="dq-locked" role="status">{why}</p>', why=self.access.closed)}
        if self.access.asks and not desk.admitted:
            return empty | {"gate": sign_in(desk.refused)}
        found, now = self.runs(), time.time()
        run = self.selected(desk)
        made = empty | {
            "rows": rows.html(
                found,
                selected=run.name if run and not desk.comparing else "",
                ticked=desk.ticked,
                now=now,
                sort=desk.sort,
                find=desk.find,
                deleted=desk.deleted,
            ),
        }
        if desk.exported and not desk.exported.run:
            made["sent"] = exports.html(desk.exported)
        if desk.comparing:
            chosen = [one for one in found if one.name in desk.ticked][: rows.COMPARED]
            made["views"] = COMPARING
            made["curves"] = self._curves(desk, chosen)
            made["body"] = compared_runs.html(chosen)
        elif run:
            made |= self._of_run(desk, run, found, now)
        return made

    def _data(self) -> dict[str, str]:
        try:
            folder = data_folder(None)
        except DermIQError:
            return {}
        return {name: one.described for name, one in DATA_SETS.items() if one.table(folder).is_file()}

    def receiving(self, desk: Desk) -> Changed:
        """Says that an upload is being read."""
        self._say_upload(desk, "Reading the upload, and looking at each image.", is_good=True)
        return self.look(desk)

    def take(self, desk: Desk, content: object) -> Changed:
        """Keeps uploaded images for training, and names them in the form. What came of it is said beside the field."""
        if self._is_shut(desk):
            self._say_upload(desk, "Nothing was stored. Sign in first.", is_good=False)
        else:
            with self._of(desk):
                self._keep_upload(desk, content)
        return self.look(desk)

    def _keep_upload(self, desk: Desk, content: object) -> None:
        try:
            table = own_data.keep(content, self.root)
            names = [name for name in shown_options(desk.form.stage) if bare(name) == "data"]
            desk.form = desk.form.given(dict.fromkeys(names, text_of((str(table),))))
            chosen = (
                "It is chosen as data above." if names else "Name it as data in the form of a stage that takes images."
            )
            self._say_upload(desk, f"{own_data.summary(table)} {chosen}", is_good=True)
        except DermIQError as error:
            log.info("an upload was refused: %s (%s)", error, error.detail)
            self._say_upload(desk, str(error), is_good=False)
        except Exception:
            log.exception("an upload failed")
            self._say_upload(desk, FAILED, is_good=False)

    def _say_upload(self, desk: Desk, words: str, *, is_good: bool) -> None:
        desk.uploads += 1
        desk.uploaded = fill(
            '<p data-key="own-{n}" class="{kind}" role="{role}">{words}</p>',
            n=desk.uploads,
            kind="dq-done" if is_good else "dq-error",
            role="status" if is_good else "alert",
            words=words,
        )

    def _do_forget(self, desk: Desk, said: Said) -> None:
        count = own_data.forget(self.root)
        words = "All uploaded images were deleted." if count else "There were no uploaded images."
        self._say_upload(desk, words, is_good=True)

    def _is_shut(self, desk: Desk) -> bool:
        return bool(self.access.closed) or (self.access.asks and not desk.admitted)

    def _of_run(self, desk: Desk, run: Run, found: list[Run], now: float) -> dict[str, Markup]:
        answering = self.beside.answering
        place = rows.queue_place(run, found)
        head = watch.head(
            run,
            answering=answering[1] if answering and answering[0] == run.name else "",
            note=run.note,
            now=now,
            place=place,
            told=desk.told,
            arrived=desk.arrived if run.name == desk.selected else 0,
            asking=self._asking(desk, run, found),
        )
        made = {"head": head, "views": watch.tabs(desk.view)}
        if desk.exported and desk.exported.run == run.name:
            made["sent"] = exports.html(desk.exported)
        if desk.view == "overview":
            made["curves"] = self._curves(desk, [run])
            if run.is_live and not run.status.step:  # no curve yet: what it writes is what there is to see
                made["body"] = watch.log(run)
        elif desk.view == "samples":
            made["body"] = groups.html(run, desk.step, verdicts=self.verdicts, group=desk.group, picture=picture)
        elif desk.view == "log":
            made["body"] = watch.log(run)
        elif desk.view == "config":
            made["body"] = watch.config(run)
        else:
            made["body"] = watch.evaluation(run, _judging(run, found), now=now)
        return made

    def _asking(self, desk: Desk, run: Run, found: list[Run]) -> Markup:
        if desk.asked is None or desk.asked.run != run.name:
            return NOTHING
        return ask.html(desk.asked, data=self._to_judge_by(), runs=found)

    def _to_judge_by(self) -> dict[str, str]:
        return self._data() | own_data.kept(self.root)

    def _curves(self, desk: Desk, chosen: list[Run]) -> Markup:
        """The plots; as they were where nothing is new, which costs nothing."""
        key = "curves as of"
        found = curves.update(
            [run.folder for run in chosen],
            steps=desk.zoom,
            known=desk.shown.get(key, ""),
            live=any(run.is_live for run in chosen),
        )
        desk.shown[key] = found.signature
        return Markup(desk.shown.get("curves", "")) if found.html is None else found.html

    def verdicts(self, sample: Mapping[str, Any]) -> Sequence[tuple[str, str, str]]:
        """Each sentence of a sample, what graph and measurements say of it, and the fact that decides."""
        key = json.dumps([sample.get(name) for name in ("completion", "diagnosis", "findings")])
        return self._judged(key)

    def _judge(self, key: str) -> tuple[tuple[str, str, str], ...]:
        text, diagnosis, findings = json.loads(key)
        graph = self._graph()
        text = text or ""
        claims = check_claims(graph, text, findings=read_findings(findings), diagnosis=diagnosis)
        claims = statements(claims, parse(text).answer)
        return tuple(
            (c.text, c.verdict, " ".join(graph.fact(i).text for i in c.fact_ids[:2]) or c.note) for c in claims
        )

    def training(self) -> str:
        """What is being trained now, in words for everybody; "" where nothing is."""
        live = [run for run in self.runs() if run.state in ("running", "stopping")]
        if not live:
            return ""
        run = live[-1]
        of = f" of {run.status.total}" if run.status.total else ""
        more = f", and {len(live) - 1} more" if len(live) > 1 else ""
        return f"Training {run.name}: step {run.status.step}{of}{more}"

    def prefer(self, desk: Desk, named: str) -> None:
        """A form for DPO on a frozen set of the review."""
        desk.form = Form.of("dpo").given({"preferences": text_of((named,))})

    # --- which runs ---------------------------------------------------------------------

    def runs(self) -> list[Run]:
        then, found = self._runs
        if time.monotonic() - then > LOOK_S:
            found = runs.list_runs(self.root)
            self._runs = (time.monotonic(), found)
        return found

    def selected(self, desk: Desk) -> Run | None:
        found = self.runs()
        named = next((run for run in found if run.name == desk.selected), None)
        return named or next((run for run in found if run.is_live), found[0] if found else None)

    def _run(self, name: str) -> Run:
        """As it is now. InputError where it is gone."""
        if not name or "/" in name or name.startswith("."):
            raise InputError(GONE)
        self._runs = (0.0, [])
        try:
            return runs.load_run(self.root / name)
        except DataError as error:
            raise InputError(GONE) from error

    # --- what is done -------------------------------------------------------------------

    def act(self, desk: Desk, event: str, said: Said) -> Iterator[Changed]:
        """Does what an event asks for, and gives what changes on the page, more than once where work is long."""
        if event != "admit" and self._is_shut(desk):
            yield self._seen(desk, event)
            return
        if event in STARTING and not self._may_start(desk):  # a second click is no second run
            yield self._seen(desk, event)
            return
        try:
            with self._of(desk) if event in FORM_EVENTS else contextlib.nullcontext():
                yield from self._act(desk, event, said)
        finally:
            desk.starting = desk.starting and event not in STARTING

    def _may_start(self, desk: Desk) -> bool:
        with self._lock:
            may, desk.starting = not desk.starting, True
        return may

    def _of(self, desk: Desk) -> Any:
        """A visitor's changes of the form come one after the other: the last must not overtake a click on Start."""
        with self._lock:
            return self._locks.setdefault(desk, threading.Lock())

    def _act(self, desk: Desk, event: str, said: Said) -> Iterator[Changed]:
        act: Callable[[Desk, Said], Iterator[None] | None] = getattr(self, f"_do_{event}")
        desk.told = "" if event in TELLING else desk.told
        try:
            for _ in act(desk, said) or ():
                yield self._seen(desk, event)
        except GivenUp:
            desk.form = replace(desk.form, said="Cancelled. Nothing was started.")
        except DermIQError as error:
            self._tell(desk, event, str(error))
        except Exception:
            log.exception("%s in the training tab failed", event)
            self._tell(desk, event, FAILED)
        if event in FORM_EVENTS:
            desk.form, desk.working = replace(desk.form, doing="", share=0.0), None
        self._runs = (0.0, [])
        yield self._seen(desk, event)

    def _seen(self, desk: Desk, event: str) -> Changed:
        return self.look(desk, form=None if event in TO_FORM else MODELS)

    def _tell(self, desk: Desk, event: str, message: str) -> None:
        if event in ASKING and desk.asked:
            desk.asked = replace(desk.asked, wrong=message)
        elif event in FORM_EVENTS or not self.runs():
            desk.form = desk.form.refused(InputError(message))
        else:
            desk.told = message

    def _do_admit(self, desk: Desk, said: Said) -> None:
        desk.refused = self.access.refusal(said.fields.get("password", ""))
        desk.admitted = not desk.refused

    # the form

    def _do_plain(self, desk: Desk, said: Said) -> None:
        desk.form = Form.of(desk.form.stage, desk.form.preset, name=desk.form.name)

    def _do_set(self, desk: Desk, said: Said) -> None:
        desk.form = self._given(desk, said)

    _do_yaml = _do_set

    def _do_load(self, desk: Desk, said: Said) -> None:
        desk.form = desk.form.read_yaml(said.value)

    def _do_discard(self, desk: Desk, said: Said) -> None:
        desk.form = desk.form.read_yaml(desk.form.yaml_text())

    def _do_saveyaml(self, desk: Desk, said: Said) -> None:
        desk.form = self._given(desk, said)
        if not desk.form.errors:
            name, text = f"{desk.form.name or desk.form.stage}.yaml", desk.form.yaml_text()
            desk.exported = exports.Exported(run="", download=download(name, "application/yaml", text.encode()))

    def _do_estimate(self, desk: Desk, said: Said) -> Iterator[None]:
        yield from self._checked(desk, said)

    def _checked(self, desk: Desk, said: Said) -> Iterator[None]:
        """The form with what the stage refuses, and with an estimate where nothing is refused."""
        form = self._given(desk, said)
        work = desk.working = Working(partial(self._foreseen, form), LOOKING)
        lasts = True
        while lasts:
            desk.form = replace(form, doing=f"{work.text}.", share=work.share)
            yield
            lasts = work.lasts(TOLD_S)
        desk.form = form
        desk.form = work.result()

    def _foreseen(self, form: Form, progress: Progress) -> Form:
        """The form with what the stage refuses, or with an estimate."""
        while is_loading(self.beside):  # the libraries cannot be imported by two threads at once
            progress("The consultation's model is loaded first", 0.0)
            time.sleep(TOLD_S)
        progress(LOOKING, 0.0)
        form = form.check()
        if form.is_right and form.estimate is None:
            found = forecast(form.config(), self.root, progress=part_of(progress, CHECKED, 1.0))
            form = replace(form, estimate=found)
        return form

    def _do_cancel(self, desk: Desk, said: Said) -> None:
        if desk.working:
            desk.working.cancel()

    def _do_start(self, desk: Desk, said: Said) -> Iterator[None]:
        yield from self._checked(desk, said)
        if not desk.form.is_right:
            return
        if desk.form.estimate and desk.form.estimate.is_red:
            desk.form = replace(desk.form, asked_again=True)
            return
        self._launch(desk, desk.form)

    def _do_startanyway(self, desk: Desk, said: Said) -> None:
        desk.form = self._given(desk, said).check()
        if desk.form.is_right:
            self._launch(desk, desk.form.unchecked())

    def _do_smoke(self, desk: Desk, said: Said) -> None:
        form = Form.of(*SMOKE).check()
        if form.note or form.errors:
            raise InputError(form.note or next(iter(form.errors.values())))
        desk.form = form
        self._launch(desk, form)

    def _launch(self, desk: Desk, form: Form) -> None:
        if self.impossible:
            raise InputError(self.impossible)
        config = form.config()
        if isinstance(config, PipelineConfig):
            name = form.name or runs.free_name("pipeline", self.root, tuple(config.stages))
            started = runs.start_chain(config.configs(name), root=self.root)
        else:
            started = [runs.start(config, name=form.name, root=self.root)]
        desk.selected, desk.view, desk.comparing, desk.zoom, desk.step = started[0].name, "overview", False, None, None
        desk.told = f"Started {', then '.join(run.name for run in started)}."
        desk.arrived += 1
        desk.form = replace(form, name="", note="", said=desk.told, asked_again=False)

    # the list

    def _do_select(self, desk: Desk, said: Said) -> None:
        desk.selected, desk.comparing, desk.told = said.value, False, ""
        desk.step, desk.group, desk.zoom = None, 0, None

    def _do_tick(self, desk: Desk, said: Said) -> None:
        rest = [name for name in desk.ticked if name != said.value]
        desk.ticked = [*rest, said.value] if said.index == "1" else rest
        desk.comparing = desk.comparing and len(desk.ticked) > 1

    def _do_untick(self, desk: Desk, said: Said) -> None:
        desk.ticked, desk.comparing = [], False

    def _do_compare(self, desk: Desk, said: Said) -> None:
        desk.comparing, desk.zoom = True, None

    def _do_sort(self, desk: Desk, said: Said) -> None:
        desk.sort = said.value

    def _do_find(self, desk: Desk, said: Said) -> None:
        desk.find = said.value[:100]

    def _do_undelete(self, desk: Desk, said: Said) -> None:
        runs.undelete(said.value, self.root)
        desk.selected, desk.deleted, desk.told = said.value, "", f"{said.value} is back."

    # one run

    def _do_view(self, desk: Desk, said: Said) -> None:
        desk.view, desk.comparing = said.value if said.value in watch.VIEWS else "overview", False

    def _do_range(self, desk: Desk, said: Said) -> None:
        desk.zoom = curves.zoomed(said.value)

    def _do_step(self, desk: Desk, said: Said) -> None:
        desk.step, desk.group = (int(said.value) if said.value.isdecimal() else None), 0

    def _do_group(self, desk: Desk, said: Said) -> None:
        desk.group = int(said.value) if said.value.isdecimal() else 0

    def _do_stop(self, desk: Desk, said: Said) -> None:
        run = runs.stop(self._run(said.index).folder)
        desk.told = (
            f"{run.name} finishes its step, saves, and ends." if run.state != "queued" else "It leaves the queue."
        )

    def _do_kill(self, desk: Desk, said: Said) -> None:
        runs.kill(self._run(said.index).folder)

    def _do_resume(self, desk: Desk, said: Said) -> None:
        if self.impossible:
            raise InputError(self.impossible)
        runs.resume(self._run(said.index).folder)

    def _do_delete(self, desk: Desk, said: Said) -> None:
        run = self._run(said.index)
        runs.delete(run.folder)
        desk.deleted, desk.selected = run.name, ""
        desk.ticked = [name for name in desk.ticked if name != run.name]

    def _do_rename(self, desk: Desk, said: Said) -> None:
        run = self._run(said.index)
        if said.value.strip() == run.name:
            return
        folder = runs.rename(run.folder, said.value.strip())
        desk.selected = folder.name
        desk.ticked = [folder.name if name == run.name else name for name in desk.ticked]
        if self.beside.answering and self.beside.answering[0] == run.name:
            self.beside.answering = (folder.name, self.beside.answering[1])

    def _do_note(self, desk: Desk, said: Said) -> None:
        runs.annotate(self._run(said.index).folder, said.value)

    def _do_duplicate(self, desk: Desk, said: Said) -> None:
        run = self._run(said.index)
        if run.stage not in KINDS:
            raise InputError(f"{run.name} is no training: there is no form for it.")
        desk.form = Form.of_options(run.stage, run.options)
        desk.told = f"The form on the left has the options of {run.name}. Change what you like, and start."

    def _do_use(self, desk: Desk, said: Said) -> Iterator[None]:
        run = self._run(said.index)
        if said.value not in weights_of(run):
            raise InputError(f"{run.name} no longer has these weights. Choose others.")
        which = watch.weights_name(said.value)
        desk.told = f"Loading {which} of {run.name}. {self.beside.name} answers until it is there."
        yield
        self.beside.take(run, said.value)
        desk.told = f"From the next question on, {which} of {run.name} answers in the consultation."

    def _do_back(self, desk: Desk, said: Said) -> None:
        self.beside.give_back()
        desk.told = f"{self.beside.name} answers again."

    def _do_evaluate(self, desk: Desk, said: Said) -> None:
        """Asks first: it may take hours."""
        run, known = self._run(said.index), self._to_judge_by()
        if not known:
            raise InputError("There is nothing to judge by: upload labelled images below the form, or set DERMIQ_DATA.")
        data = next((name for name in run.options.get("data", ()) if name in known), next(iter(known)))
        desk.asked = Asked(run.name, said.value or "final", data)

    def _do_asked(self, desk: Desk, said: Said) -> None:
        if desk.asked:
            desk.asked = desk.asked.given(said.fields)

    def _do_unask(self, desk: Desk, said: Said) -> None:
        desk.asked = None

    def _do_judge(self, desk: Desk, said: Said) -> None:
        if desk.asked is None:
            return
        desk.asked = desk.asked.given(said.fields)
        config = desk.asked.config()
        name = runs.free_name(f"{config.model}-evaluation"[:90], self.root)
        started = runs.start(config, name=name, root=self.root)
        many = f"{config.images} images" if config.images else "all images"
        desk.asked, desk.view = None, "evaluation"
        desk.told = f"{started.name} reads {many} of {self._to_judge_by().get(config.data, config.data)}."

    def _do_export(self, desk: Desk, said: Said) -> Iterator[None]:
        run = self._run(said.index)
        desk.told = f"Exporting {run.name}."
        yield
        desk.exported = exports.export(run, said.value, self.root, weights=watch.weights(run).best)
        desk.told = f"{run.name} is exported; see below."

    def _do_push(self, desk: Desk, said: Said) -> Iterator[None]:
        if desk.exported is None or not desk.exported.folder:
            raise InputError("Export the run first.")
        desk.exported = replace(desk.exported, said="Sending it to the hub.")
        yield
        desk.exported = exports.push(desk.exported, said.fields.get("hub", ""), said.fields.get("token", ""))


FORM_EVENTS = ("plain", "set", "yaml", "load", "discard", "saveyaml", "estimate", "start", "startanyway", "smoke")
TO_FORM = (*FORM_EVENTS, "cancel", "forget", "admit", "duplicate")  # may change any of the form's fields
STARTING = ("start", "startanyway", "smoke", "judge")  # a second click waits for the first
ASKING = ("asked", "judge")
ROW_EVENTS = ("select", "tick", "untick", "compare", "sort", "find", "undelete", "smoke")
RUN_EVENTS = (
    *("stop", "kill", "resume", "delete", "rename", "note", "duplicate", "use", "back", "export"),
    *("evaluate", "asked", "judge", "unask"),
    *("view", "step", "group", "select"),
)
TELLING = ("stop", "kill", "resume", "delete", "rename", "duplicate", "use", "back", "judge", "export", "undelete")
Changed = dict[str, Any]
"""By part of the page its new HTML; under "form", by field the properties that are new."""
LONG = ("estimate", "start", "startanyway", "smoke", "use", "back", "export", "push", "kill", "judge")
"""Events that take longer than a moment: they go through the queue and show how they get on."""
COMPARING = Markup(
    '<p class="dq-chosen"><strong>Runs compared</strong> '
    '<button type="button" class="dq-quiet" data-event="view" data-text="overview">Back to one run</button></p>'
)


def sign_in(refused: str) -> Markup:
    return fill(
        '<section class="dq-sign-in" data-fields="admit" data-enter aria-label="Sign in"><h2>Training</h2>'
        "<p>Runs use this computer for hours, so starting and steering them needs the password of whoever runs it.</p>"
        '<label for="dq-password">Password</label>'
        '<input id="dq-password" class="dq-field" type="password" name="password" autocomplete="current-password" '
        'maxlength="200"{wrong}>{error}'
        '<p><button type="button" class="dq-button dq-primary" data-event="admit">Sign in</button></p></section>',
        wrong=Markup(' aria-invalid="true" aria-describedby="dq-refused"') if refused else "",
        error=fill('<p class="dq-error" role="alert" id="dq-refused">{r}</p>', r=refused) if refused else "",
    )


@lru_cache(maxsize=32)
def _thumbnail(path: str) -> Markup | None:
    try:
        pixels = decode(Path(path).read_bytes())  # of an upload, perhaps
    except (OSError, ImageError):  # the data lies elsewhere now
        return None
    return fill('<img src="{url}" alt="The image that was asked about" width="160">', url=data_url(pixels, longest=320))


def picture(sample: Mapping[str, Any]) -> Markup | None:
    """The image that a sample is about, inside the page."""
    path = sample.get("image")
    return _thumbnail(path) if isinstance(path, str) and path else None


def _judging(run: Run, found: list[Run]) -> Run | None:
    """The newest evaluation of a run."""
    return next((one for one in found if one.stage == "evaluation" and one.options.get("model") == run.name), None)
