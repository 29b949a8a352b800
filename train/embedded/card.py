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
    "cancer_sensitivity": "skin cancer (mel, bcc, akiec): sensitivity at 90 % specificity",
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
        if key in metrics["figures"]:
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
    for certainty, held in sorted(metrics.get("sets", {}).items()):
        worst = min(held["by_class"].items(), key=lambda item: item[1])
        rest.append(
            f"sets made for {certainty} % certainty hold the right class in {held['coverage']:.1%} of images (fewest: "
            f"{worst[1]:.1%}, {CLASS_NAMES[worst[0]]}) and {held['mean_size']:.2f} classes on average"
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


def structures_of(found: Json) -> str:
    """The dermoscopic structures' section."""
    rows = [
        ["structure", "drawn on", "AUROC of presence", "95 % interval", "Brier (of the share alone)", "Dice of places"]
    ]
    for code, one in found.items():
        if isinstance(one, dict):
            low, high = one["auroc_95"]
            brier = f"{number(one['brier'])} ({number(one['brier_of_the_share'])})"
            name = code.replace("_", " ")
            rows.append(
                [
                    name,
                    str(one["drawn_on"]),
                    number(one["auroc"]),
                    f"{number(low)} to {number(high)}",
                    brier,
                    number(one["dice"]),
                ]
            )
    low, high = found["mean_auroc_95"]
    mean = f"Mean AUROC {number(found['mean_auroc'])} ({number(low)} to {number(high)})."
    return f"### Dermoscopic structures, {found['data_set']}, {found['n']} images\n\n{table(rows)}\n\n{mean}"


def told_of(found: Json) -> str:
    """What age, sex and site bring, and the sets of diagnoses."""
    rows = [["figure", "with age, sex and site", "gained", "95 % interval of the gain"]]
    for key, name in NAMES.items():
        low, high = found["intervals_95"].get(f"gain_{key}", (None, None))
        figures = found["figures"]
        rows.append([name, number(figures[key]), number(figures[f"gain_{key}"]), f"{number(low)} to {number(high)}"])
    held = [["sets, certainty", "hold the right class", "classes on average", *CLASSES]]
    for certainty, one in sorted(found["sets"].items()):
        by_class = [number(one["by_class"].get(code)) for code in CLASSES]
        held.append([f"{certainty} %", number(one["coverage"]), f"{one['mean_size']:.2f}", *by_class])
    title = f"### With what was told of the patient, HAM10000 `test`, {found['n']:,} images"
    return "\n\n".join([title, table(rows), table(held)])


SPEEDS = {
    "reading_s": "one image, whole reading",
    "looks_s": "of it, the two looks",
    "looks_ratio": "... against the first look alone (ratio)",
    "first_s": "first token",
    "first_token_ratio": "... against plain `generate` (ratio)",
    "rate": "tokens a second",
    "rate_ratio": "... against plain `generate` (ratio)",
    "rate_against_llama": "... against llama.cpp on the same base (ratio)",
    "rate_with_guesses": "tokens a second with guesses from the prompt",
    "rate_with_guesses_ratio": "... against plain `generate` (ratio)",
    "rate_with_guesses_against_llama": "... against llama.cpp on the same base (ratio)",
    "four_rows_ratio": "a step of four drafts side by side, against one (ratio)",
    "eight_rows_ratio": "a step of eight, against one (ratio)",
    "prompt_rate": "prompt tokens a second",
    "prompt_rate_against_llama": "... against llama.cpp on the same base (ratio)",
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
    told = card.parent / "told_test.json"
    if told.is_file():
        sections.append(told_of(json.loads(told.read_text(encoding="utf-8"))))
    structures = card.parent / "structures_test.json"
    if structures.is_file():
        sections.append(structures_of(json.loads(structures.read_text(encoding="utf-8"))))
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
