"""What a stage trains on: the options that name it, and its rows as examples that are written when they are asked for.

Between `train.cases.sources`, which reads rows and knows no model, and the stages, which turn a row into one example
each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from dermiq.data_sets import DATA_SETS, DEFAULT, NAMED
from dermiq.errors import DataError, InputError
from dermiq.files.examples import messages, places_of
from dermiq.types import Fields, Json
from train.cases.labelled import LABELS, quiet
from train.cases.sources import Item, Say, choose, is_of_folder, read_splits
from train.config import StageConfig
from train.options import option
from train.runs.job import Job

if TYPE_CHECKING:
    from dermiq.vlm.load import VLM

T = TypeVar("T")


@dataclass(frozen=True)
class ExampleConfig(StageConfig):
    """The options of a stage with data. `columns` are those that its written examples must have."""

    columns: ClassVar[tuple[str, ...]] = ("prompt", "completion")

    data: tuple[str, ...] = option(DEFAULT, f"{NAMED}, CSV (image, label), JSONL or data sets in TRL's columns")
    val: tuple[str, ...] = option((), "what it is judged by while it trains; empty: the val split of the data")
    val_share: float = option(
        0.0, "share of patients or lesions that is held out where the data has no val split", minimum=0, maximum=0.9
    )
    labels: str = option(
        "classes",
        "of tables: classes asks about rows of none of the seven; known leaves them out; text learns labels as answers",
        choices=LABELS,
    )
    data_folder: str = option("", f"folder that holds {NAMED}; empty: DERMIQ_DATA")
    images: int = option(0, f"drawn of {NAMED}, of every class alike while there are enough; 0: all", minimum=0)
    val_images: int = option(64, "examples of val that are used at most; 0: all", minimum=0)

    def check(self) -> None:
        super().check()
        if not self.sources:
            raise InputError("data is empty: name what to train on.")
        _, val = self.rows()
        if self.eval_every and not val:
            raise DataError("eval_every asks for evaluations, but there is no val: name one, or set val_share.")

    @property
    def sources(self) -> tuple[str, ...]:
        """What is trained on."""
        return self.data

    def notes(self) -> tuple[str, ...]:
        """What was left out of the data, or taken as not stated, as sentences. DataError as for `rows`."""
        found: list[str] = []
        self.every_row(say=found.append)
        return tuple(found)

    def rows(self, say: Say = quiet) -> tuple[list[Any], list[Any]]:
        """What is trained on, and what is judged by; `say` is told the `notes`. DataError where the stage cannot use a
        row.
        """
        train, val = self.every_row(say)
        return self._drawn(train), choose(val, self.val_images, self.seed)

    def every_row(self, say: Say = quiet) -> tuple[list[Any], list[Any]]:
        """The same before any is left out for `images` and `val_images`."""
        train, val = read_splits(
            self.sources,
            self.val,
            val_share=self.val_share,
            seed=self.seed,
            data=self.data_folder,
            columns=self.columns,
            labels=self.labels,
            say=say,
        )
        return self.usable(train), self.usable(val)

    def _drawn(self, train: list[Any]) -> list[Any]:
        """At most `images` of the data folders; whatever was named by itself is learned whole."""
        folders = [row for row in train if is_of_folder(row)]
        if not self.images or len(folders) == len(train):
            return choose(train, self.images, self.seed)
        named = [row for row in train if not is_of_folder(row)]
        return choose([*named, *(choose(folders, self.images, self.seed) if folders else [])], 0, self.seed)

    def learned(self) -> str:
        train, _ = self.every_row()
        every, used = len(train), len(self._drawn(train))
        told = []
        if used < every:
            told.append(
                f"{used} of {every} examples are learned: images is {self.images}, which is how many are drawn of "
                f"{' and '.join(name for name in self.sources if name in DATA_SETS)}."
            )
        chats = self.examples_of(used)
        seen = self.steps * self.batch_size * self.accumulation // getattr(self, "iterations", 1)
        if 0 < seen < chats:
            told.append(
                f"{self.steps} step(s) see {seen} of {chats} examples, each once. For all of them set steps to 0: then "
                "it takes the passes that epochs says."
            )
        return " ".join(told)

    def examples_of(self, rows: int) -> int:
        """How many examples are made of so many rows; 0 where that is not known before."""
        return rows

    def usable(self, rows: list[Item]) -> list[Item]:
        """The rows that the stage takes. Raises DataError for one that it cannot use."""
        return rows


def aloud(job: Job) -> Say:
    """Into the log of a run; of several processes the first speaks."""
    return partial(print, flush=True) if job.is_main else quiet


@dataclass(frozen=True)
class ChatOptions:
    """How a labelled image is asked about, as in a consultation."""

    told_share: float = option(0.7, "share of chats in which age, sex and site are told", minimum=0, maximum=1)
    facts: int = option(4, "facts of the graph in a chat that reasons", minimum=1, maximum=12)
    window: bool = option(True, "show the square around the lesion, as a consultation does, not the whole image")


@dataclass(frozen=True)
class ChatConfig(ChatOptions, ExampleConfig):
    """Of a stage that writes consultations about labelled images."""


class Turns:
    """Messages as a model's template takes them: parts without control tokens, the system turn where it has one."""

    def __init__(self, vlm: VLM) -> None:
        from dermiq.vlm.prompt_inputs import takes_system_turn  # PyTorch takes seconds to load

        self._plain = vlm.encoder.plain
        self._takes_system = takes_system_turn(vlm.processor)

    def __call__(self, messages: Sequence[Fields]) -> list[Json]:
        from dermiq.vlm.prompt_inputs import folded  # PyTorch takes seconds to load

        turns = [{"role": m["role"], "content": [self._part(part) for part in m["content"]]} for m in messages]
        return turns if self._takes_system else folded(turns)

    def written(self, value: str | Sequence[Fields], role: str, *, images: int = 0) -> list[Json]:
        """What a data set holds, a text of `role` or turns, as turns. Images that have no place go to the first user
        turn. Raises DataError where places and images do not match.
        """
        turns = messages(value, role)
        first = next((turn for turn in turns if turn["role"] == "user"), None)
        if first and not places_of(turns):
            first["content"][:0] = [{"type": "image"}] * images
        if places_of(turns) != images:
            raise DataError(f"An example has {images} image(s) and {places_of(turns)} place(s) for them.")
        return self(turns)

    def _part(self, part: Fields) -> Json:
        return {"type": "text", "text": self._plain(part["text"])} if part["type"] == "text" else {"type": part["type"]}


class UpToTheEnd:
    """A collator whose answers are learned up to and with the token that ends them, and not what the template writes
    behind it, which no model is ever asked for.
    """

    def __init__(self, collate: Callable[[list[Any]], Any], vlm: VLM) -> None:
        import torch

        self._collate, self._ends = collate, torch.tensor(sorted(vlm.end_ids))

    def __call__(self, examples: list[Any]) -> Any:
        import torch

        batch = self._collate(examples)
        name, nothing = ("labels", -100) if "labels" in batch else ("completion_mask", 0)
        ends = (batch[name] != nothing) & torch.isin(batch["input_ids"], self._ends)  # (B, T)
        behind = ends.flip(1).cumsum(1).flip(1) == 0  # no end here or later
        batch[name] = batch[name].masked_fill(behind & ends.any(1, keepdim=True), nothing)
        return batch


def as_dataset(rows: Sequence[T], write: Callable[[T, int], Fields], *, each: int = 1) -> Any:
    """A `datasets.Dataset` of `each` examples a row; `write(row, i)` writes the i-th when it is asked for."""
    from datasets import Dataset

    return Dataset.from_dict({"number": list(range(len(rows) * each))}).with_transform(
        _WrittenOnRequest(rows, write, each)
    )


class _WrittenOnRequest:
    """The transform of a data set of numbers: each becomes its example when it is read."""

    def __init__(self, rows: Sequence[T], write: Callable[[T, int], Fields], each: int) -> None:
        self.rows, self.write, self.each = rows, write, each

    def __call__(self, batch: Mapping[str, Sequence[int]]) -> dict[str, list[object]]:
        examples = [self.write(self.rows[number // self.each], number % self.each) for number in batch["number"]]
        return {name: [example[name] for example in examples] for name in examples[0]}

    def __reduce__(self) -> str | tuple[object, ...]:
        """`datasets` pickles a transform to give it a fingerprint: the graph in it would take seconds."""
        return (_WrittenOnRequest, ((), None, len(self.rows)))
