"""Writes the measured figures into the model cards, between two markers; a test fails when they go stale.

    python -m dermiq.specialist.benchmark > dermiq/weights/specialist/speed.json
    python -m dermiq.vlm.benchmark > dermiq/weights/nano/speed.json
python -m train.embedded.card           # after train.evaluate ... --metrics dermiq/weights/<part>/metrics_<what>.json
python -m train.embedded.card --check   # exit status 1 where a card does not show the committed figures
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from dermiq.data_sets import DATA_SETS, DataSet
from dermiq.places import WEIGHTS
from dermiq.shipped import seal
from dermiq.types import CLASS_NAMES, CLASSES, Json

BEGIN, END = "<!-- figures: written by python -m train.embedded.card -->", "<!-- end of figures -->"
NAMES = {
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "accuracy": "accuracy",
    "melanoma_auroc": "melanoma against the rest, AUROC",
    "expected_calibration_error": "expected calibration error, 15 bins",
    "brier": "Brier score",
}


def title_of(one: DataSet) -> str:
    without = f", without {', '.join(one.left_out.values())}" if one.left_out else ""
    return f"{one.title} `test` ({one.kind}{without})"


def table(rows: list[list[str]]) -> str:
    """A Markdown table; the first row is the head, numbers are right-aligned."""
    head, *body = rows
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *body])


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def with_interval(figures: Json, key: str) -> str:
    """A group's figure and its 95 % interval, which is wide where the group is small."""
    low, high = figures.get("intervals_95", {}).get(key, (None, None))
    return number(figures[key]) if low is None else f"{number(figures[key])} ({low:.2f} to {high:.2f})"


def figures_of(metrics: Json, title: str) -> str:
    """One data set's section: the figures with intervals, each class, each group, and the confusions in words."""
    intervals = metrics["intervals_95"]
    rows = [["figure", "value", "95 % interval"]]
    for key, name in NAMES.items():
        low, high = intervals.get(key, (None, None))
        rows.append([name, number(metrics["figures"][key]), f"{number(low)} to {number(high)}"])
    parts = [f"### {title}, {metrics['n']:,} images", table(rows)]
    rest = []
    if "mean_dice" in metrics:
        rest.append(f"outline, mean Dice {number(metrics['mean_dice'])}")
    if "abstained" in metrics:
        rest.append(f"no opinion offered on {metrics['abstained']:.1%} of images (they are counted above all the same)")
    if "generated" in metrics:
        made = metrics["generated"]
        rest.append(
            f"of {made['n']} generated answers {made['parsed']:.1%} parse, in {made['reasoning_and_answer_agree']:.1%} "
            f"reasoning and answer agree, {made['accuracy']:.1%} are right, "
            f"{made['contradicted_sentences']:.1%} of their sentences are contradicted by graph or measurement"
        )
    if rest:
        parts.append("Also measured: " + "; ".join(rest) + ".")
    head = [["class", *CLASSES], ["recall", *(number(metrics["recall"][c]) for c in CLASSES)]]
    parts.append(table(head))
    parts.append(confusions(metrics["confusion"]["rows_true_columns_answered"]))
    group_rows = [["group", "n", "balanced accuracy", "macro-F1", "melanoma AUROC", "calibration error"]]
    keys = ("balanced_accuracy", "macro_f1", "melanoma_auroc", "expected_calibration_error")
    for kind, groups in metrics["by_group"].items():
        for value, group in groups.items():
            label = f"{kind.replace('_', ' ')} {value}"
            group_rows.append([label, f"{group['n']:,}", *(with_interval(group, key) for key in keys)])
    if len(group_rows) > 1:
        resampled = any("intervals_95" in group for groups in metrics["by_group"].values() for group in groups.values())
        said = "with 95 % intervals" if resampled else "no intervals were measured"
        parts += [f"By group, {said}:", table(group_rows)]
    return "\n\n".join(parts)


SPEEDS = {
    "reading_s": "one image, whole reading",
    "looks_s": "of it, the two looks",
    "looks_ratio": "... against the first look alone (ratio)",
    "first_s": "first token",
    "first_token_ratio": "... against plain `generate` (ratio)",
    "rate": "tokens a second",
    "rate_ratio": "... against plain `generate` (ratio)",
    "follow_up_first_s": "follow-up question, first token",
    "follow_up_against_cold": "... against the same conversation read cold (ratio)",
    "differential_s": "differential by likelihood, after the first question",
}


def speeds_of(speed: dict[str, object]) -> str:
    """The benchmark's medians, as it printed them."""
    rows = [["speed", "value"]]
    for key, name in SPEEDS.items():
        if key in speed:
            unit = " s" if key.endswith("_s") else ""
            rows.append([name, f"{speed[key]:.2f}{unit}"])
    return f"### Speed, {speed['threads']} CPU threads, medians of one run\n\n{table(rows)}"


def confusions(matrix: list[list[int]], *, count: int = 4) -> str:
    """What it gets wrong most, in words."""
    pairs = [
        (matrix[t][a] / max(sum(matrix[t]), 1), matrix[t][a], sum(matrix[t]), t, a)
        for t in range(len(CLASSES))
        for a in range(len(CLASSES))
        if t != a and sum(matrix[t]) >= 10 and matrix[t][a]
    ]
    words = [
        f"{CLASS_NAMES[CLASSES[t]]} read as {CLASS_NAMES[CLASSES[a]]} ({wrong} of {n})"
        for _, wrong, n, t, a in sorted(pairs, reverse=True)[:count]
    ]
    return "Most frequent errors: " + "; ".join(words) + "."


def rendered(card: Path) -> str:
    """The card's text with the committed figures in it; as it is where it has no place for them."""
    text = card.read_text(encoding="utf-8")
    if BEGIN not in text:
        return text
    sections = [
        figures_of(json.loads((card.parent / one.metrics).read_text(encoding="utf-8")), title_of(one))
        for one in DATA_SETS.values()
        if (card.parent / one.metrics).is_file()
    ]
    speed = card.parent / "speed.json"
    if speed.is_file():
        sections.append(speeds_of(json.loads(speed.read_text(encoding="utf-8"))))
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    return before + BEGIN + "\n\n" + "\n\n".join(sections) + "\n\n" + END + after


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    stale = [card for card in sorted(WEIGHTS.glob("*/README.md")) if rendered(card) != card.read_text(encoding="utf-8")]
    for card in stale:
        if options.check:
            print(
                f"{card.parent.name}/README.md does not show the committed figures: run python -m train.embedded.card"
            )
        else:
            card.write_text(rendered(card), encoding="utf-8")
    if not options.check:
        seal(WEIGHTS)  # the figures in it are new
    return int(bool(stale) and options.check)


if __name__ == "__main__":
    sys.exit(main())
