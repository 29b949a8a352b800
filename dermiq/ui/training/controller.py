"""What a visitor of the Training tab sees and does, without gradio: a `TrainingSession` each, one controller for all.

    room = TrainingController(access, beside, graph=lambda: graph)
    for changed in room.act(session, "start", Said(fields={...})): ...   # {part of the page: its new HTML}; of "form",
                                                                      # {field: its new properties}
    changed = room.look(session)                                         # what is new since the last look

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

from dermiq.answering.judge import statements
from dermiq.data_sets import DATA_SETS
from dermiq.decoder.pool import decode
from dermiq.errors import DataError, DermIQError, ImageError, InputError
from dermiq.knowledge import Graph, check_claims
from dermiq.language import _
from dermiq.language import said as in_our_language
from dermiq.review.prompted import numbered
from dermiq.settings import Settings
from dermiq.types import Claim
from dermiq.ui.consult.controller import is_loading
from dermiq.ui.markup import data_url, download, fill
from dermiq.ui.protocol import Consultant
from dermiq.ui.training import ask, compared_runs, curves, exports, form_shown, groups, own_data, rows, watch
from dermiq.ui.training.access import Access, impossible, unkept
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


def training_controller(
    consultant: Consultant, settings: Settings, *, graph: Callable[[], Graph]
) -> TrainingController:
    """The room of a page; its `beside` is the consultant that the page asks."""
    root = paths.runs_folder(settings.runs)
    return TrainingController(Access(settings), Beside(consultant, root), root=root, graph=graph)


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
class TrainingSession:
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


class TrainingController:
    """What visitors share: who may enter, the runs, and which model answers."""

    def __init__(self, access: Access, beside: Beside, *, root: Path, graph: Callable[[], Graph]) -> None:
        self.access, self.beside, self.root = access, beside, root
        self._graph = graph
        self._lock = threading.RLock()
        self._locks: WeakKeyDictionary[TrainingSession, Any] = WeakKeyDictionary()
        self._runs: tuple[float, list[Run]] = (0.0, [])
        self._judged = lru_cache(maxsize=2000)(self._judge)

    @cached_property
    def impossible(self) -> str:
        return impossible() or unkept(self.root)

    # --- what is seen -------------------------------------------------------------------

    def look(self, session: TrainingSession, *, form: Collection[str] | None = None) -> Changed:
        """The parts that differ from what the visitor has; of the form all fields, or those that are named."""
        with self._lock:
            made = self._parts(session)
            new: Changed = {part: html for part, html in made.items() if session.shown.get(part) != str(html)}
            session.shown |= {part: str(html) for part, html in new.items()}
            if fields := self._fields(session, form):
                new["form"] = fields
        return new

    def _fields(self, session: TrainingSession, wanted: Collection[str] | None) -> dict[str, Props]:
        """The properties of the form's fields that differ from what the visitor has."""
        if self._is_shut(session):
            return {}
        found: dict[str, Props] = {}
        for key, props in self._form(session).items():
            had = self._had(session, key)
            new = {name: value for name, value in props.items() if name not in had or had[name] != value}
            if new and (wanted is None or key in wanted):
                found[key], session.fields[key] = new, {**props, "value": props.get("value", had.get("value"))}
        session.files = [*session.files, *([found["yaml"]["value"]] if "value" in found.get("yaml", {}) else [])][
            -FILES_KEPT:
        ]
        return found

    def _had(self, session: TrainingSession, key: str) -> Props:
        return session.fields.get(key) or self._built.get(key, {})

    @cached_property
    def _built(self) -> Mapping[str, Props]:
        """What the form's fields show before anything is sent."""
        return form_shown.at_first(TrainingSession().form)

    def _form(self, session: TrainingSession) -> dict[str, Props]:
        models = [run.name for run in self.runs() if run.state == "finished" and run.stage in KINDS]
        return form_shown.shown(session.form, AtHand(models, self._data() | own_data.kept(self.root), self.impossible))

    def _given(self, session: TrainingSession, said: Said) -> Form:
        """The form with its fields as the browser has them."""
        for key, text in said.fields.items():
            had, value = self._had(session, key), form_shown.value_in(key, text)
            if had.get("value") != value:
                session.fields[key] = {**had, "value": value}
        typed = said.fields.get("yaml", "")
        if typed and typed not in session.files:
            return replace(session.form, name=said.fields.get("name", session.form.name)).read_yaml(typed)
        return session.form.given(form_shown.said_by(session.form.stage, said.fields))

    def _parts(self, session: TrainingSession) -> dict[str, Markup]:
        empty = dict.fromkeys(PARTS, Markup("")) | {"own": session.uploaded}
        if self.access.closed:
            return empty | {
                "gate": fill('<p class="dq-locked" role="status">{why}</p>', why=in_our_language(self.access.closed))
            }
        if self.access.asks and not session.admitted:
            return empty | {"gate": sign_in(session.refused)}
        found, now = self.runs(), time.time()
        run = self.selected(session)
        made = empty | {
            "rows": rows.html(
                found,
                selected=run.name if run and not session.comparing else "",
                ticked=session.ticked,
                now=now,
                sort=session.sort,
                find=session.find,
                deleted=session.deleted,
            ),
        }
        if session.exported and not session.exported.run:
            made["sent"] = exports.html(session.exported)
        if session.comparing:
            chosen = [one for one in found if one.name in session.ticked][: rows.COMPARED]
            made["views"] = comparing()
            made["curves"] = self._curves(session, chosen)
            made["body"] = compared_runs.html(chosen)
        elif run:
            made |= self._of_run(session, run, found, now)
        return made

    def _data(self) -> dict[str, str]:
        try:
            folder = data_folder(None)
        except DermIQError:
            return {}
        return {name: one.described for name, one in DATA_SETS.items() if one.table(folder).is_file()}

    def receiving(self, session: TrainingSession) -> Changed:
        """Says that an upload is being read."""
        self._say_upload(session, "Reading the upload, and looking at each image.", is_good=True)
        return self.look(session)

    def take(self, session: TrainingSession, content: object) -> Changed:
        """Keeps uploaded images for training, and names them in the form. What came of it is said beside the field."""
        if self._is_shut(session):
            self._say_upload(session, "Nothing was stored. Sign in first.", is_good=False)
        else:
            with self._of(session):
                self._keep_upload(session, content)
        return self.look(session)

    def _keep_upload(self, session: TrainingSession, content: object) -> None:
        try:
            table = own_data.keep(content, self.root)
            names = [name for name in shown_options(session.form.stage) if bare(name) == "data"]
            session.form = session.form.given(dict.fromkeys(names, text_of((str(table),))))
            chosen = (
                "It is chosen as data above." if names else "Name it as data in the form of a stage that takes images."
            )
            self._say_upload(session, f"{own_data.summary(table)} {in_our_language(chosen)}", is_good=True)
        except DermIQError as error:
            log.info("an upload was refused: %s (%s)", error, error.detail)
            self._say_upload(session, str(error), is_good=False)
        except Exception:
            log.exception("an upload failed")
            self._say_upload(session, FAILED, is_good=False)

    def _say_upload(self, session: TrainingSession, words: str, *, is_good: bool) -> None:
        session.uploads += 1
        session.uploaded = fill(
            '<p data-key="own-{n}" class="{kind}" role="{role}">{words}</p>',
            n=session.uploads,
            kind="dq-done" if is_good else "dq-error",
            role="status" if is_good else "alert",
            words=in_our_language(words),
        )

    def _do_forget(self, session: TrainingSession, said: Said) -> None:
        count = own_data.forget(self.root)
        words = "All uploaded images were deleted." if count else "There were no uploaded images."
        self._say_upload(session, words, is_good=True)

    def _is_shut(self, session: TrainingSession) -> bool:
        return bool(self.access.closed) or (self.access.asks and not session.admitted)

    def _of_run(self, session: TrainingSession, run: Run, found: list[Run], now: float) -> dict[str, Markup]:
        answering = self.beside.answering
        place = rows.queue_place(run, found)
        head = watch.head(
            run,
            answering=answering[1] if answering and answering[0] == run.name else "",
            note=run.note,
            now=now,
            place=place,
            told=session.told,
            arrived=session.arrived if run.name == session.selected else 0,
            asking=self._asking(session, run, found),
        )
        made = {"head": head, "views": watch.tabs(session.view)}
        if session.exported and session.exported.run == run.name:
            made["sent"] = exports.html(session.exported)
        if session.view == "overview":
            made["curves"] = self._curves(session, [run])
            if run.is_live and not run.status.step:  # no curve yet: what it writes is what there is to see
                made["body"] = watch.log(run)
        elif session.view == "samples":
            made["body"] = groups.html(run, session.step, verdicts=self.verdicts, group=session.group, picture=picture)
        elif session.view == "log":
            made["body"] = watch.log(run)
        elif session.view == "config":
            made["body"] = watch.config(run)
        else:
            made["body"] = watch.evaluation(run, _judging(run, found), now=now)
        return made

    def _asking(self, session: TrainingSession, run: Run, found: list[Run]) -> Markup:
        if session.asked is None or session.asked.run != run.name:
            return NOTHING
        return ask.html(session.asked, data=self._to_judge_by(), runs=found)

    def _to_judge_by(self) -> dict[str, str]:
        return self._data() | own_data.kept(self.root)

    def _curves(self, session: TrainingSession, chosen: list[Run]) -> Markup:
        """The plots; as they were where nothing is new, which costs nothing."""
        key = "curves as of"
        found = curves.update(
            [run.folder for run in chosen],
            steps=session.zoom,
            known=session.shown.get(key, ""),
            live=any(run.is_live for run in chosen),
        )
        session.shown[key] = found.signature
        return Markup(session.shown.get("curves", "")) if found.html is None else found.html

    def verdicts(self, sample: Mapping[str, Any]) -> Sequence[tuple[str, str, str]]:
        """Each sentence of a sample, what graph and measurements say of it, and the fact that decides."""
        key = json.dumps([sample.get(name) for name in ("completion", "diagnosis", "findings", "prompt")])
        return self._judged(key)

    def _judge(self, key: str) -> tuple[tuple[str, str, str], ...]:
        text, diagnosis, findings, prompt = json.loads(key)
        graph = self._graph()
        text, given = text or "", numbered([prompt or ""], graph)
        claims = check_claims(
            graph, text, findings=read_findings(findings), diagnosis=diagnosis, evidence=given if given.items else None
        )
        claims = statements(claims, parse(text).answer)
        return tuple((claim.text, claim.verdict, _why(graph, claim)) for claim in claims)

    def training(self) -> str:
        """What is being trained now, in words for everybody; "" where nothing is."""
        live = [run for run in self.runs() if run.state in ("running", "stopping")]
        if not live:
            return ""
        run = live[-1]
        of = f" of {run.status.total}" if run.status.total else ""
        more = f", and {len(live) - 1} more" if len(live) > 1 else ""
        return f"Training {run.name}: step {run.status.step}{of}{more}"

    def prefer(self, session: TrainingSession, named: str) -> None:
        """A form for DPO on a frozen set of the review."""
        session.form = Form.of("dpo").given({"preferences": text_of((named,))})

    # --- which runs ---------------------------------------------------------------------

    def runs(self) -> list[Run]:
        then, found = self._runs
        if time.monotonic() - then > LOOK_S:
            found = runs.list_runs(self.root)
            self._runs = (time.monotonic(), found)
        return found

    def selected(self, session: TrainingSession) -> Run | None:
        found = self.runs()
        named = next((run for run in found if run.name == session.selected), None)
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

    def act(self, session: TrainingSession, event: str, said: Said) -> Iterator[Changed]:
        """Does what an event asks for, and gives what changes on the page, more than once where work is long."""
        if event != "admit" and self._is_shut(session):
            yield self._seen(session, event)
            return
        if event in STARTING and not self._may_start(session):  # a second click is no second run
            yield self._seen(session, event)
            return
        try:
            with self._of(session) if event in FORM_EVENTS else contextlib.nullcontext():
                yield from self._act(session, event, said)
        finally:
            session.starting = session.starting and event not in STARTING

    def _may_start(self, session: TrainingSession) -> bool:
        with self._lock:
            may, session.starting = not session.starting, True
        return may

    def _of(self, session: TrainingSession) -> Any:
        """A visitor's changes of the form come one after the other: the last must not overtake a click on Start."""
        with self._lock:
            return self._locks.setdefault(session, threading.Lock())

    def _act(self, session: TrainingSession, event: str, said: Said) -> Iterator[Changed]:
        act: Callable[[TrainingSession, Said], Iterator[None] | None] = getattr(self, f"_do_{event}")
        session.told = "" if event in TELLING else session.told
        try:
            for _step in act(session, said) or ():
                yield self._seen(session, event)
        except GivenUp:
            session.form = replace(session.form, said="Cancelled. Nothing was started.")
        except DermIQError as error:
            self._tell(session, event, str(error))
        except Exception:
            log.exception("%s in the training tab failed", event)
            self._tell(session, event, FAILED)
        if event in FORM_EVENTS:
            session.form, session.working = replace(session.form, doing="", share=0.0), None
        self._runs = (0.0, [])
        yield self._seen(session, event)

    def _seen(self, session: TrainingSession, event: str) -> Changed:
        return self.look(session, form=None if event in TO_FORM else MODELS)

    def _tell(self, session: TrainingSession, event: str, message: str) -> None:
        if event in ASKING and session.asked:
            session.asked = replace(session.asked, wrong=message)
        elif event in FORM_EVENTS or not self.runs():
            session.form = session.form.refused(InputError(message))
        else:
            session.told = message

    def _do_admit(self, session: TrainingSession, said: Said) -> None:
        session.refused = self.access.refusal(said.fields.get("password", ""))
        session.admitted = not session.refused

    # the form

    def _do_plain(self, session: TrainingSession, said: Said) -> None:
        session.form = Form.of(session.form.stage, session.form.preset, name=session.form.name)

    def _do_set(self, session: TrainingSession, said: Said) -> None:
        session.form = self._given(session, said)

    _do_yaml = _do_set

    def _do_load(self, session: TrainingSession, said: Said) -> None:
        session.form = session.form.read_yaml(said.value)

    def _do_discard(self, session: TrainingSession, said: Said) -> None:
        session.form = session.form.read_yaml(session.form.yaml_text())

    def _do_saveyaml(self, session: TrainingSession, said: Said) -> None:
        session.form = self._given(session, said)
        if not session.form.errors:
            name, text = f"{session.form.name or session.form.stage}.yaml", session.form.yaml_text()
            session.exported = exports.Exported(run="", download=download(name, "application/yaml", text.encode()))

    def _do_estimate(self, session: TrainingSession, said: Said) -> Iterator[None]:
        yield from self._checked(session, said)

    def _checked(self, session: TrainingSession, said: Said) -> Iterator[None]:
        """The form with what the stage refuses, and with an estimate where nothing is refused."""
        form = self._given(session, said)
        work = session.working = Working(partial(self._foreseen, form), LOOKING)
        lasts = True
        while lasts:
            session.form = replace(form, doing=f"{work.text}.", share=work.share)
            yield
            lasts = work.lasts(TOLD_S)
        session.form = form
        session.form = work.result()

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

    def _do_cancel(self, session: TrainingSession, said: Said) -> None:
        if session.working:
            session.working.cancel()

    def _do_start(self, session: TrainingSession, said: Said) -> Iterator[None]:
        yield from self._checked(session, said)
        if not session.form.is_right:
            return
        if session.form.estimate and session.form.estimate.is_red:
            session.form = replace(session.form, asked_again=True)
            return
        self._launch(session, session.form)

    def _do_startanyway(self, session: TrainingSession, said: Said) -> None:
        session.form = self._given(session, said).check()
        if session.form.is_right:
            self._launch(session, session.form.unchecked())

    def _do_smoke(self, session: TrainingSession, said: Said) -> None:
        form = Form.of(*SMOKE).check()
        if form.note or form.errors:
            raise InputError(form.note or next(iter(form.errors.values())))
        session.form = form
        self._launch(session, form)

    def _launch(self, session: TrainingSession, form: Form) -> None:
        if self.impossible:
            raise InputError(self.impossible)
        config = form.config()
        if isinstance(config, PipelineConfig):
            name = form.name or runs.free_name("pipeline", self.root, tuple(config.stages))
            started = runs.start_chain(config.configs(name), root=self.root)
        else:
            started = [runs.start(config, name=form.name, root=self.root)]
        session.selected, session.view, session.comparing, session.zoom, session.step = (
            started[0].name,
            "overview",
            False,
            None,
            None,
        )
        session.told = _started([run.name for run in started])
        session.arrived += 1
        session.form = replace(form, name="", note="", said=session.told, asked_again=False)

    # the list

    def _do_select(self, session: TrainingSession, said: Said) -> None:
        session.selected, session.comparing, session.told = said.value, False, ""
        session.step, session.group, session.zoom = None, 0, None

    def _do_tick(self, session: TrainingSession, said: Said) -> None:
        rest = [name for name in session.ticked if name != said.value]
        session.ticked = [*rest, said.value] if said.index == "1" else rest
        session.comparing = session.comparing and len(session.ticked) > 1

    def _do_untick(self, session: TrainingSession, said: Said) -> None:
        session.ticked, session.comparing = [], False

    def _do_compare(self, session: TrainingSession, said: Said) -> None:
        session.comparing, session.zoom = True, None

    def _do_sort(self, session: TrainingSession, said: Said) -> None:
        session.sort = said.value

    def _do_find(self, session: TrainingSession, said: Said) -> None:
        session.find = said.value[:100]

    def _do_undelete(self, session: TrainingSession, said: Said) -> None:
        runs.undelete(said.value, self.root)
        session.selected, session.deleted = said.value, ""
        session.told = _("{name} is back.").format(name=said.value)

    # one run

    def _do_view(self, session: TrainingSession, said: Said) -> None:
        session.view, session.comparing = said.value if said.value in watch.VIEWS else "overview", False

    def _do_range(self, session: TrainingSession, said: Said) -> None:
        session.zoom = curves.zoomed(said.value)

    def _do_step(self, session: TrainingSession, said: Said) -> None:
        session.step, session.group = (int(said.value) if said.value.isdecimal() else None), 0

    def _do_group(self, session: TrainingSession, said: Said) -> None:
        session.group = int(said.value) if said.value.isdecimal() else 0

    def _do_stop(self, session: TrainingSession, said: Said) -> None:
        run = runs.stop(self._run(said.index).folder)
        session.told = (
            f"{run.name} finishes its step, saves, and ends." if run.state != "queued" else "It leaves the queue."
        )

    def _do_kill(self, session: TrainingSession, said: Said) -> None:
        runs.kill(self._run(said.index).folder)

    def _do_resume(self, session: TrainingSession, said: Said) -> None:
        if self.impossible:
            raise InputError(self.impossible)
        runs.resume(self._run(said.index).folder)

    def _do_delete(self, session: TrainingSession, said: Said) -> None:
        run = self._run(said.index)
        runs.delete(run.folder)
        session.deleted, session.selected = run.name, ""
        session.ticked = [name for name in session.ticked if name != run.name]

    def _do_rename(self, session: TrainingSession, said: Said) -> None:
        run = self._run(said.index)
        if said.value.strip() == run.name:
            return
        folder = runs.rename(run.folder, said.value.strip())
        session.selected = folder.name
        session.ticked = [folder.name if name == run.name else name for name in session.ticked]
        if self.beside.answering and self.beside.answering[0] == run.name:
            self.beside.answering = (folder.name, self.beside.answering[1])

    def _do_note(self, session: TrainingSession, said: Said) -> None:
        runs.annotate(self._run(said.index).folder, said.value)

    def _do_duplicate(self, session: TrainingSession, said: Said) -> None:
        run = self._run(said.index)
        if run.stage not in KINDS:
            raise InputError(f"{run.name} is no training: there is no form for it.")
        session.form = Form.of_options(run.stage, run.options)
        session.told = f"The form on the left has the options of {run.name}. Change what you like, and start."

    def _do_use(self, session: TrainingSession, said: Said) -> Iterator[None]:
        run = self._run(said.index)
        if said.value not in weights_of(run):
            raise InputError(f"{run.name} no longer has these weights. Choose others.")
        which = watch.weights_name(said.value)
        session.told = _("Loading {weights} of {run}. {model} answers until it is there.").format(
            weights=which, run=run.name, model=self.beside.name
        )
        yield
        self.beside.take(run, said.value)
        session.told = _("From the next question on, {weights} of {run} answers in the consultation.").format(
            weights=which, run=run.name
        )

    def _do_back(self, session: TrainingSession, said: Said) -> None:
        self.beside.give_back()
        session.told = f"{self.beside.name} answers again."

    def _do_evaluate(self, session: TrainingSession, said: Said) -> None:
        """Asks first: it may take hours."""
        run, known = self._run(said.index), self._to_judge_by()
        if not known:
            raise InputError("There is nothing to judge by: upload labelled images below the form, or set DERMIQ_DATA.")
        data = next((name for name in run.options.get("data", ()) if name in known), next(iter(known)))
        session.asked = Asked(run.name, said.value or "final", data)

    def _do_asked(self, session: TrainingSession, said: Said) -> None:
        if session.asked:
            session.asked = session.asked.given(said.fields)

    def _do_unask(self, session: TrainingSession, said: Said) -> None:
        session.asked = None

    def _do_judge(self, session: TrainingSession, said: Said) -> None:
        if session.asked is None:
            return
        session.asked = session.asked.given(said.fields)
        config = session.asked.config()
        name = runs.free_name(f"{config.model}-evaluation"[:90], self.root)
        started = runs.start(config, name=name, root=self.root)
        many = _("{n} images").format(n=config.images) if config.images else _("all images")
        session.asked, session.view = None, "evaluation"
        data = self._to_judge_by().get(config.data, config.data)
        session.told = _("{name} reads {images} of {data}.").format(name=started.name, images=many, data=data)

    def _do_export(self, session: TrainingSession, said: Said) -> Iterator[None]:
        run = self._run(said.index)
        session.told = f"Exporting {run.name}."
        yield
        session.exported = exports.export(run, said.value, self.root, weights=watch.weights(run).best)
        session.told = f"{run.name} is exported; see below."

    def _do_push(self, session: TrainingSession, said: Said) -> Iterator[None]:
        if session.exported is None or not session.exported.folder:
            raise InputError("Export the run first.")
        session.exported = replace(session.exported, said="Sending it to the hub.")
        yield
        session.exported = exports.push(session.exported, said.fields.get("hub", ""), said.fields.get("token", ""))


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


def comparing() -> Markup:
    """Over the runs that are compared, and the way back to one."""
    return fill(
        '<div class="dq-chosen"><h2 tabindex="-1" data-arrive="compared">{title}</h2> '
        '<button type="button" class="dq-quiet" data-event="view" data-text="overview">{back}</button></div>',
        title=_("Runs compared"),
        back=_("Back to one run"),
    )


def _started(names: list[str]) -> str:
    first, *others = names
    for name in others:
        first = _("{names}, then {last}").format(names=first, last=name)
    return _("Started {names}.").format(names=first)


def sign_in(refused: str) -> Markup:
    return fill(
        '<section class="dq-sign-in" data-fields="admit" data-enter aria-label="{label}"><h2>{title}</h2>'
        "<p>{why}</p>"
        '<label for="dq-password">{word}</label>'
        '<input id="dq-password" class="dq-field" type="password" name="password" autocomplete="current-password" '
        'maxlength="200"{wrong}>{error}'
        '<p><button type="button" class="dq-button dq-primary" data-event="admit">{label}</button></p></section>',
        label=_("Sign in"),
        title=_("Training"),
        why=_("Runs use this computer for hours, so starting and steering them needs the password of whoever runs it."),
        word=_("Password"),
        wrong=Markup(' aria-invalid="true" aria-describedby="dq-refused"') if refused else "",
        error=fill('<p class="dq-error" role="alert" id="dq-refused">{r}</p>', r=in_our_language(refused))
        if refused
        else "",
    )


@lru_cache(maxsize=32)
def _thumbnail(path: str) -> Markup | None:
    try:
        pixels = decode(Path(path).read_bytes())  # of an upload, perhaps
    except (OSError, ImageError):  # the data lies elsewhere now
        return None
    alt = _("The image that was asked about")
    return fill('<img src="{url}" alt="{alt}" width="160">', url=data_url(pixels, longest=320), alt=alt)


def picture(sample: Mapping[str, Any]) -> Markup | None:
    """The image that a sample is about, inside the page."""
    path = sample.get("image")
    return _thumbnail(path) if isinstance(path, str) and path else None


def _judging(run: Run, found: list[Run]) -> Run | None:
    """The newest evaluation of a run."""
    return next((one for one in found if one.stage == "evaluation" and one.options.get("model") == run.name), None)


def _why(graph: Graph, claim: Claim) -> str:
    """What stands behind a mark: the facts; of a true sentence that is of another condition or cites wrongly, why."""
    if claim.verdict in ("another_condition", "wrong_citation"):
        return claim.note
    return " ".join(graph.fact(key).text for key in claim.fact_ids[:2]) or claim.note
