"""Frozen sets of preferences: what was decided of each pair, as lines that never change and that `train.dpo` takes.

    frozen = freeze(store, "first", SetRule(min_votes=2), by="ana")     # first@1
    for line in lines(store, "first@1"): ...                            # TRL's columns; images by their hash
    export(store, "first@1", Path("first-1"))                           # JSONL, Parquet, images and a data card

What is decided by whom, see `dermiq.review.sets.decide`. Knows no page and no `train`.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from dermiq.errors import DataError, InputError
from dermiq.review.measures.columns import Votes
from dermiq.review.measures.quality import report_of
from dermiq.review.sets.card import Contents, card_of, readme_of
from dermiq.review.sets.decide import Decision, Said, decide, said_of
from dermiq.review.store.store import Store
from dermiq.review.types import SET_NAME, Box, FrozenSet, PairView, SetRule, Side, named_set, other
from dermiq.types import Json
from dermiq.writing import whole_folder

Line = Json
PNG = b"\x89PNG"


# --- freezing ---------------------------------------------------------------------------


def freeze(store: Store, name: str, rule: SetRule, *, by: str) -> FrozenSet:
    """The next version of the set, of what stands now. InputError where no pair would be in it."""
    _check_name(name)
    columns = store.columns()
    said = said_of(columns, store.edits())
    found: list[Line] = []
    left_out: Counter[str] = Counter()
    for view in store.pairs():
        own = said.get(view.pair.id, Said())
        decision = decide(view, own, rule)
        if isinstance(decision, str):
            left_out[decision] += 1
        else:
            found.append(_line(view, own, decision))
    if not found:
        why = "; ".join(f"{reason}: {count}" for reason, count in left_out.most_common()) or "there are no pairs"
        raise InputError(f"No pair would be in the set ({why}). Vote first, or choose another rule.")
    report = report_of(Votes.of(columns))
    card = card_of(Contents(name, rule, found, dict(left_out.most_common())), report)
    return store.add_set(name, rule, found, digest=digest_of(found), card=card, by=by)


def _check_name(name: str) -> None:
    if not SET_NAME.fullmatch(name):
        raise InputError(
            f"A set cannot be called {name!r}: use up to 64 letters, digits, dots, dashes and underscores, and begin "
            "with a letter or a digit."
        )


def _line(view: PairView, said: Said, decision: Decision) -> Line:
    """TRL's columns, with images by their hash, and where the line comes from."""
    case, chosen = view.case, decision.chosen
    sides: dict[str, Side] = {"chosen": chosen, "rejected": chosen if decision.edit else other(chosen)}
    texts = {role: view.answer(side).text for role, side in sides.items()}
    if decision.edit:
        texts["chosen"] = decision.edit.text
    named: dict[str, str] = {chosen: "for", other(chosen): "against"}
    proxy = view.pair.proxy
    return {
        "pair": view.pair.id,
        "images": [image.sha256 for image in case.images],
        **({"boxes": [_box_of_file(box) for box in case.boxes]} if any(case.boxes) else {}),
        "prompt": [dict(turn) for turn in case.prompt],
        **{role: [{"role": "assistant", "content": [{"type": "text", "text": text}]}] for role, text in texts.items()},
        "margin": round(decision.margin, 6),
        "decided_by": decision.decided_by,
        "votes": {named.get(value, value): count for value, count in said.votes.items()},
        "graph": proxy and {"agrees": proxy.prefers and proxy.prefers == chosen, "margin": proxy.margin},
        "models": {role: _model(view, side) for role, side in sides.items()},
        "question": case.question,
        "group": case.group or (case.images[0].sha256 if case.images else case.id),
        "split": case.split,
        "diagnosis": case.diagnosis or "",
        "source": case.source,
    }


def _box_of_file(box: Box | None) -> list[int] | None:
    """Of a case: left, top, right, bottom; of a file: top, left, bottom, right."""
    if box is None:
        return None
    left, top, right, bottom = box
    return [top, left, bottom, right]


def _model(view: PairView, side: Side) -> dict[str, str]:
    answer = view.answer(side)
    return {"model": answer.model, "revision": answer.revision}


def digest_of(found: Iterable[Line]) -> str:
    """SHA-256 over the lines, each as JSON with sorted keys."""
    digest = hashlib.sha256()
    for line in found:
        digest.update(json.dumps(line, sort_keys=True, separators=(",", ":")).encode() + b"\n")
    return digest.hexdigest()


# --- reading ----------------------------------------------------------------------------


def find(store: Store, named: str) -> FrozenSet:
    """Of "first" (the newest version) or "first@2". DataError where there is none."""
    found = named_set(named)
    if found is None:
        raise InputError(f"{named!r} is no name of a set: write it as name or name@version.")
    return store.frozen_set(*found)


def lines(store: Store, named: str) -> list[Line]:
    """As they were frozen. DataError where they are not what was frozen any more."""
    frozen = find(store, named)
    found = list(store.set_lines(frozen.name, frozen.version))
    if digest_of(found) != frozen.digest:
        raise DataError(f"The lines of the set {frozen.name}@{frozen.version} are not those that were frozen.")
    return found


def present(store: Store, found: Iterable[Line]) -> Iterator[Line]:
    """Those of the lines whose images were not deleted since, and whose pair was not taken back."""
    deleted, withdrawn = store.deleted(), store.withdrawn()
    return (line for line in found if not deleted & set(line["images"]) and line["pair"] not in withdrawn)


# --- export -----------------------------------------------------------------------------


def export(store: Store, named: str, folder: Path) -> FrozenSet:
    """Writes pairs.jsonl, pairs.parquet, images/ and README.md, the card. What it exported; InputError where the folder
    has something in it already.

    Lines whose images were deleted since are left out; the card says how many.
    """
    import pyarrow
    from pyarrow import parquet

    frozen = find(store, named)
    every = lines(store, named)
    kept = list(present(store, every))
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty: name a new folder.")
    with whole_folder(folder) as part:
        (part / "images").mkdir()
        names = {sha256: _written(store, sha256, part) for line in kept for sha256 in line["images"]}
        rows = [{**line, "images": [names[sha256] for sha256 in line["images"]]} for line in kept]
        with (part / "pairs.jsonl").open("w", encoding="ascii") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
        parquet.write_table(pyarrow.Table.from_pylist(list(map(_row_of_table, rows))), part / "pairs.parquet")
        (part / "README.md").write_text(readme_of(frozen, len(every) - len(kept)), encoding="utf-8")
    return frozen


def _written(store: Store, sha256: str, folder: Path) -> str:
    """The image as a file of the folder; its name there."""
    data = store.image(sha256)
    name = f"images/{sha256}.{'png' if data.startswith(PNG) else 'webp' if data[8:12] == b'WEBP' else 'jpg'}"
    (folder / name).write_bytes(data)
    return name


def _row_of_table(line: Line) -> Line:
    """Every row with the same fields, which a table needs."""
    counts = {value: line["votes"].get(value, 0) for value in ("for", "against", "tie", "both_bad")}
    return {**line, "boxes": line.get("boxes"), "votes": counts}
