"""The facts about the models on one screen, as Markdown: what they are for, were made of, and how well they read.

    print(model_facts.label())

Every figure is read from the files beside the weights. Knows no page and no model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from dermiq.data_sets import DATA_SETS, DataSet
from dermiq.errors import ModelError
from dermiq.places import WEIGHTS
from dermiq.shipped import changed, fingerprint
from dermiq.types import CLASS_NAMES, Json
from dermiq.version import __version__

READERS = {"specialist": "specialist", "nano": "DermIQ-Nano"}
SETTINGS = {"specialist": "calibration.json", "nano": "config.json"}  # that name each part's version
FIGURES = {
    "balanced_accuracy": "balanced accuracy",
    "melanoma_auroc": "melanoma, AUROC",
    "cancer_sensitivity": "skin cancer found at 90 % specificity",
    "expected_calibration_error": "calibration error",
}
CENTRES = {  # in the order of the table
    "ham10000": "dermoscopy, most of what was learned from",
    "isic2018_attributes": "dermoscopy of other centres",
    "pad_ufes_20": "clinical photographs",
}
HOME, OTHER, PHOTOS = CENTRES
WHAT = (
    "Small vision models (the specialist) give calibrated probabilities of seven diagnoses. A language model of 140 "
    "million parameters (DermIQ-Nano) reads the same image and writes reasons. A knowledge graph with sources checks "
    "each sentence."
)
NOT_FOR = (
    "diagnosis, excluding one, triage, treatment or referral; patients on their own; rashes, nails, hair, mucosa, "
    "infections. Not a medical device."
)
TAKES = (
    "one to six photographs of a single lesion, dermoscopy or close-up; age, sex, site, skin type and symptoms where "
    "known; a question in English"
)
GIVES = (
    "probabilities of {names}; sets of them meant to hold the right one with a stated certainty ({sets}); measured "
    "signs and structures; generated text with cited facts and a mark on each sentence; or no opinion, where an image "
    "is unlike all that was learned from"
)


def metrics(part: str, data_set: DataSet, weights: Path = WEIGHTS) -> Json | None:
    """What was measured of one reader on one data set's `test`; None where it was not."""
    path = weights / part / data_set.metrics
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def _measured(part: str, name: str, weights: Path) -> Json:
    """ModelError where a figure that the label rests on is missing."""
    found = metrics(part, DATA_SETS[name], weights)
    if found is None:
        raise ModelError(f"{part}/{DATA_SETS[name].metrics} is missing: restore weights from the repository.")
    return found


def figure(measured: Json, key: str) -> str:
    """With its 95 % interval: "0.899 (0.876 to 0.922)"; a dash where it was not measured."""
    value, interval = measured["figures"].get(key), measured["intervals_95"].get(key)
    if value is None:
        return "–"
    return f"{value:.3f}" if interval is None else f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"


def version(part: str, weights: Path = WEIGHTS) -> str:
    return str(json.loads((weights / part / SETTINGS[part]).read_text(encoding="utf-8"))["version"])


def trained_on(data_set: DataSet, weights: Path = WEIGHTS) -> str:
    """What the specialist's card says of the images and their parts: its table is the only place that counts them."""
    card = (weights / "specialist" / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"^\| {re.escape(data_set.title)}\b([^|]*)\|([^|]*)\|", card, re.MULTILINE)
    if found is None:
        raise ValueError(f"The specialist's card has no row for {data_set.title} in its table of data.")
    few = re.search(r"a subset of [\d,]+ photographs", found[1])
    return f"{found[2].strip()}{f' ({few[0]})' if few else ''}"


def label(weights: Path = WEIGHTS) -> str:
    """The whole label: two tables and what they do not show."""
    return "\n\n".join([_table(_told(weights)), _table(_performance(weights)), _under(weights)])


def _told(weights: Path) -> list[Sequence[str]]:
    names = ", ".join(CLASS_NAMES.values())
    data = "; ".join(
        f"[{one.title}]({one.source}), {one.kind}, {trained_on(one, weights)}, {one.licence}"
        for one in DATA_SETS.values()
    )
    versions = ", ".join(f"{reader} {version(part, weights)}" for part, reader in READERS.items())
    return [
        ("Model facts", f"DermIQ {__version__}"),
        ("What it is", WHAT),
        ("Meant for", "research on how such readings are shown and checked"),
        ("Meant for whom", "clinicians, researchers and developers, who judge by themselves"),
        ("Not for", NOT_FOR),
        ("Takes", TAKES),
        ("Gives", GIVES.format(names=names, sets=_sets(weights))),
        ("Learned from", data),
        (
            "Version",
            f"{versions}; weights of {changed(weights)}; SHA-256 of their list `{fingerprint(weights)}`",
        ),
        ("Licence", "code Apache-2.0; these weights CC BY-NC 4.0, because of the images"),
    ]


def _sets(weights: Path) -> str:
    home = _measured("specialist", HOME, weights)
    held = (f"{certainty} %: it was {one['coverage']:.1%}" for certainty, one in sorted(home["sets"].items()))
    return f"on {DATA_SETS[HOME].title} " + ", ".join(held)


def _performance(weights: Path) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [("On images of `test`, with 95 % intervals", "reader", *FIGURES.values())]
    for name in CENTRES:
        for part, reader in READERS.items():
            found = metrics(part, DATA_SETS[name], weights)
            if found is not None:
                where = f"{DATA_SETS[name].title}, n = {found['n']:,}: {CENTRES[name]}"
                rows.append((where, reader, *(figure(found, key) for key in FIGURES)))
    return rows


def _under(weights: Path) -> str:
    return "\n".join(f"- {line}" for line in (*_failures(weights), *WARNINGS))


def _failures(weights: Path) -> list[str]:
    """Known failures, each with the figure that shows it."""
    home, other, photos = (_measured("specialist", name, weights) for name in (HOME, OTHER, PHOTOS))
    nano = _measured("nano", HOME, weights)
    learned = " and ".join(one.title for one in DATA_SETS.values())
    types = ", ".join(f"{kind} (n = {one['n']})" for kind, one in sorted(photos["by_group"]["skin_type"].items()))
    none = [CLASS_NAMES[code] for code, recall in other["recall"].items() if recall is None]
    made = nano["generated"]
    return [
        f"**No outside test.** Of {learned.replace(' and ', ', ', 1)} one part was learned from and another tested; "
        f"{DATA_SETS[OTHER].title} is split by {DATA_SETS[OTHER].split}, so that a patient may stand in both.",
        f"**Other centres.** Of melanomas {home['recall']['mel']:.0%} are named first on {DATA_SETS[HOME].title}, "
        f"{other['recall']['mel']:.0%} on {DATA_SETS[OTHER].title}, where skin cancer is found in "
        f"{other['figures']['cancer_sensitivity']:.0%} at 90 % specificity.",
        f"**Skin types.** Measured on Fitzpatrick types {types} alone; no other has 20 images. Neither "
        f"{DATA_SETS[HOME].title} nor {DATA_SETS[OTHER].title} tells skin types. How well it reads dark skin is not "
        "known.",
        "**Missing classes.** Squamous cell carcinoma and all else beyond the seven is read as one of the seven, or "
        f"not at all. On {DATA_SETS[OTHER].title} there was no image to test {', '.join(none)}.",
        f"**Text.** Of {made['n']} generated answers {made['accuracy']:.0%} named the right class. They can be fluent "
        "and wrong.",
    ]


WARNINGS = (
    "**Warning.** Never tested in a clinic, on patients, or with users. A probability is not a diagnosis, and a low "
    "one excludes none. The two readers share their vision and much of what they learned: their agreement is no second "
    "opinion.",
)


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *body])


if __name__ == "__main__":
    print(label())
