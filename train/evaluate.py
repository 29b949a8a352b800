"""Scores a reader on a table of images.

    python -m train.evaluate --images test.csv --out predictions.csv                  # the specialist
    python -m train.evaluate --images test.csv --out predictions.csv --reader vlm     # Nano, or --model NAME
    python -m train.evaluate --data-set ham10000 --split test --out predictions.csv   # rows of the data folder
    python -m train.evaluate --conversations FILE --out answers.jsonl                 # whole conversations

The CSV names images (`image`, a path relative to the CSV, or `image_id` alone where the file lies beside it or in a
folder below); `train.cases.labelled` says under which names columns are known, and reads the tables of ISIC, HAM10000
and PAD-UFES-20 as they are. With `label` the figures are printed as JSON with 95 % bootstrap intervals over patients or
lesions where they are named, and by the columns `sex`, `age` and `skin_type` where they are present. `mask` adds the
outline's Dice. Predictions: `image_id`, `p_<class>` of the seven classes, `answer`; of the specialist also the sets of
classes that hold the right one with 90 and 95 % certainty, and the probability `s_<structure>` of each structure.

The VLM's probabilities are its calibrated likelihoods of each candidate answer; with `--generate` it also writes
its reasoning for the first `--generate-limit` images (drawn at random), and `answer` is what it wrote there.
Conversations are held as on the page: `train.scoring.conversing`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from dermiq.consultant import LocalConsultant
from dermiq.data_sets import DATA_SETS
from dermiq.errors import DermIQError
from dermiq.files.paths import folder_for
from dermiq.settings import Settings
from dermiq.specialist import Specialist, opinion_of
from dermiq.types import CLASSES, STRUCTURES, AnswerDone, Case, DifferentialRead, Json, PatientContext
from dermiq.writing import write_whole, writing
from train.cases.data import context_of, data_folder, lesion_of, read_table
from train.cases.labelled import LABELS, quiet, read_labelled, refuse_missing
from train.embedded.metrics import (
    bootstrap_intervals,
    classification_figures,
    confusion,
    recall_by_class,
    reliability_bins,
    set_figures,
)


def table_of_csv(path: Path, *, labels: str = "classes", say: Callable[[str], None] = quiet) -> pd.DataFrame:
    """The rows of a table, as `train.cases.labelled` reads them: image and mask (paths), image_id, group, age, sex,
    site, skin_type, and label where it has labels. `say` is told what was left out. Raises DataError with what is
    wrong.
    """
    found = read_labelled(path, labels=labels, needs_labels=False)
    refuse_missing(found.rows, path)
    for note in found.notes:
        say(note)
    if found.has_splits:
        counts = Counter(row.split for row in found.rows)
        listed = ", ".join(f"{split} {count:,}" for split, count in counts.items())
        say(f"{path.name}: rows of every split are judged: {listed}.")
    names = ("image", "image_id", "group", "mask", *(("label",) if found.has_labels else ()))
    told = ("age", "sex", "site", "skin_type")
    columns: dict[str, Any] = {name: [getattr(row, name) for row in found.rows] for name in names}
    columns |= {name: [getattr(row.context, name) for row in found.rows] for name in told}
    table = pd.DataFrame(columns)
    return table.astype({"age": "float", "skin_type": "float"})


def warn(sentence: str) -> None:
    """On standard error: the figures alone are printed on standard output."""
    print(sentence, file=sys.stderr, flush=True)


def dice(found: np.ndarray, mask_path: str) -> float | None:
    """Overlap of an outline with the annotated one; None where there is none."""
    if not mask_path or not Path(mask_path).is_file():
        return None
    mask = Image.open(mask_path).convert("L").resize(found.shape[::-1], Image.Resampling.NEAREST)
    truth = np.asarray(mask) > 127
    both = found.sum() + truth.sum()
    return float(2 * (found & truth).sum() / both) if both else None


def progress(done: int, total: int, started: float) -> None:
    """Every 50 images a line on standard error, with the time that is left."""
    if done % 50 == 0:
        left = (time.perf_counter() - started) / done * (total - done)
        print(f"{done} of {total} images, about {left / 60:.0f} min left", file=sys.stderr, flush=True)


def run_specialist(table: pd.DataFrame, *, told: bool = False) -> pd.DataFrame:
    """`told`: age, sex and site, which change the probabilities."""
    specialist = Specialist.load()
    rows: list[Json] = []
    begun = time.perf_counter()
    for row in table.itertuples(index=False):
        lesion = lesion_of(str(row.image))
        started = time.perf_counter()
        reading = specialist.read(lesion)
        seconds = time.perf_counter() - started
        opinion = opinion_of([reading], context_of(row) if told else PatientContext(), specialist)
        structures = {f"s_{f.code}": f.value / 100 for f in reading.findings if f.code in STRUCTURES}
        rows.append(
            {
                "image_id": row.image_id,
                **{f"p_{c}": opinion.probabilities[c] for c in CLASSES},
                "answer": max(CLASSES, key=lambda c: opinion.probabilities[c]),
                **{f"set_{certainty}": " ".join(codes) for certainty, codes in opinion.sets.items()},
                **structures,
                "distance": reading.distance,
                "abstained": specialist.abstention(lesion, reading) is not None,
                "dice": dice(reading.outline, str(getattr(row, "mask", ""))),
                "seconds": seconds,
            }
        )
        progress(len(rows), len(table), begun)
    return pd.DataFrame(rows)


def run_vlm(table: pd.DataFrame, settings: Settings, *, generate: int, votes: int, told: bool) -> pd.DataFrame:
    """Likelihood differentials for all rows; generated answers for `generate` rows drawn at random."""
    rows = []
    begun = time.perf_counter()
    for line in read_by_vlm(table, settings, generate=generate, votes=votes, told=told):
        rows.append(line)
        progress(len(rows), len(table), begun)
    return pd.DataFrame(rows)


def read_by_vlm(
    table: pd.DataFrame, settings: Settings, *, generate: int = 0, votes: int = 1, told: bool = False
) -> Iterator[Json]:
    """One row of predictions after the other."""
    import threading

    consultant = LocalConsultant(settings, votes=votes)
    consultant.load()
    consultant.readers()
    written = set(np.random.default_rng(0).permutation(len(table))[:generate].tolist())
    for number, row in enumerate(table.itertuples(index=False)):
        case = Case((lesion_of(str(row.image)),), context=context_of(row) if told else PatientContext())
        line: Json = {"image_id": row.image_id}
        started = time.perf_counter()
        for event in consultant.assess(case, stop=threading.Event(), session_id="evaluate"):
            if isinstance(event, DifferentialRead):
                line |= {f"p_{c}": event.differential.probability(c) for c in CLASSES}
                line |= {"answer": event.differential.top.diagnosis.code, "seconds": time.perf_counter() - started}
                if number not in written:
                    break
            if isinstance(event, AnswerDone):
                parsed = event.answer.parsed
                line |= {
                    "answer": parsed.answer_code or "",
                    "parsed": not parsed.problems,
                    "agrees": parsed.answer_code is not None and parsed.answer_code == parsed.conclusion_code,
                    "contradicted": sum(claim.verdict == "contradicted" for claim in event.answer.claims),
                    "claims": len(event.answer.claims),
                }
        yield line


def figures(table: pd.DataFrame, predictions: pd.DataFrame, *, rounds: int = 500) -> Json:
    """Everything that the model card reports, from labelled rows and their predictions."""
    labels = np.array([CLASSES.index(c) for c in table["label"]])
    probabilities = predictions[[f"p_{c}" for c in CLASSES]].to_numpy(float)
    groups = np.unique(table["group" if "group" in table else "image_id"].astype(str), return_inverse=True)[1]

    def of(rows: np.ndarray) -> Mapping[str, float | None]:
        return classification_figures(labels[rows], probabilities[rows])

    result: Json = {
        "n": len(table),
        "figures": of(np.arange(len(table))),
        "intervals_95": bootstrap_intervals(of, groups, rounds=rounds),
        "recall": recall_by_class(labels, probabilities.argmax(1)),
        "confusion": {
            "classes": list(CLASSES),
            "rows_true_columns_answered": confusion(labels, probabilities.argmax(1)),
        },
        "reliability": reliability_bins(labels, probabilities),
    }
    for column in ("dice", "seconds"):
        if column in predictions and predictions[column].notna().any():
            result[f"mean_{column}"] = float(predictions[column].mean())
    sets = [name for name in predictions if str(name).startswith("set_")]
    if sets:
        found = {str(name)[4:]: set_figures(labels, predictions[name].str.split().tolist()) for name in sets}
        result["sets"] = found
    if "abstained" in predictions:
        result["abstained"] = float(predictions["abstained"].mean())
    if "parsed" in predictions and predictions["parsed"].notna().any():
        kept = predictions[predictions["parsed"].notna()]
        rows = labels[predictions["parsed"].notna().to_numpy()]
        answered = np.array([CLASSES.index(a) if a in CLASSES else -1 for a in kept["answer"]])
        result["generated"] = {
            "n": len(kept),
            "parsed": float(kept["parsed"].astype(bool).mean()),
            "reasoning_and_answer_agree": float(kept["agrees"].astype(bool).mean()),
            "contradicted_sentences": float(kept["contradicted"].sum() / max(kept["claims"].sum(), 1)),
            "accuracy": float((answered == rows).mean()),
        }
    result["by_group"] = by_group(table, of, groups, rounds=rounds)
    return result


def by_group(
    table: pd.DataFrame,
    of: Callable[[np.ndarray], Mapping[str, float | None]],
    groups: np.ndarray,
    *,
    rounds: int = 500,
) -> Json:
    """The figures for each sex, age band and skin type that has at least 20 images, with 95 % intervals.

    `groups`: (N,) the lesion or patient of each row, which are resampled as a whole.
    """
    columns: dict[str, pd.Series] = {}
    if "sex" in table:
        columns["sex"] = table["sex"].where(table["sex"].isin(["female", "male"]))
    if "age" in table:
        edges = [0, 30, 45, 60, 75, 120]
        names = ["under 30", "30 to 44", "45 to 59", "60 to 74", "from 75"]
        bands = pd.cut(table["age"], edges, right=False, labels=names)
        columns["age"] = bands.astype(str).where(bands.notna())
    if "skin_type" in table and table["skin_type"].notna().any():
        columns["skin_type"] = table["skin_type"].map(lambda v: f"{v:.0f}" if v == v else None)

    def within(rows: np.ndarray) -> dict[str, tuple[float, float]]:
        return bootstrap_intervals(lambda drawn: of(rows[drawn]), groups[rows], rounds=rounds)

    result: Json = {}
    for name, values in columns.items():
        kept = sorted(value for value in values.dropna().unique() if (values == value).sum() >= 20)
        rows = {value: np.flatnonzero((values == value).to_numpy()) for value in kept}
        result[name] = {value: {"n": len(r), **of(r), "intervals_95": within(r)} for value, r in rows.items()}
    return result


def write_predictions(predictions: pd.DataFrame, path: Path) -> None:
    columns = ["image_id", *(f"p_{c}" for c in CLASSES), "answer"]
    rest = [column for column in predictions.columns if column not in columns]
    with writing(path):
        write_whole(path, predictions[columns + rest].round(5).to_csv(index=False))


def rounded(value: object) -> Any:
    """Four decimals everywhere, for reading."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, (list, tuple)) else value


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="a CSV with image or image_id, and perhaps label")
    parser.add_argument("--data-set", choices=tuple(DATA_SETS), help="rows of the data folder instead")
    parser.add_argument(
        "--conversations", type=Path, help="hold the conversations of this file about images of --split"
    )
    parser.add_argument("--part", default="", help="of the conversations; default: all")
    parser.add_argument("--seed", type=int, default=0, help="by which images are drawn for conversations")
    parser.add_argument("--labels", choices=LABELS[:2], default=LABELS[0], help="known: leave out rows of no class")
    parser.add_argument("--split", default="test")
    parser.add_argument("--data", default=None, help="the data folder; default: DERMIQ_DATA")
    parser.add_argument("--reader", choices=("specialist", "vlm"), default=None, help="default: vlm with --model")
    parser.add_argument("--model", default=None, help="of the vlm reader; default: DermIQ-Nano")
    parser.add_argument("--adapter", default=None)
    parser.add_argument("--load-in-4bit", action="store_true")
    parser.add_argument("--device", default=None)
    parser.add_argument("--generate", action="store_true", help="let the vlm write, too")
    parser.add_argument("--generate-limit", type=int, default=200, help="images for which it writes")
    parser.add_argument("--votes", type=int, default=1, help="samples for a majority vote")
    parser.add_argument("--context", action="store_true", help="tell the reader age, sex and site")
    parser.add_argument("--limit", type=int, default=0, help="rows, drawn at random; 0: all")
    parser.add_argument("--rounds", type=int, default=500, help="of the bootstrap")
    parser.add_argument("--out", type=Path, required=True, help="the predictions, as CSV")
    parser.add_argument("--metrics", type=Path, help="also write the figures here")
    options = parser.parse_args(arguments)
    if [options.images, options.data_set, options.conversations].count(None) != 2:
        parser.error("give one of --images, --data-set and --conversations")
    for file in filter(None, (options.out, options.metrics)):
        folder_for(file)
    if options.conversations is not None:
        _told(hold(options), options.metrics)
        return
    if options.images is not None:
        table = table_of_csv(options.images, labels=options.labels, say=warn)
    else:
        table = read_table(data_folder(options.data), options.data_set, [options.split])
    if options.limit:
        table = table.sample(min(options.limit, len(table)), random_state=0).reset_index(drop=True)
    reader = options.reader or ("vlm" if options.model else "specialist")
    if reader == "specialist":
        predictions = run_specialist(table, told=options.context)
    else:
        settings = _settings(options)
        count = options.generate_limit if options.generate else 0
        predictions = run_vlm(table, settings, generate=count, votes=options.votes, told=options.context)
    write_predictions(predictions, options.out)
    if "label" in table:
        _told(figures(table, predictions, rounds=options.rounds), options.metrics)


def hold(options: argparse.Namespace) -> Json:
    """The conversations of a file, and their figures."""
    from train.scoring import conversing

    consultant = LocalConsultant(_settings(options))
    consultant.load()
    return conversing.evaluate(
        consultant,
        options.conversations,
        options.out,
        part=options.part,
        data=options.data,
        split=options.split,
        seed=options.seed,
        limit=options.limit,
    )


def _settings(options: argparse.Namespace) -> Settings:
    return replace(
        Settings.load([]),
        model=options.model,
        adapter=options.adapter,
        load_in_4bit=options.load_in_4bit,
        device=options.device,
    )


def _told(found: Json, path: Path | None) -> None:
    text = json.dumps(rounded(found), indent=1)
    print(text)
    if path:
        with writing(path):
            write_whole(path, text + "\n")


def command() -> int:
    """`main` with what is wrong as a sentence."""
    try:
        main()
    except DermIQError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    sys.exit(command())
