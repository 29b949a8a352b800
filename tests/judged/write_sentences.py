"""Text that models wrote, as rows that a person can label (see README.md).

    python -m tests.judged.write_sentences --out FILE.tsv

Asks the embedded base language model clinicians' questions, some with retrieved facts before them, and DermIQ-Nano the
questions of a consultation on HAM10000's part `val`. Of the sentences that name at least two things of the graph, or
one and "it", a seeded draw takes what `PARTS` says. Labels, edges and notes are left empty for a person; `topic` is
the condition that the case is about. Needs `DERMIQ_DATA` and about ten minutes of one processor core.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import re
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from dermiq.consultant import LocalConsultant
from dermiq.knowledge import Graph, retrieve
from dermiq.knowledge.language.link import link
from dermiq.knowledge.language.text import split_sentences
from dermiq.settings import Settings
from dermiq.types import CLASSES, AnswerDone, Case, Turn
from dermiq.vlm.base import ensure_base
from dermiq.vlm.prompts import facts_block
from train.cases.data import data_folder, read_table

SEED = 11
PARTS = {"dev": 25, "test": 50}  # rows of each model
COLUMNS = ("id", "part", "origin", "label", "sentence", "edges", "note", "topic", "findings")
TEMPERATURE = 0.8
MAX_NEW_TOKENS = 110
IMAGES_A_CLASS = 2
FACTS = 4
CONDITIONS = (
    "melanoma",
    "basal cell carcinoma",
    "squamous cell carcinoma",
    "actinic keratosis",
    "Bowen's disease",
    "seborrheic keratosis",
    "melanocytic nevus",
    "dermatofibroma",
    "cherry angioma",
    "psoriasis",
    "atopic dermatitis",
    "contact dermatitis",
    "seborrheic dermatitis",
    "rosacea",
    "acne",
    "urticaria",
    "impetigo",
    "cellulitis",
    "herpes zoster",
    "scabies",
    "tinea corporis",
    "tinea pedis",
    "onychomycosis",
    "molluscum contagiosum",
    "vitiligo",
    "alopecia areata",
    "lichen planus",
    "pityriasis rosea",
    "common wart",
    "keratoacanthoma",
)
OPEN_QUESTIONS = (
    "What are the typical signs and symptoms of {}?",
    "How is {} diagnosed and treated?",
    "What does {} look like, and where on the body does it occur?",
    "Which conditions can be confused with {}, and how do you tell them apart?",
    "Who is at risk of {}, and is it benign or malignant?",
)
FOLLOW_UPS = (
    "Which dermoscopic signs speak for this diagnosis, and which against it?",
    "How is it treated?",
    "Could it be a melanoma?",
    "Does it need a biopsy or a referral?",
    "What else can look like this?",
    "Where on the body does it usually occur, and who is at risk?",
)


@dataclass(frozen=True)
class Sentence:
    origin: str
    text: str
    topic: str  # name of a condition
    findings: str = ""  # JSON: code -> [value, words], as measured on the case's image


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="TSV with empty labels")
    options = parser.parse_args(arguments)
    graph = Graph.load()
    rows: list[tuple[str, Sentence]] = []
    sources = ((of_the_base_model(), PARTS), (of_nano(), PARTS), (of_the_base_model_with_facts(graph), {"test": 11}))
    for sentences, parts in sources:
        rows += drawn([sentence for sentence in sentences if says_something(graph, sentence.text)], parts)
    with options.out.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, quotechar=None)
        writer.writerow(COLUMNS)
        for number, (part, s) in enumerate(rows, start=1):
            writer.writerow((f"s{number:03}", part, s.origin, "", s.text, "", "", s.topic, s.findings))
    return 0


def of_the_base_model() -> Iterator[Sentence]:
    """Questions alone; every second answer is sampled, the others are greedy."""
    torch.manual_seed(SEED)
    model = BaseModel()
    for number, condition in enumerate(CONDITIONS):
        question = OPEN_QUESTIONS[number % len(OPEN_QUESTIONS)].format(condition)
        for sentence in whole_sentences(model.answer(question, sampled=number % 2 == 1)):
            yield Sentence("smollm2", sentence, condition)


def of_the_base_model_with_facts(graph: Graph) -> Iterator[Sentence]:
    """Every third condition, with facts before the question as the app gives them; greedy."""
    model = BaseModel()
    for number, condition in enumerate(CONDITIONS[::3]):
        question = OPEN_QUESTIONS[(number + 2) % len(OPEN_QUESTIONS)].format(condition)
        asked = f"{facts_block(retrieve(graph, question, k=FACTS))}\nQuestion: {question}"
        for sentence in whole_sentences(model.answer(asked, sampled=False)):
            yield Sentence("smollm2", sentence, condition)


class BaseModel:
    """SmolLM2-135M-Instruct as it comes, without DermIQ's training."""

    def __init__(self) -> None:
        folder = ensure_base()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    @torch.inference_mode()
    def answer(self, question: str, *, sampled: bool) -> str:
        prompt: Any = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        how: dict[str, Any] = (
            {"do_sample": True, "temperature": TEMPERATURE, "top_p": 0.95} if sampled else {"do_sample": False}
        )
        end = self.tokenizer.eos_token_id
        ids = self.model.generate(**prompt, **how, max_new_tokens=MAX_NEW_TOKENS, pad_token_id=end)
        return str(self.tokenizer.decode(ids[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True))


def of_nano() -> Iterator[Sentence]:
    """The first answer and two later ones on each of a few images of every class."""
    consultant = LocalConsultant(Settings())
    consultant.load()
    table = read_table(data_folder(), "ham10000", ["val"])
    chosen = [
        path
        for code in CLASSES
        for path in table[table["label"] == code].sample(IMAGES_A_CLASS, random_state=SEED)["image"]
    ]
    for number, path in enumerate(chosen):
        lesion = consultant.read_image(Path(path).read_bytes())
        later = [FOLLOW_UPS[(2 * number + step) % len(FOLLOW_UPS)] for step in range(2)]
        history: tuple[Turn, ...] = ()
        for question in (Case.question, *later):
            case = Case((lesion,), question=question, history=history)
            events = consultant.assess(case, stop=threading.Event(), session_id=str(number))
            answer = next(event.answer for event in events if isinstance(event, AnswerDone))
            history += (Turn("user", question), Turn("assistant", answer.text))
            measured = {f.code: [round(f.value, 2), f.text] for f in answer.findings}
            topic = answer.differentials[0].top.diagnosis.name
            for sentence in whole_sentences(answer.text):
                yield Sentence("nano", sentence, topic, json.dumps(measured, ensure_ascii=False))


def whole_sentences(text: str) -> list[str]:
    """The sentences that come to their end: an answer that was cut off leaves a piece."""
    return [sentence for sentence in split_sentences(text) if sentence.endswith(".")]


def says_something(graph: Graph, sentence: str) -> bool:
    named = {mention.id for mention in link(graph, sentence)}
    return len(named) + bool(re.search(r"\b(?:it|its|this|they)\b", sentence, re.IGNORECASE)) >= 2 and bool(named)


def drawn(sentences: Sequence[Sentence], rows: Mapping[str, int]) -> list[tuple[str, Sentence]]:
    """As many rows for each part, drawn from the distinct sentences; fewer where there are not so many."""
    distinct = list({sentence.text: sentence for sentence in sentences}.values())
    random.Random(SEED).shuffle(distinct)
    parts = [part for part, count in rows.items() for _ in range(count)]
    return list(zip(parts, distinct, strict=False))


if __name__ == "__main__":
    sys.exit(main())
