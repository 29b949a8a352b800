"""Pairs from people's files and data sets into the queue, read by `dermiq.files.examples` as training reads them.

    imported = import_pairs(store, "pairs.jsonl", by="ana")

A source is read twice: first every line is checked, and where one cannot be used nothing is imported at all, unless
that is asked for. What is there already counts as a duplicate, so that the same source can be imported again; known
answers that contradict each other are refused. Images enter the store here, on purpose. Knows no page and no `train`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from dermiq.errors import DataError
from dermiq.files.examples import Example, read_examples
from dermiq.review.sets.pictures import Outliner, Pictures
from dermiq.review.sets.rows import pair_of
from dermiq.review.store.store import Store
from dermiq.review.types import NewPair
from dermiq.types import Fields


@dataclass(frozen=True)
class Imported:
    """What became of a source. Where lines were refused and that was not allowed, nothing was imported."""

    cases: int
    pairs: int
    duplicates: int
    refused: tuple[str, ...]  # a sentence a line, with its number
    told: tuple[str, ...] = ()  # what else should be known, a sentence each


def import_pairs(
    store: Store,
    source: str | Path,
    *,
    by: str,
    gold: bool = False,
    overlap: int | None = None,
    despite_refused: bool = False,
    anywhere: bool = True,
    outline: Outliner | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Imported:
    """Puts all pairs of a source into the queue. DataError where the source itself cannot be read.

    `gold`: what the source prefers is the known answer. `overlap`: reviewers that are wanted for each. `anywhere`: no
    says that images must lie below the file's own folder, as for a file that a visitor sends. `outline` draws the
    lesion's border. `progress` is told how many lines were checked.
    """
    with tempfile.TemporaryDirectory() as folder:
        pictures = Pictures(Path(folder), outline=outline, purged=store.purged())
        image = partial(pictures.of, named_in=Path(source), anywhere=anywhere)
        read = partial(pair_of, image=image, source=Path(source).name, gold=gold)
        check = _Check(read)
        for number, example in enumerate(read_examples(str(source), "pairs"), 1):
            check(example)
            progress(number)
        told = check.compare(store)
        if check.refused and not despite_refused:
            return Imported(0, 0, 0, tuple(check.refused))
        added = store.add_pairs(_pairs(source, check, pictures, overlap), by=by)
    return Imported(added.cases, added.pairs, added.duplicates, tuple(check.refused), told)


@dataclass
class _Check:
    """What the first reading of a source finds."""

    read: Callable[[Fields], NewPair]
    refused: list[str] = field(default_factory=list)
    known: dict[str, tuple[str, str]] = field(default_factory=dict)  # pair -> its better answer, and where it stands
    contradicted: set[str] = field(default_factory=set)  # pairs
    unused: int = 0  # examples of the split test

    def __call__(self, example: Example) -> None:
        if is_unused(example):
            self.unused += 1
            return
        try:
            pair = self.pair(example)
        except DataError as error:
            self.refused.append(f"{example.where}: {error}")
            return
        if pair.gold:
            self._keep(pair, example.where)

    def pair(self, example: Example) -> NewPair:
        if example.fault:
            raise DataError(example.fault)
        return self.read(example.columns)

    def _keep(self, pair: NewPair, where: str) -> None:
        better, name = pair.first if pair.gold == "first" else pair.second, pair.id
        said, before = self.known.setdefault(name, (better.id, where))
        if said != better.id:
            self.contradicted.add(name)
            self.refused.append(
                f"{where}: it contradicts {before[0].lower()}{before[1:]}, which prefers the other answer to the same "
                "prompt and images. Only one can be known to be right."
            )

    def compare(self, store: Store) -> tuple[str, ...]:
        """With the known answers of the store. What should be said of the rest."""
        without = 0
        for name, better in store.known_answers(self.known).items():
            said, where = self.known[name]
            without += better is None
            if better not in (None, said):
                self.contradicted.add(name)
                self.refused.append(
                    f"{where}: the review has this pair already, and knows the other answer to be the right one."
                )
        told = []
        if without:
            told.append(f"{without} of them have no known answer in the review and get none: a pair stays as it came.")
        if self.unused:
            told.append(f"{self.unused} pair(s) of the split test are not imported: sets are of train and val.")
        return tuple(told)


def is_unused(example: Example) -> bool:
    """Test data is for nobody to learn from, and sets of the review are learned from."""
    return example.columns.get("split") == "test"


def _pairs(source: str | Path, check: _Check, pictures: Pictures, overlap: int | None) -> Iterator[NewPair]:
    """Those of the lines that can be used; an image comes with its first."""
    given: set[str] = set()
    for example in read_examples(str(source), "pairs"):
        try:
            pair = check.pair(example)
        except DataError:  # told when it was checked
            continue
        if is_unused(example) or pair.id in check.contradicted:
            continue
        new = [image for image in pair.case.images if image.sha256 not in given]
        given |= {image.sha256 for image in new}
        yield replace(pair, images=pictures.files(new), overlap=overlap)
