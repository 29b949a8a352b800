"""Exports of annotation tools, as plain rows with prompt, chosen and rejected: Label Studio's and Argilla's.

A ranking is a pair for each two answers of different rank. Votes of several people are pairs of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations

from dermiq.errors import DataError
from dermiq.files.columns import squeezed
from dermiq.files.examples.cells import value_of
from dermiq.types import Fields, Json

Row = Json
Ranked = list[tuple[int, str]]
"""Answers, by name, with their rank; the smaller one is better."""

TELLING = ("annotations", "responses")
"""Columns that an export has also where nobody has said anything."""

_ENDS = (("1", "2"), ("a", "b"), ("A", "B"), ("left", "right"), ("0", "1"))
_OF_RECORDS = (
    "id",
    "_server_id",
    "status",
    "metadata",
    "suggestions",
    "vectors",
    "external_id",
    "inserted_at",
    "updated_at",
)


def rows_in(row: Row) -> list[Row]:
    """The rows of an export's row; any other row as it is. DataError where nobody has decided yet."""
    if isinstance(row.get("data"), Mapping) and ("annotations" in row or "completions" in row):
        return _of_label_studio(row)
    if "annotation_id" in row and (made := _of_short_label_studio(row)):
        return made
    if isinstance(row.get("fields"), Mapping):
        return _of_argilla(dict(row["fields"]), _responses(row.get("responses")), row)
    row = {name: _object_of(value) if ".responses" in name else value for name, value in row.items()}
    flat = {name.removesuffix(".responses"): value for name, value in row.items() if name.endswith(".responses")}
    older = {name: value for name, value in row.items() if _is_older_response(value)}
    if flat or older:
        rest = {
            name: value
            for name, value in row.items()
            if name not in older and ".responses" not in name and ".suggestion" not in name
        }
        return _of_argilla(rest, {**{k: _with_status(row, k, v) for k, v in flat.items()}, **older}, {})
    return [row]


def two_answers(row: Mapping[str, object]) -> tuple[str, str] | None:
    """Two columns whose names differ in 1 and 2, a and b, or left and right alone."""
    for one, two in _ENDS:
        for name in row:
            other = name.removesuffix(one) + two
            if name.endswith(one) and name != one and other in row and other != name and _is_answer(row[name]):
                return name, other
    return ("left", "right") if "left" in row and "right" in row else None


def _is_answer(value: object) -> bool:
    return isinstance(value, (str, Mapping, list))


def _list(value: object) -> list[object]:
    """Nothing where it is no list: people's exports hold anything."""
    return list(value) if isinstance(value, (list, tuple)) else []


def _objects(value: object) -> list[Fields]:
    return [one for one in _list(value) if isinstance(one, Mapping)]


def _object(value: object) -> Fields:
    return value if isinstance(value, Mapping) else {}


def _pairs(row: Row, answers: Mapping[str, object], ranked: Ranked, without: Iterable[str] = ()) -> Iterator[Row]:
    rest = {name: value for name, value in row.items() if name not in {*answers, *without}}
    for (rank, name), (other_rank, other) in combinations(sorted(ranked), 2):
        if rank < other_rank:
            yield {**rest, "chosen": answers[name], "rejected": answers[other]}


# --- Label Studio -----------------------------------------------------------------------


def _of_label_studio(row: Row) -> list[Row]:
    data = dict(row["data"])
    given = [one for one in _objects(row.get("annotations", row.get("completions"))) if not one.get("was_cancelled")]
    results = [result for one in given for result in _objects(one.get("result"))]
    made = [pair for result in results for pair in _of_result(data, result)]
    if not made:
        raise DataError(
            "no annotation of this task prefers one answer (of type pairwise or ranker): annotate it, or leave it out. "
            "What says the diagnosis of an image is learned from as a table: export it as CSV."
        )
    return made


def _of_result(data: Row, result: Mapping[str, object]) -> Iterator[Row]:
    value = _object(result.get("value"))
    if result.get("type") == "pairwise" and value.get("selected") in ("left", "right"):
        yield from _of_pairwise(data, str(value["selected"]), result.get("to_name"))
    if (
        result.get("type") == "ranker"
    ):  # the ranking has the control's name; other names are buckets, which are no order
        for name, order in _object(value.get("ranker")).items():
            if name == result.get("from_name", name):
                yield from _of_order(data, [str(one) for one in _list(order)])


def _of_pairwise(data: Row, selected: str, compared: object) -> Iterator[Row]:
    named = compared.split(",") if isinstance(compared, str) else _list(compared)
    named = [str(name).strip() for name in named]
    sides = (named[0], named[1]) if len(named) == 2 and all(name in data for name in named) else two_answers(data)
    if sides is None:
        raise DataError(
            f"it is not said which two of {', '.join(data)} are compared: call them answer1 and answer2 in the task."
        )
    first, second = sides if selected == "left" else sides[::-1]
    yield from _pairs(data, {name: data[name] for name in sides}, [(1, first), (2, second)])


def _of_order(data: Row, order: list[str]) -> Iterator[Row]:
    """Of items with an id and a body, from the best to the worst."""
    for name, items in data.items():
        answers = {str(one["id"]): _body(one) for one in _objects(items) if "id" in one}
        if answers and all(one in answers for one in order):
            yield from _pairs(data, answers, list(enumerate(order)), without=[name])
            return


def _body(item: Fields) -> object:
    return next((item[name] for name in ("body", "text", "title") if item.get(name)), "")


def _of_short_label_studio(row: Row) -> list[Row]:
    """Its JSON without the tasks around (JSON-MIN), or its CSV: the side that was selected stands in a column."""
    for name, value in row.items():
        told = _object_of(value)
        selected = told.get("selected") if isinstance(told, Mapping) else told
        if selected in ("left", "right") and two_answers(row):
            rest = {key: cell for key, cell in row.items() if key != name}
            return list(_of_pairwise(rest, str(selected), None))
    return []


def _object_of(cell: object) -> object:
    """What a table keeps as text."""
    if not isinstance(cell, str) or not cell.lstrip().startswith(("{", "[")):
        return cell
    try:
        return value_of(cell)
    except ValueError:
        return cell


# --- Argilla ----------------------------------------------------------------------------


def _responses(found: object) -> dict[str, list[Fields]]:
    """By question: what each annotator said, with `value` and perhaps `status`."""
    if isinstance(found, Mapping):
        return {str(name): _objects(said) for name, said in found.items()}
    made: dict[str, list[Fields]] = {}
    for one in _objects(found):
        for name, value in _object(one.get("values")).items():
            own = value.get("value") if isinstance(value, Mapping) else value
            made.setdefault(name, []).append({"value": own, "status": one.get("status")})
    return made


def _with_status(row: Row, name: str, values: object) -> list[Fields]:
    values = _list(values)
    statuses = _list(row.get(f"{name}.responses.status")) or [None] * len(values)
    return [{"value": value, "status": status} for value, status in zip(values, statuses, strict=False)]


def _is_older_response(value: object) -> bool:
    """As Argilla 1 wrote them to the hub."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, Mapping) and {"user_id", "value"} <= set(one) for one in value)
    )


def _of_argilla(fields: Row, responses: Mapping[str, list[Mapping[str, object]]], record: Row) -> list[Row]:
    fields = {
        **{name: value for name, value in _object(record.get("metadata")).items() if name not in fields},
        **{k: v for k, v in fields.items() if k not in _OF_RECORDS},
    }
    said = [one.get("value") for given in responses.values() for one in given if _is_submitted(one)]
    ranked = [found for value in said if (found := _ranked(value, fields))]
    if not ranked:
        if two_answers(fields) and "chosen" not in fields:
            raise DataError(
                "no response to this record prefers one answer (a ranking, or the name of one): leave it out."
            )
        return [fields]
    names = {name for found in ranked for _, name in found}
    others = two_answers(fields) or ()
    answers = {name: fields[name] for name in {*names, *others}}
    return [pair for found in ranked for pair in _pairs(fields, answers, found)]


def _is_submitted(response: Mapping[str, object]) -> bool:
    return response.get("status") in (None, "submitted")


def _ranked(value: object, fields: Mapping[str, object]) -> Ranked:
    """The fields in the order of a ranking; of a choice of one, it and the other one."""
    if isinstance(value, Mapping):  # columns of a data set
        ranks = zip(_list(value.get("value")), _list(value.get("rank")), strict=False)
        value = [{"value": name, "rank": rank} for name, rank in ranks]
    if isinstance(value, list):
        found = [_place(one, place) for place, one in enumerate(value, 1)]
    else:
        two = two_answers(fields) or ()
        best = next((name for name in two if squeezed(name) == squeezed(str(value))), None)
        found = [(1, best), *((2, name) for name in two if name != best)] if best else []
    return found if len(found) > 1 and all(name in fields for _, name in found) else []


def _place(item: object, place: int) -> tuple[int, str]:
    """Rank and name of an item of a ranking; without a rank it has that of its place."""
    if not isinstance(item, Mapping):
        return place, str(item)
    rank = item.get("rank")
    return (rank if isinstance(rank, int) else place), str(item.get("value"))
