"""Holds written conversations about images that were kept apart, as the page would, and counts what came of them.

    python -m train.evaluate --conversations tests/judged/conversations.jsonl --part dev --out answers.jsonl

Each line of the file is a conversation: `class` of the image, `patient`, the `first` question and later `turns`, each
with the `intent` that its writer meant ("" for what is out of scope). Which image of the class is shown is drawn by
the seed. One line is written for each answer, with the draft that the model wrote first; the figures judge by the
project's own judges, so that they flatter: a blind reading stands beside them in `tests/nightly/conversations.txt`.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dermiq.answering.choose import flat, is_told
from dermiq.consultant import LocalConsultant
from dermiq.errors import DataError
from dermiq.knowledge.language.text import split_sentences, words
from dermiq.types import Answer, AnswerDone, Case, Json, PatientContext, TextDelta, Turn
from train.cases.data import data_folder, lesion_of, read_table
from train.embedded.metrics import bootstrap_intervals
from train.runs.log import append

SHORTEST = 5  # words of a sentence that counts as repeated
ROUNDS = 500


@dataclass(frozen=True)
class Asked:
    question: str
    intent: str
    premise: bool = False  # it supposes something that is not so
    must: str = ""  # what a good answer says, for those who read it blind
    unsafe: str = ""  # what must not be said


@dataclass(frozen=True)
class Script:
    id: str
    label: str
    patient: PatientContext
    first: str
    turns: tuple[Asked, ...]


def read_scripts(path: Path, part: str = "") -> list[Script]:
    """DataError for a line that is no conversation."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            held = json.loads(line)
            if part and held.get("part") != part:
                continue
            turns = tuple(Asked(**turn) for turn in held["turns"])
            patient = PatientContext(**held["patient"])
            found.append(Script(held["id"], held["class"], patient, held["first"], turns))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"Line {number} of {path.name} is no conversation: {error}.") from error
    if not found:
        raise DataError(f"{path.name} holds no conversation{f' of part {part}' if part else ''}.")
    return found


def converse(
    consultant: LocalConsultant, scripts: Sequence[Script], *, data: str | None, split: str, seed: int
) -> Iterator[Json]:
    """A line for each answer."""
    table = read_table(data_folder(data), "ham10000", [split])
    images = {label: sorted(part["image"]) for label, part in table.groupby("label")}
    for script in scripts:
        image = random.Random(f"{seed}:{script.id}").choice(images[script.label])
        lesion = lesion_of(str(image))
        history: list[Turn] = []
        for place, asked in enumerate((Asked(script.first, "why"), *script.turns)):
            case = Case((lesion,), script.patient, asked.question, tuple(history))
            answer, draft = _answer(consultant, case, script.id)
            yield {
                "id": script.id,
                "turn": place,
                "question": asked.question,
                "meant": asked.intent,
                "premise": asked.premise,
                "label": script.label,
                "draft": draft,
                **_told(answer),
            }
            history += [Turn("user", asked.question), Turn("assistant", answer.text)]
        consultant.forget(script.id)


def _answer(consultant: LocalConsultant, case: Case, key: str) -> tuple[Answer, str]:
    draft, answer = "", None
    for event in consultant.assess(case, stop=threading.Event(), session_id=key):
        if isinstance(event, TextDelta):
            draft += event.text
        if isinstance(event, AnswerDone):
            answer = event.answer
    assert answer is not None  # the stream ends with it
    return answer, draft


def _told(answer: Answer) -> Json:
    own = answer.own
    by = "model" if own is None else "program" if own.replaced and own.text.strip() == answer.text.strip() else "both"
    return {
        "shown": answer.text,
        "by": by,
        "why": own.why if own else "",
        "understood": answer.intent,
        "answer": answer.parsed.answer_code,
        "claims": [{"text": one.text, "verdict": one.verdict, "miscited": list(one.miscited)} for one in answer.claims],
        "checks": {check.code: check.passed for check in answer.checks},
        "differentials": {
            d.reader: {c.diagnosis.name: c.probability for c in d.candidates} for d in answer.differentials
        },
        "facts": {f"F{item.number}": item.fact.text for item in answer.evidence.items},
        "urgency": answer.urgency.text if answer.urgency else "",
        "seconds": round(answer.seconds, 2),
    }


def summary(lines: Sequence[Json]) -> Json:
    """Shares of later answers with 95 % bootstrap intervals over conversations, and the same by intent."""
    marked = _marked(lines)
    later = [line for line in marked if line["turn"] > 0]
    figures = {
        name: _interval([(line["id"], line[name]) for line in later if line[name] is not None]) for name in SHARES
    }
    by_intent: dict[str, Json] = {}
    for intent in sorted({line["meant"] for line in later}):
        own = [line for line in later if line["meant"] == intent]
        by_intent[intent or "out of scope"] = {"n": len(own)} | {
            name: _mean([line[name] for line in own if line[name] is not None]) for name in SHARES
        }
    return {
        "conversations": len({line["id"] for line in lines}),
        "answers": len(later),
        **figures,
        "intents": by_intent,
    }


SHARES = (
    "by_the_model_alone",
    "completed_by_the_program",
    "replaced_by_the_program",
    "refused_rightly",
    "refused_wrongly",
    "understood",
    "repeats_an_answer",
    "repeats_a_sentence",
    "sentences_supported",
    "sentences_contradicted",
    "wrong_citations",
)


def _marked(lines: Sequence[Json]) -> list[Json]:
    told: dict[str, list[str]] = {}
    found = []
    for line in lines:
        before = told.setdefault(line["id"], [])
        refused, out = not line["understood"], not line["meant"]
        sentences = [one for one in split_sentences(line["shown"]) if len(words(one)) >= SHORTEST]
        again = [one for one in sentences if is_told(one, before)]
        claims = line["claims"]
        asked = not refused
        found.append(
            line
            | {
                "by_the_model_alone": line["by"] == "model" if asked else None,
                "completed_by_the_program": line["by"] == "both" if asked else None,
                "replaced_by_the_program": line["by"] == "program" if asked else None,
                "refused_rightly": refused if out else None,
                "refused_wrongly": None if out else refused,
                "understood": None if out else line["understood"] == line["meant"],
                "repeats_an_answer": flat(line["shown"]) in before if asked else None,
                "repeats_a_sentence": bool(again) if asked else None,
                "sentences_supported": _mean([one["verdict"] == "supported" for one in claims]),
                "sentences_contradicted": _mean([one["verdict"] == "contradicted" for one in claims]),
                "wrong_citations": _mean([bool(one["miscited"]) for one in claims]),
            }
        )
        before.append(flat(line["shown"]))
    return found


def _mean(values: Sequence[float]) -> float | None:
    return round(float(np.mean(values)), 4) if values else None


def _interval(values: Sequence[tuple[str, float]]) -> Json:
    """Mean and interval over conversations."""
    if not values:
        return {"mean": None}
    groups = np.array([key for key, _ in values])
    numbers = np.array([float(value) for _, value in values])

    def of(rows: np.ndarray) -> Mapping[str, float]:
        return {"mean": float(numbers[rows].mean())}

    low, high = bootstrap_intervals(of, groups, rounds=ROUNDS)["mean"]
    return {"mean": round(float(numbers.mean()), 4), "interval_95": [round(low, 4), round(high, 4)], "n": len(values)}


def evaluate(
    consultant: LocalConsultant,
    path: Path,
    out: Path,
    *,
    part: str,
    data: str | None,
    split: str,
    seed: int,
    limit: int,
) -> Json:
    """Writes `out` and returns the figures."""
    scripts = read_scripts(path, part)[: limit or None]
    out.unlink(missing_ok=True)
    lines = []
    for line in converse(consultant, scripts, data=data, split=split, seed=seed):
        append(out, line)
        lines.append(line)
    return summary(lines)
