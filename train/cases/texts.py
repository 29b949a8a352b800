"""The target texts of Nano's first training, made from what is measured, told and sourced.

Findings are the words of the measurements, knowledge is the words of the graph's facts with their numbers,
the label decides the conclusion. Nothing that neither the image's measurements nor the graph says is
written: no dermoscopic structure is claimed for the image, since none was labelled in the data.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from dermiq.knowledge import Graph, retrieve
from dermiq.types import CLASS_NAMES, Evidence, Finding, Json, PatientContext
from dermiq.vlm.parse import ALIASES
from dermiq.vlm.prompts import assistant_message, follow_up_message, notable, reasoning_messages

FINDINGS = (
    "The lesion is {shape}, with {rest}.",
    "I see a lesion that is {shape}, with {rest}.",
    "Measured on the image: {shape}; {rest}.",
    "It is {shape}, with {rest}.",
)
DIFFERENTIAL = (
    "{first} is most likely; {second} is possible, {third} less likely.",
    "{first} leads; {second} is the main alternative, then {third}.",
    "{first} first, then {second} and {third}.",
)
CONCLUSION = (
    "The image as a whole fits {first} best.",
    "Taken together, this fits {first} better than {second}.",
    "{First} explains the image best; {second} cannot be excluded.",
    "On balance {first}.",
)
EXPLANATION = (
    "{First} is most likely{mark}. What was measured: {shape}, {border}. {Second} is the main alternative.",
    "This looks most like {first}{mark}; the lesion is {shape}. {Second} remains possible.",
    "Most likely {first}{mark}. {Second} should be considered before {third}.",
    "The image fits {first} best{mark}: {shape}, {border}. The next candidate is {second}.",
)
QUESTIONS = (
    "What is this lesion, and why?",
    "What is the most likely diagnosis?",
    "What do you see, and what does it suggest?",
    "Is this lesion suspicious?",
    "What is this?",
    "Please assess this lesion.",
    "What speaks for and against malignancy?",
)
WHY_NOT = ("Why not {other}?", "What speaks against {other}?", "Could it be {other}?")
TELL = ("What is known about {other}?", "What should I look for?", "What would settle it?", "Tell me more.")
KEPT = ("The image fits {label} best.", "I keep to my answer: this looks most like {label}.")
TREATED = ("How is it treated?", "What would you do about it?", "Does it have to be removed?")
URGENT = ("Is it urgent?", "Does this need a referral?", "How soon should it be seen?")


MARK = re.compile(r"\[F\d+\]")


def listed(parts: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def described(findings: Sequence[Finding]) -> tuple[str, str]:
    """The asymmetry in words, and the other notable findings as a list: "an irregular border, four colours ..."."""
    words = [finding.text for finding in notable(findings)]
    return words[0], listed([with_article(word) for word in words[1:]])


def with_article(words: str) -> str:
    """A border takes an article; colours, which are counted or plural, take none."""
    if not words.endswith("border"):
        return words
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


class Taught(Protocol):
    """What is known and measured of a case whose reasoning is written."""

    @property
    def label(self) -> str: ...
    @property
    def context(self) -> PatientContext: ...
    @property
    def findings(self) -> Sequence[Finding]: ...
    @property
    def probabilities(self) -> Mapping[str, float]: ...


@dataclass(frozen=True)
class Asked:
    """The first question of a case, and what it was made of."""

    messages: list[Json]  # system and user turn
    evidence: Evidence
    order: list[str]  # the other classes, likeliest first
    context: PatientContext  # what was told of the patient


def first_question(
    case: Taught, graph: Graph, rng: random.Random, *, told: float, facts: int, question: str = ""
) -> Asked:
    """With facts on the likely diagnoses, in an order that does not give the label away."""
    context = case.context if rng.random() < told else PatientContext()
    order = soft_order(case.probabilities, case.label, rng)
    candidates = [case.label, order[0]]
    rng.shuffle(candidates)
    question = question or rng.choice(QUESTIONS)
    evidence = retrieve(
        graph, question, differential=[*candidates, order[1]], context=context, findings=case.findings, k=facts
    )
    return Asked(reasoning_messages(context, case.findings, evidence, question), evidence, order, context)


def reasoning_chat(
    case: Taught, graph: Graph, rng: random.Random, *, told: float, facts: int, follow_up: float, question: str = ""
) -> list[Json]:
    """The first question with its answer, and perhaps a second one.

    `told` is the share of cases whose patient is told, `follow_up` that of chats that go on with a second question.
    """
    asked = first_question(case, graph, rng, told=told, facts=facts, question=question)
    order = asked.order
    answer = reasoning_text(case.findings, case.label, order, asked.evidence, rng)
    messages = [*asked.messages, assistant_message(answer)]
    if rng.random() < follow_up:
        kind = rng.choice((WHY_NOT, WHY_NOT, TELL, URGENT))
        later = rng.choice(kind).format(other=CLASS_NAMES[rng.choice(order[:3])])
        more = retrieve(
            graph,
            later,
            differential=[case.label, order[0]],
            context=asked.context,
            findings=case.findings,
            k=3,
        )
        messages.append(follow_up_message(more, later))
        messages.append(assistant_message(follow_up_text(later, case.label, more, rng)))
    return messages


def reasoning_text(
    findings: Sequence[Finding], label: str, order: Sequence[str], evidence: Evidence, rng: random.Random
) -> str:
    """The agreed form. `order` are class codes, likeliest first, without `label`."""
    shape, rest = described(findings)
    names = {"first": CLASS_NAMES[label], "second": CLASS_NAMES[order[0]], "third": CLASS_NAMES[order[1]]}
    capitals = {name.capitalize(): capital(value) for name, value in names.items()}
    words = {**names, **capitals, "shape": shape, "rest": rest, "border": notable(findings)[1].text}
    cited = cited_facts(evidence, label, order)
    words["mark"] = f" {MARK.findall(cited[0])[-1]}" if cited else ""
    knowledge = " ".join(cited[:2]) if cited else "No fact at hand speaks for or against it."
    differential = capital(rng.choice(DIFFERENTIAL).format(**words))
    steps = (
        f"1. Findings: {rng.choice(FINDINGS).format(**words)}",
        f"2. Differential: {differential}",
        f"3. Knowledge: {knowledge}",
        f"4. Conclusion: {capital(rng.choice(CONCLUSION).format(**words))}",
    )
    explanation = rng.choice(EXPLANATION).format(**words).strip()
    return "<think>\n" + "\n".join(steps) + f"\n</think>\n<answer>{names['first']}</answer>\n{explanation}"


def cited_facts(evidence: Evidence, label: str, order: Sequence[str]) -> list[str]:
    """The facts' own sentences with their numbers: those about the label first, then those about the runner-up."""
    ranked = sorted(evidence.items, key=lambda item: (relevance(item.fact.text, label, order), item.number))
    about = [item for item in ranked if relevance(item.fact.text, label, order) < len(order) + 1]
    return [f"{item.fact.text.rstrip('.')} [F{item.number}]." for item in about]


def relevance(text: str, label: str, order: Sequence[str]) -> int:
    """0 for a sentence about the label, 1, 2, ... about the classes in `order`; the last rank for none of them."""
    for rank, code in enumerate((label, *order)):
        if any(alias in text.lower() for alias in ALIASES[code]):
            return rank
    return len(order) + 1


def follow_up_text(question: str, label: str, evidence: Evidence, rng: random.Random) -> str:
    """An answer to a later question: the facts at hand in their own words, and what is not known, said.

    A question about another diagnosis always ends with the first answer kept; another question does sometimes.
    """
    facts = [f"{item.fact.text.rstrip('.')} [F{item.number}]." for item in evidence.items[:2]]
    keep = rng.choice(KEPT).format(label=CLASS_NAMES[label])
    if not facts:
        return f"The sources at hand say nothing on this. {keep}"
    lead = rng.choice(("From the sources: ", "What is known: ", "", ""))
    doubted = any(question == form.format(other=name) for form in WHY_NOT for name in CLASS_NAMES.values())
    close = f" {keep}" if doubted or rng.random() < 0.4 else ""
    return f"{lead}{' '.join(facts)}{close}"


def soft_order(probabilities: Mapping[str, float], label: str, rng: random.Random) -> list[str]:
    """The other classes, likeliest first by the specialist, with a little noise: its opinion on its own training
    images is surer than it will ever be on a visitor's."""
    noisy = {c: (p + 0.02) * rng.lognormvariate(0.0, 0.5) for c, p in probabilities.items() if c != label}
    return sorted(noisy, key=lambda c: -noisy[c])
