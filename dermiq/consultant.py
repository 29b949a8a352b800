"""Loads the readers in the background and keeps each visitor's case apart. Knows no page.

consultant = LocalConsultant(Settings()); consultant.start()
for event in consultant.assess(case, stop=threading.Event(), session_id="..."): ...
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from dermiq import memory
from dermiq.answering.weigh import percent
from dermiq.consultation import Readers, Thread, assess, blanked, open_thread, thread_after, vlm_differential
from dermiq.decoder.pool import prepare
from dermiq.errors import DermIQError, InputError, ModelError
from dermiq.examples import Examples, cases
from dermiq.knowledge import Graph, forget, warm
from dermiq.language import N_
from dermiq.lesion import read_lesion
from dermiq.line import Line
from dermiq.places import WEIGHTS
from dermiq.settings import Settings
from dermiq.shipped import read_json
from dermiq.specialist import Specialist
from dermiq.types import Case, Event, Events, Json, Lesion, SelfCheck, SpecialistReading
from dermiq.vlm.load import VLM, load_vlm
from dermiq.vlm.nano import is_nano

MAX_THREADS = 16  # cases kept at once; the one that rested longest goes first
AHEAD = "examples"  # the session of answers that nobody waits for
AHEAD_SECONDS = 1.0  # between two looks at whether somebody asks
MAX_CACHES = 3  # of them, those whose text needn't be read again (a cache takes 40 MB; to read again, a second)
STAGES = {
    "waiting": N_("waiting for another process that fetches the language model"),
    "downloading": N_("downloading the language model, {share}"),
    "checking": N_("checking the language model's download"),
    "converting": N_("converting the language model, once, {share}"),
    "loading": N_("loading the language model"),
    "ready": "loading the language model",  # it is fetched, but not loaded yet
}
log = logging.getLogger(__name__)


class LocalConsultant:
    """Readers on this machine, shared by all visitors; each visitor's case lives under its session id alone."""

    def __init__(self, settings: Settings, *, votes: int = 1, examples: Examples | None = None) -> None:
        """`examples`: answers to the drawn ones, which are then given again; None: the models answer these, too."""
        self.settings = settings
        self.votes = votes
        self.examples = examples
        self._readers: Readers | None = None
        self._first: VLM | None = None  # that the settings name
        self._status = N_("waiting to start")
        self._failure: DermIQError | None = None
        self._threads: OrderedDict[str, Thread] = OrderedDict()
        self._lock = threading.Lock()
        self._reading = threading.Lock()  # two images read at once take longer than one after the other
        self._line = Line()
        self._ahead = threading.Event()  # ends the answer to an example that nobody waits for
        self._loaded = threading.Event()

    # --- loading ------------------------------------------------------------------------

    def start(self) -> None:
        """Begins to load in the background."""
        prepare()
        threading.Thread(target=self.load, name="load", daemon=True).start()

    def load(self) -> None:
        """Loads graph, specialist and language model; a failure is kept for `status` and raised on use."""
        try:
            self._status = N_("loading the knowledge graph and the specialist")
            graph = Graph.load(self.settings.kg)
            specialist = Specialist.load()
            self._status = "loading the language model"
            vlm = load_vlm(
                self.settings.model or "nano",
                adapter=self.settings.adapter,
                load_in_4bit=self.settings.load_in_4bit,
                device=self.settings.device,
                progress=self._progress,
            )
            vlm.name = written(vlm.name)
            self._status = N_("preparing the search for facts")
            warm(graph)
            self._readers = Readers(specialist, vlm, graph, votes=self.votes, **suited_to(vlm))
            self._first = vlm
            memory.trim()
            self._status = "ready"
        except DermIQError as error:
            log.error("loading failed: %s (%s)", error, error.detail)
            self._failure, self._status = error, str(error)
        except Exception as error:
            log.exception("loading failed")
            self._failure = ModelError(N_("The model could not be loaded; the log says why."), detail=repr(error))
            self._status = str(self._failure)
        finally:
            self._loaded.set()

    def _progress(self, what: str, share: float) -> None:
        self._status = STAGES.get(what, what).format(share=percent(share))

    def ready(self) -> bool:
        return self._readers is not None

    def status(self) -> str:
        return self._status

    def readers(self) -> Readers:
        """The loaded readers; waits for them. Raises what went wrong."""
        self._loaded.wait()
        if self._readers is None:
            raise self._failure or ModelError("The model is not loaded.")
        return self._readers

    @property
    def name(self) -> str:
        """The model as page, report and JSON write it."""
        return self._readers.vlm.name if self._readers else written(self.settings.model or "nano")

    @property
    def device(self) -> str:
        """Where the model runs, as the page writes it."""
        if self._readers is None:
            return "loading"
        device = torch.device(self._readers.vlm.device)
        return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()

    def use(self, model: str = "", *, name: str = "") -> None:
        """Answers with another model from the next question on, as `name`; without one, with the first again.

        The one before answers until the other is loaded. Raises ModelError, and then nothing has changed.
        """
        readers = self.readers()
        vlm = self._first
        if model:
            vlm = load_vlm(model, device=self.settings.device)
            vlm.name = name or written(vlm.name)
        assert vlm is not None
        self._readers = replace(readers, vlm=vlm, **suited_to(vlm))
        with self._lock:
            self._threads.clear()

    # --- consulting ---------------------------------------------------------------------

    def read_image(self, data: bytes, *, view: str = "unknown", taken: str | None = None) -> Lesion:
        """Decodes one file and judges the picture itself. Raises ImageError with a sentence."""
        return read_lesion(data, view=view, taken=taken)  # type: ignore[arg-type]  # the page offers View's values

    def assess(self, case: Case, *, stop: threading.Event, session_id: str) -> Events:
        """Answers `case.question`, going on from this visitor's earlier questions on the same images.

        The specialist reads at once; the language model answers in the order in which the questions came. What these
        readers answered before to a drawn example is given again, unless it is asked `anew`.
        """
        if not case.lesions:
            raise InputError("There is no image to assess: upload at least one photograph of the lesion.")
        readers = self.readers()
        if session_id != AHEAD:
            self._ahead.set()  # whoever asks goes before what is answered ahead
        key = self.examples.key(case, readers) if self.examples else None
        if self.examples and key and not case.anew and (kept := self.examples.find(key)):
            return self._again(case, kept, readers, session_id)
        events = assess(case, readers, thread=self._thread(case, session_id, readers), stop=stop)
        answered = self._line.in_turn(events, stop)
        return self.examples.keeping(key, answered) if self.examples and key else answered

    def _again(self, case: Case, kept: Sequence[Event], readers: Readers, session_id: str) -> Events:
        """The events of before; the next question goes on from them. The model reads them ahead where it is idle."""
        thread = thread_after(case, kept, readers)
        self._remember(session_id, thread)
        yield from kept
        if self._line.is_free():  # behind the page, which has all of it
            threading.Thread(target=_read_ahead, args=(thread,), name="read ahead", daemon=True).start()

    def answer_examples(self) -> Iterator[tuple[str, Case, bool]]:
        """Answers what is not kept yet of the examples, while nobody else asks: title, case, and whether it is kept."""
        yield from ((title, case, self._answer_ahead(case)) for title, case in cases())

    def _answer_ahead(self, case: Case) -> bool:
        while self.examples and (key := self.examples.key(case, self.readers())):
            if self.examples.find(key):
                return True
            stop = self._ahead = threading.Event()
            if not self._line.is_free():
                time.sleep(AHEAD_SECONDS)
                continue
            try:
                for _ in self.assess(case, stop=stop, session_id=AHEAD):
                    pass
            finally:
                self.forget(AHEAD)
            if not stop.is_set():
                return self.examples.find(key) is not None
            time.sleep(AHEAD_SECONDS)
        return False

    def _thread(self, case: Case, session_id: str, readers: Readers) -> Thread:
        """This visitor's thread where the images are the same and turns are expected; a new one otherwise."""
        with self._lock:
            thread = self._threads.get(session_id)
        same = thread is not None and len(thread.lesions) == len(case.lesions) and thread.session.vlm is readers.vlm
        same = same and all(a.pixels is b.pixels for a, b in zip(thread.lesions, case.lesions, strict=True))  # type: ignore[union-attr]
        if thread is None or not same or not case.history:
            with self._reading:
                thread = open_thread(case, readers)
        self._remember(session_id, thread)
        return thread

    def _remember(self, session_id: str, thread: Thread) -> None:
        with self._lock:
            self._threads[session_id] = thread
            self._threads.move_to_end(session_id)
            while len(self._threads) > MAX_THREADS:
                self._threads.popitem(last=False)
            resting = list(self._threads.values())[:-MAX_CACHES]
        for other in resting:
            other.session.rest()

    def heatmap(self, lesion: Lesion, code: str) -> np.ndarray:
        """Where the specialist looks for class `code`: (H, W), 0 to 1."""
        return self.readers().specialist.heatmap(lesion, code)

    def structures(self, lesion: Lesion, reading: SpecialistReading) -> Mapping[str, np.ndarray]:
        """Where the specialist sees each dermoscopic structure: (H, W), 0 to 1."""
        return self.readers().specialist.structure_maps(lesion, reading.outline)

    def image_check(self, case: Case) -> SelfCheck:
        """Does the language model's answer change when the image is blanked?"""
        readers = self.readers()
        return blanked(case, readers, vlm_differential(open_thread(case, readers).session, case, readers))

    def forget(self, session_id: str) -> None:
        """Drops everything kept for this visitor."""
        with self._lock:
            self._threads.pop(session_id, None)
        forget()
        memory.trim()


def _read_ahead(thread: Thread) -> None:
    """A question that comes meanwhile overtakes it, and reads what is missing itself."""
    try:
        thread.session.read(thread.read)
    except Exception as error:
        log.info("an answer was not read ahead: %r", error)


def nano_settings() -> Json:
    """What Nano's training wrote beside its weights; empty where there are none."""
    path = WEIGHTS / "nano" / "config.json"
    settings: dict[str, Any] = read_json(path) if path.is_file() else {}
    return settings


def suited_to(vlm: VLM) -> Json:
    """The fields of `Readers` that depend on the model.

    Nano reads one image, with the temperature and offsets that were fitted on `val`. A model that was trained further
    from it keeps them: they were not fitted again, but they are nearer to it than none.
    """
    if not is_nano(vlm.model.config):
        return {"temperature": 1.0, "offsets": {}, "max_images": None}
    settings = nano_settings()
    return {"temperature": settings.get("temperature", 1.0), "offsets": settings.get("offsets", {}), "max_images": 1}


def written(name: str) -> str:
    """A model's name for readers: "nano" becomes DermIQ-Nano with its weights' version; others stay as they are."""
    embedded, *adapter = name.split(" ", 1)
    if embedded != "nano":
        return name
    return " ".join(["DermIQ-Nano", *filter(None, [nano_settings().get("version")]), *adapter])
