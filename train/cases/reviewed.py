"""Frozen sets of the review as what a run learns from, by name and version: "mine@3". Knows no trainer.

They are read where DERMIQ_REVIEW and DERMIQ_REVIEW_DB say. A run's config.json keeps the digest of each set that it
learns from; it is not worked on with a set of another digest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from dermiq.errors import DataError
from dermiq.review.sets.freeze import find, lines, present
from dermiq.review.store.store import Store
from dermiq.review.types import is_frozen_set
from dermiq.settings import Settings
from dermiq.types import Json


@contextmanager
def review() -> Iterator[Store]:
    store = Store.open(Settings.load([]))
    try:
        yield store
    finally:
        store.close()


def lines_of(named: str, split: str) -> list[Json]:
    """The lines of a set in one split, their images as paths. Without those whose images were deleted since; see
    `deleted_from`.
    """
    with review() as store:
        found = [line for line in present(store, lines(store, named)) if line["split"] == split]
        files = {sha256: str(store.image_file(sha256)) for line in found for sha256 in line["images"]}
    return [{**line, "images": [files[sha256] for sha256 in line["images"]]} for line in found]


def digests_of(sources: Iterable[str]) -> dict[str, str]:
    """Of the frozen sets among the sources. DataError where one of them is not there."""
    named = [source for source in sources if is_frozen_set(source)]
    if not named:
        return {}
    with review() as store:
        return {source: find(store, source).digest for source in named}


def deleted_from(sources: Iterable[str]) -> dict[str, int]:
    """How many lines of each frozen set among the sources lost an image; without those that lost none."""
    found = {}
    for source in filter(is_frozen_set, sources):
        with review() as store:
            every = lines(store, source)
            found[source] = len(every) - len(list(present(store, every)))
    return {source: count for source, count in found.items() if count}


def refuse_changed(kept: Mapping[str, str]) -> None:
    """DataError where a set is not the one whose digest was kept."""
    for named, digest in digests_of(kept).items():
        if digest != kept[named]:
            raise DataError(
                f"The set {named} is another one than this run began with (digest {digest[:12]}, then "
                f"{kept[named][:12]}): is DERMIQ_REVIEW another place? Start a new run to learn from it."
            )
