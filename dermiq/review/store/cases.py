"""Cases, answers, pairs and images on their way into the store, and the derived tallies of the pairs. Knows no vote.

Each function runs in its caller's transaction. What is there already is recognised by its id and left as it is.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import get_args

from sqlalchemy import Connection, func, insert, literal_column, select, update

from dermiq.errors import DataError, InputError
from dermiq.review.store import queue, schema
from dermiq.review.store.gifts import is_withdrawn, return_image
from dermiq.review.store.images import ImageFolder
from dermiq.review.store.journal import By, append, append_new, plain
from dermiq.review.store.queue import NOTHING_GIVEN
from dermiq.review.store.records import deleted_images, to_proxy
from dermiq.review.store.schema import Query, SqlRow
from dermiq.review.store.standing import given_of
from dermiq.review.types import ImageRef, NewPair, PairSource, ReviewAnswer, ReviewCase
from dermiq.types import Json

SIDES = (None, "first", "second")
ASKED_AT_ONCE = 500  # ids of a query
SOURCES = get_args(PairSource)


# --- cases and answers ------------------------------------------------------------------


def add_cases(connection: Connection, cases: Sequence[ReviewCase], by: By) -> list[str]:
    """Ids of those that were new."""
    rows = {case.id: _case_row(case, by) for case in cases}
    new = append_new(connection, schema.cases, rows, by, what="case")
    by_id = {case.id: case for case in cases}
    images = [row for name in new for row in _image_rows(by_id[name])]
    if images:
        connection.execute(insert(schema.case_images), images)
    return new


def _case_row(case: ReviewCase, by: By) -> Json:
    if case.boxes and len(case.boxes) != len(case.images):
        raise InputError(f"A case has {len(case.images)} images and {len(case.boxes)} boxes: one each, or no boxes.")
    said = {name: getattr(case, name) for name in ("id", "diagnosis", "group", "split", "source")}
    texts = {"question": plain(case.question), "context": plain(case.context)}
    lists = {"prompt": list(case.prompt), "findings": list(case.findings)}
    return {**said, **texts, **lists, "added_by": by.who, "added_at": by.at}


def _image_rows(case: ReviewCase) -> list[Json]:
    return [
        {
            "case_id": case.id,
            "position": position,
            "sha256": image.sha256,
            "width": image.width,
            "height": image.height,
            "outline": image.outline and [list(point) for point in image.outline],
            "box": list(box) if box else None,
        }
        for position, (image, box) in enumerate(zip(case.images, case.boxes or (None,) * len(case.images), strict=True))
    ]


def add_answers(connection: Connection, answers: Sequence[ReviewAnswer], by: By) -> list[str]:
    wanted = {answer.case_id for answer in answers}
    known = connection.execute(select(schema.cases.c.id).where(schema.cases.c.id.in_(wanted))).scalars()
    if missing := wanted - set(known):
        raise InputError(f"The case {sorted(missing)[0]} of an answer is not in the store: add it first.")
    rows = {
        answer.id: {**asdict(answer), "text": plain(answer.text), "added_by": by.who, "added_at": by.at}
        for answer in answers
    }
    return append_new(connection, schema.answers, rows, by, what="answer")


# --- pairs ------------------------------------------------------------------------------


def add_pairs(connection: Connection, pairs: Sequence[NewPair], overlap: int, by: By) -> list[str]:
    """Ids of those that were new. Their classes weigh as the store stands now; see `weigh`."""
    rows = {pair.id: _pair_row(pair, overlap, by) for pair in pairs}
    new = append_new(connection, schema.pairs, rows, by, what="pair")
    if new:
        weights = queue.class_weights(class_counts(connection))
        given = given_of(connection, new)
        facts = connection.execute(fact_query().where(schema.pairs.c.id.in_(new)).order_by(schema.pairs.c.number))
        tallies = [tally_row(row, weights, [], given.get(row.id, NOTHING_GIVEN)) for row in facts.all()]
        connection.execute(insert(schema.tallies), tallies)
    return new


def known_answers(connection: Connection, names: Sequence[str]) -> dict[str, str | None]:
    """Of the pairs that are there: the id of the answer that is known to be better, None where none is."""
    pairs, found = schema.pairs, {}
    for begin in range(0, len(names), ASKED_AT_ONCE):
        query = select(pairs.c.id, pairs.c.first, pairs.c.second, pairs.c.gold)
        for row in connection.execute(query.where(pairs.c.id.in_(names[begin : begin + ASKED_AT_ONCE]))):
            found[row.id] = None if row.gold is None else str(row.first if row.gold == "first" else row.second)
    return found


def _check(pair: NewPair) -> None:
    if {pair.first.case_id, pair.second.case_id} != {pair.case.id}:
        raise InputError("The two answers of a pair answer one case: these do not.")
    if pair.first.id == pair.second.id:
        raise InputError("The two answers of a pair are the same text.")
    if pair.source not in SOURCES:
        raise InputError(f"The source of a pair is one of {', '.join(SOURCES)}, not {pair.source!r}.")
    if pair.gold not in SIDES or pair.likelier not in SIDES:
        raise InputError("The answer that is better or likelier is 'first' or 'second'.")
    if pair.proxy and not (pair.proxy.prefers in SIDES and 0 <= pair.proxy.margin < math.inf):
        raise InputError("The graph prefers 'first', 'second' or None, with a margin of at least 0.")
    if pair.overlap is not None and pair.overlap < 1:
        raise InputError(f"The overlap is {pair.overlap}; a pair wants at least 1 reviewer.")


def _pair_row(pair: NewPair, overlap: int, by: By) -> Json:
    proxy = pair.proxy
    return {
        "id": pair.id,
        "case_id": pair.case.id,
        "first": pair.first.id,
        "second": pair.second.id,
        **{name: getattr(pair, name) for name in ("source", "gold", "likelier")},
        **{name: proxy and getattr(proxy, name) for name in ("prefers", "margin", "decided_by")},
        "reasons": proxy and list(proxy.reasons),
        "scores": proxy and {side: dict(parts) for side, parts in proxy.scores.items()},
        "overlap": overlap if pair.overlap is None else pair.overlap,
        "added_by": by.who,
        "added_at": by.at,
    }


def add_batch(
    connection: Connection, batch: Sequence[NewPair], images: ImageFolder, overlap: int, by: By
) -> dict[str, int]:
    """Pairs with their cases, answers and images; the numbers of `Added`."""
    for pair in batch:
        _check(pair)
        keep_images(connection, images, pair.case, pair.images, by)
    new_cases = add_cases(connection, [pair.case for pair in batch], by)
    new_answers = add_answers(connection, [answer for pair in batch for answer in (pair.first, pair.second)], by)
    new = len(add_pairs(connection, batch, overlap, by))
    return {"cases": len(new_cases), "answers": len(new_answers), "pairs": new, "duplicates": len(batch) - new}


# --- tallies ----------------------------------------------------------------------------


def fact_query() -> Query:
    """What a tally needs of a pair."""
    pairs, cases = schema.pairs, schema.cases
    columns = (pairs.c.number, pairs.c.id, pairs.c.overlap, pairs.c.gold, pairs.c.prefers, pairs.c.margin)
    return select(*columns, pairs.c.likelier, cases.c.diagnosis).join_from(pairs, cases, pairs.c.case_id == cases.c.id)


def tally_row(
    facts: SqlRow, weights: Mapping[str | None, float], showings: Sequence[queue.Shown], given: queue.Given
) -> Json:
    believed = queue.belief(to_proxy(facts.prefers, facts.margin), facts.likelier)
    weight = weights[facts.diagnosis]
    tally = queue.tally(facts.overlap, facts.gold, believed, weight, showings, given)
    return {"pair_id": facts.id, **asdict(tally), "belief": believed, "weight": weight}


def class_counts(connection: Connection) -> Counter[str | None]:
    """Pairs of each diagnosis."""
    pairs, cases = schema.pairs, schema.cases
    query = (
        select(cases.c.diagnosis, func.count().label("pairs"))
        .join_from(pairs, cases, pairs.c.case_id == cases.c.id)
        .group_by(cases.c.diagnosis)
    )
    return Counter({row.diagnosis: row.pairs for row in connection.execute(query)})


def weigh(connection: Connection) -> None:
    """Gives every pair the weight that its class has now."""
    pairs, cases, tallies = schema.pairs, schema.cases, schema.tallies
    for diagnosis, weight in queue.class_weights(class_counts(connection)).items():
        same = cases.c.diagnosis.is_(None) if diagnosis is None else cases.c.diagnosis == diagnosis
        of_class = select(pairs.c.id).join(cases, pairs.c.case_id == cases.c.id).where(same)
        connection.execute(
            update(tallies)
            .where(tallies.c.pair_id.in_(of_class), tallies.c.weight != weight)
            .values(priority=tallies.c.priority / tallies.c.weight * weight, weight=weight)
        )


# --- images -----------------------------------------------------------------------------


def keep_image(connection: Connection, folder: ImageFolder, data: bytes, by: By) -> ImageRef:
    """The file is on the disk before the row that says so."""
    image, suffix = folder.keep(data)
    if is_purged(connection, image.sha256):
        folder.delete(image.sha256, suffix)
        raise InputError("This image was deleted from the review on purpose; it is not taken again.")
    row = {"sha256": image.sha256, "suffix": suffix, "bytes": len(data), "kept_by": by.who, "kept_at": by.at}
    rows = {image.sha256: row}
    append_new(connection, schema.kept_images, rows, by, what="image kept", key="sha256")
    return_image(connection, image.sha256, by)
    return image


def keep_images(
    connection: Connection, folder: ImageFolder, case: ReviewCase, images: Mapping[str, bytes], by: By
) -> None:
    """Of one case, by hash. InputError where a file is another image than its hash says, or none of the case's."""
    wanted = {image.sha256 for image in case.images}
    for sha256, data in images.items():
        if sha256 not in wanted or keep_image(connection, folder, data, by).sha256 != sha256:
            raise InputError("An image is kept under the SHA-256 of its file, as one of its case's images.")


def kept_hashes(connection: Connection) -> frozenset[str]:
    return frozenset(connection.execute(select(schema.kept_images.c.sha256)).scalars())


def is_purged(connection: Connection, sha256: str) -> bool:
    purged = schema.purged_images
    return connection.execute(select(literal_column("1")).where(purged.c.sha256 == sha256)).scalar() is not None


def suffix_of(connection: Connection, sha256: str) -> str:
    """DataError where the image was never kept."""
    kept = schema.kept_images
    suffix = connection.execute(select(kept.c.suffix).where(kept.c.sha256 == sha256)).scalar()
    if suffix is None:
        raise DataError("This image was not kept in the review.")
    return str(suffix)


def purge_image(connection: Connection, sha256: str, why: str, by: By) -> None:
    """The file itself is deleted when this is durable. Purging twice is purging once."""
    suffix_of(connection, sha256)
    if not is_purged(connection, sha256):
        row = {"sha256": sha256, "purged_by": by.who, "purged_at": by.at, "why": plain(why)}
        append(connection, schema.purged_images, row, by, what="image purged", subject=sha256)


def is_deleted(connection: Connection, sha256: str) -> bool:
    """For good, or taken back by who gave it."""
    return is_purged(connection, sha256) or is_withdrawn(connection, sha256)


def deleted_files(connection: Connection) -> list[tuple[str, str]]:
    """Hash and suffix."""
    kept, gone = schema.kept_images, deleted_images().subquery()
    query = select(kept.c.sha256, kept.c.suffix).join(gone, gone.c.sha256 == kept.c.sha256)
    return [(sha256, suffix) for sha256, suffix in connection.execute(query)]
