"""The votes of a store as arrays of codes, which is what quality is computed from. Knows no database and no page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from dermiq.review.types import RUBRIC, VOTES

VALUES = VOTES[:-1]
"""What a judgement can be: a skip is none. A code is a place in it."""

NONE = -1
NAMED = ("reviewer", "diagnosis")
FIRST, SECOND = SIDES = VALUES.index("first"), VALUES.index("second")
Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Votes:
    """Reviews that were not undone, one entry a vote; adjudications are none. Codes are places in the lists."""

    ids: Array  # of votes
    pairs: Array  # ids; some may have no vote
    reviewers: list[str]
    diagnoses: list[str]  # the last is "": not known
    vote: Array  # codes
    pair: Array  # codes
    reviewer: Array
    diagnosis: Array
    choice: Array  # of VALUES; NONE: a skip
    left: Array  # FIRST or SECOND
    prefers: Array  # the graph: FIRST, SECOND or NONE
    gold: Array
    is_look: Array  # shown for the first time, as a pair without a known answer
    is_repeat: Array
    seconds: Array
    at: Array  # datetime64, UTC
    rubric: Array  # (n, 2, 4): 1 to 5 of a side by a criterion; 0: none

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Votes:
        """Of `Store.columns()`."""
        frame = frame[frame["kind"] == "review"]
        pair = frame["pair"].astype("category").cat
        reviewer, diagnosis = (frame[name].astype("category").cat.remove_unused_categories().cat for name in NAMED)
        ratings = [[f"{side}_{name}" for name in RUBRIC] for side in ("first", "second")]
        return cls(
            pairs=pair.categories.to_numpy(),
            reviewers=[str(name) for name in reviewer.categories],
            diagnoses=[*map(str, diagnosis.categories), ""],
            ids=frame["vote"].to_numpy(),
            vote=np.arange(len(frame)),
            pair=pair.codes.to_numpy(np.int64),
            reviewer=reviewer.codes.to_numpy(np.int64),
            diagnosis=diagnosis.codes.to_numpy(np.int64) % (len(diagnosis.categories) + 1),  # none: -1, the last
            choice=codes_of(frame["choice"], VALUES),
            left=codes_of(frame["left"], VALUES),
            prefers=codes_of(frame["prefers"], VALUES),
            gold=codes_of(frame["gold"], VALUES),
            is_look=(frame["purpose"] == "first").to_numpy(),
            is_repeat=(frame["purpose"] == "repeat").to_numpy(),
            seconds=frame["seconds"].to_numpy(float),
            at=frame["at"].dt.tz_localize(None).to_numpy(),
            rubric=np.stack([np.nan_to_num(frame[names].to_numpy(float)).astype(np.int8) for names in ratings], axis=1),
        )

    def __len__(self) -> int:
        return len(self.pair)

    def where(self, places: Array) -> Votes:
        """Some of them, by a mask or by indices. The lists, and so the codes, stay."""
        lists = {name: getattr(self, name) for name in ("ids", "pairs", "reviewers", "diagnoses")}
        return Votes(
            **lists, **{name: getattr(self, name)[places] for name in self.__dataclass_fields__ if name not in lists}
        )

    @cached_property
    def prefers_of_pairs(self) -> Array:
        """(pairs,): of each pair, what the graph prefers."""
        return self._of_pairs(self.prefers, NONE)

    @cached_property
    def diagnosis_of_pairs(self) -> Array:
        return self._of_pairs(self.diagnosis, len(self.diagnoses) - 1)

    def _of_pairs(self, values: Array, unjudged: int) -> Array:
        found = np.full(len(self.pairs), unjudged)
        found[self.pair] = values
        return found


def codes_of(values: pd.Series, known: Sequence[str]) -> Array:
    """The place of each value among the known ones; NONE for others."""
    categories = values.astype("category").cat
    places = [known.index(name) if name in known else NONE for name in categories.categories]
    found: np.ndarray = np.array([*places, NONE], np.int8)[
        categories.codes
    ]  # a missing value has the code -1: the last place
    return found
