"""Count what measured findings say of each diagnosis, as the table that the graph's build reads.

    python -m train.embedded.derived [--out kg_data/derived/findings.tsv]

Reads the counts of the findings reference (`python -m train.embedded.findings`), no image. One row a finding and class:
lesions with and without the finding in the class and in the other six, the likelihood ratio
P(finding | class) / P(finding | other classes) and its 95 % interval. Knows no graph.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from dermiq.lesion import FindingsReference, default_reference
from dermiq.places import graph_tables
from dermiq.types import CLASSES

OUT = graph_tables() / "derived" / "findings.tsv"
MIN_LESIONS = 5  # with the finding, on either side: below it the log-normal interval cannot be trusted
Z95 = 1.96
TOP, PRESENT, FOUR = "above the benign 90th percentile", "at least 5 % of the lesion", "four or more"


@dataclass(frozen=True)
class Statement:
    """What is counted of one finding: the last `bins` of its reference bins."""

    name: str
    level: str
    text: str  # a singular noun phrase: "... was 2.1 times as common"
    bins: int


STATEMENTS: dict[str, Statement] = {
    "asymmetry": Statement("asymmetry", TOP, "asymmetry above that of 90 % of benign lesions", 1),
    "colour_asymmetry": Statement("colour asymmetry", TOP, "colour asymmetry above that of 90 % of benign lesions", 1),
    "border_irregularity": Statement(
        "border irregularity", TOP, "a border more irregular than that of 90 % of benign lesions", 1
    ),
    "colour_count": Statement("number of colours", FOUR, "a count of four or more colours", 1),
    **{
        f"colour_{name}": Statement(f"{word} colour", PRESENT, f"{word} on at least 5 % of the lesion", 2)
        for name, word in (
            ("white", "white"),
            ("red", "red"),
            ("light_brown", "light brown"),
            ("dark_brown", "dark brown"),
            ("blue_gray", "blue-gray"),
            ("black", "black"),
        )
    },
    "colour_variegation": Statement(
        "colour variegation", TOP, "colour more varied than that of 90 % of benign lesions", 1
    ),
    "elongation": Statement("elongation", TOP, "a shape more elongated than that of 90 % of benign lesions", 1),
    "contrast": Statement("contrast to the skin", TOP, "contrast to the skin above that of 90 % of benign lesions", 1),
}
"""By finding code. Relative size is left out: it says as much of the camera's distance as of the lesion."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    finding: str
    name: str
    level: str
    statement: str
    diagnosis: str  # one of CLASSES
    with_class: int  # lesions of the class with the finding
    n_class: int
    with_others: int  # lesions of the other classes with the finding
    n_others: int
    likelihood_ratio: float
    low: float
    high: float


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m train.embedded.derived", description="Count findings by diagnosis."
    )
    parser.add_argument("--out", type=Path, default=OUT)
    out = parser.parse_args(arguments).out
    table = list(rows(default_reference()))
    write(table, out)
    print(f"{len(table)} rows -> {out}")


def rows(reference: FindingsReference) -> Iterator[Row]:
    """Every statement and class with enough lesions on either side."""
    for code, statement in STATEMENTS.items():
        counts = reference.findings[code].counts
        shown = {name: sum(counts[name][-statement.bins :]) for name in CLASSES}
        totals = {name: sum(counts[name]) for name in CLASSES}
        for name in CLASSES:
            with_class, n_class = shown[name], totals[name]
            with_others, n_others = sum(shown.values()) - with_class, sum(totals.values()) - n_class
            if min(with_class, with_others) < MIN_LESIONS:
                continue
            ratio, low, high = likelihood_ratio(with_class, n_class, with_others, n_others)
            yield Row(
                finding=code,
                name=statement.name,
                level=statement.level,
                statement=statement.text,
                diagnosis=name,
                with_class=with_class,
                n_class=n_class,
                with_others=with_others,
                n_others=n_others,
                likelihood_ratio=ratio,
                low=low,
                high=high,
            )


def likelihood_ratio(with_class: int, n_class: int, with_others: int, n_others: int) -> tuple[float, float, float]:
    """The ratio of two proportions and its log-normal 95 % interval (Katz 1978; Simel, Samsa, Matchar 1991)."""
    ratio = (with_class / n_class) / (with_others / n_others)
    spread = math.exp(Z95 * math.sqrt(1 / with_class - 1 / n_class + 1 / with_others - 1 / n_others))
    return round(ratio, 3), round(ratio / spread, 3), round(ratio * spread, 3)


def write(table: Sequence[Row], path: Path) -> None:
    columns = [column.name for column in fields(Row)]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([getattr(row, column) for column in columns] for row in table)


if __name__ == "__main__":
    main()
