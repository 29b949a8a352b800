"""Trains the two ears of `dermiq.answering`: does a text stand on what was given, and does it answer the question?

    python -m train.embedded.grounding                # twenty minutes on two cores; writes both files of weights
    python -m train.embedded.grounding --examples 200 # a part, to try it

Right are the answers of `train.cases.conversations`. Wrong are the faulty ones that were written by hand, copies of
right ones with one thing changed by code (the number of a citation, a figure, a word of strength, a diagnosis), and
facts of the graph that were not given, or were and are turned round. For the second ear wrong are the answers to other
questions on the same case, a distractor quoted, and "the sources do not say" where they do. Logistic regression on the
features and their products; four of sixteen writers are kept out, and the figures that are printed are theirs.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dermiq.answering import asked, grounded
from dermiq.answering.grounded import Given, Part, parts_of
from dermiq.knowledge import Graph
from dermiq.knowledge.check.judged import UNTOLD
from dermiq.knowledge.language.citation import uncited
from dermiq.knowledge.language.lexical import FREQUENT
from dermiq.knowledge.language.stem import stem
from dermiq.knowledge.language.text import words
from dermiq.types import CLASS_NAMES, Fact, Json
from train.cases.conversations import LaterTurn, read_conversations
from train.cases.quoted import quoted

KEPT_OUT = frozenset({6, 7, 14, 15})  # writers by whom the figures are made
MANNERS_FROM = 10  # answers that have a word from which on it is one by which an answer speaks
OTHER_STRENGTH = (
    ("often", "rarely"),
    ("rarely", "often"),
    ("typically", "rarely"),
    ("usually", "rarely"),
    ("can", "always"),
    ("may", "must"),
    ("sometimes", "always"),
    ("most", "few"),
    ("rare", "common"),
    ("benign", "malignant"),
    ("malignant", "benign"),
    ("is ", "is not "),
    ("are ", "are not "),
    ("does not", "does"),
    ("more", "less"),
    ("raises", "lowers"),
    ("higher", "lower"),
)
TURNED = (
    ("malignant", "benign"),
    ("benign", "malignant"),
    ("often", "rarely"),
    ("typically", "rarely"),
    ("usually", "rarely"),
    ("can ", "cannot "),
    ("is ", "is not "),
)
LONGEST_FACT = 140  # characters of a fact that is said
EVASIONS = (
    "The sources at hand do not say this.",
    "That is not covered by the facts at hand.",
    "The facts here give no answer to that question.",
)
STRENGTH = 0.03  # inverse regularisation, the best of 0.003 to 0.1 on the writers that are not kept out


@dataclass(frozen=True)
class Judged:
    """One row of numbers, whether it is right, by whom, and what was done to it."""

    row: np.ndarray
    right: bool
    writer: int
    kind: str


def given_of(graph: Graph, turn: LaterTurn) -> Given:
    facts = {number: graph.fact(key) for number, key in turn.facts}
    return Given(turn.case, facts, turn.question, turn.intent)


def turns() -> list[tuple[str, LaterTurn]]:
    """(id of the conversation, turn) of all that are in scope."""
    return [(one.id, turn) for one in read_conversations() for turn in one.turns if turn.kind != "out"]


def manners(graph: Graph, every: Sequence[LaterTurn]) -> list[str]:
    """Stems that many answers have and nothing given has, names of the graph left out."""
    seen: Counter[str] = Counter()
    for turn in every:
        given = given_of(graph, turn)
        told = [given.case, given.question, *(fact.text for fact in given.facts.values())]
        seen.update(_stems(uncited(turn.answer)) - _stems("\n".join(told)))
    named = {stem(word) for node in graph.nodes for word in words(node.name)}
    return sorted(word for word, count in seen.items() if count >= MANNERS_FROM and word not in named)


def _stems(text: str) -> frozenset[str]:
    return frozenset(stem(word) for word in words(text) if word not in FREQUENT and not word.isdigit())


def spoiled(turn: LaterTurn, rng: random.Random) -> Iterator[tuple[str, str]]:
    """(text, kind): the answer with one thing changed, in every way that it allows."""
    text = turn.answer
    numbers = [number for number, _ in turn.facts]
    cited = [number for number in numbers if f"[F{number}]" in text]
    if cited and len(numbers) > 1:
        number = rng.choice(cited)
        other = rng.choice([one for one in numbers if one != number])
        yield text.replace(f"[F{number}]", f"[F{other}]"), "citation"
    figures = list(re.finditer(r"(?<![\w.F\[])\d+(?:\.\d+)?(?![\w\]])", text))
    if figures:
        found = rng.choice(figures)
        value = float(found.group())
        changed = rng.choice([value * 2, value + rng.choice([1, 2, 5, 10]), max(1.0, value / 2)])
        written = f"{changed:.1f}" if "." in found.group() else str(int(changed))
        if written != found.group():
            yield text[: found.start()] + written + text[found.end() :], "number"
    held = [pair for pair in OTHER_STRENGTH if re.search(rf"\b{pair[0]}", text)]
    if held:
        word, other_word = rng.choice(held)
        yield re.sub(rf"\b{word}", other_word, text, count=1), "strength"
    named = [name for name in CLASS_NAMES.values() if name in text]
    if named:
        name = rng.choice(named)
        yield text.replace(name, rng.choice([one for one in CLASS_NAMES.values() if one != name])), "name"


def grounded_examples(graph: Graph, every: Sequence[LaterTurn], rng: random.Random) -> Iterator[Judged]:
    """Parts of right answers, and of wrong ones those parts that are not in the right one."""
    for turn in every:
        given, (_, parts) = given_of(graph, turn), parts_of(turn.answer)
        yield from (Judged(row, True, turn.writer, "right") for row in _rows(graph, given, parts))
        own = {(part.text, part.numbers) for part in parts}
        wrong = list(spoiled(turn, rng))
        chosen = [rng.choice(wrong)] if wrong else []
        if turn.faulty and turn.fault not in ("other_question", "unsafe"):
            chosen.append((turn.faulty, f"by hand: {turn.fault}"))
        for text, kind in chosen:
            _, others = parts_of(text)
            for part, row in zip(others, _rows(graph, given, others), strict=True):
                if (part.text, part.numbers) not in own:
                    yield Judged(row, False, turn.writer, kind)


def ungiven(graph: Graph, every: Sequence[LaterTurn], rng: random.Random) -> Iterator[Judged]:
    """Facts of the graph on the same condition that were not given, plain, turned round or cited as another; given
    ones turned round; and, right, given ones said without their number.
    """
    held: dict[str, list[Fact]] = {}
    for fact in graph.all_facts:
        if fact.relation not in UNTOLD and len(fact.text) < LONGEST_FACT:
            held.setdefault(fact.subject, []).append(fact)
    for turn in every:
        given = given_of(graph, turn)
        own = list(given.facts.values())
        others = [one for one in held.get(rng.choice(own).subject, ()) if one not in own] if own else []
        if not others:
            continue
        mode = rng.choice(("not given", "not given, turned", "turned", "not given, cited"))
        text = rng.choice(own if mode == "turned" else others).text
        if "turned" in mode:
            held_words = [pair for pair in TURNED if pair[0] in text]
            text = text.replace(*rng.choice(held_words), 1) if held_words else rng.choice(others).text
        if "cited" in mode:
            text = f"{text.rstrip('.')} [F{rng.choice(list(given.facts))}]."
        yield from (Judged(row, False, turn.writer, mode) for row in _rows(graph, given, parts_of(text)[1]))
        if rng.random() < 0.4:
            said = parts_of(rng.choice(own).text)[1]
            yield from (Judged(row, True, turn.writer, "given, not cited") for row in _rows(graph, given, said))


def echoes(graph: Graph, every: Sequence[LaterTurn], rng: random.Random) -> Iterator[Judged]:
    """The question said as if it were an answer, alone or before a fact."""
    for turn in every:
        given = given_of(graph, turn)
        said = re.sub(r"[?!]+", ".", turn.question.strip())
        said = said if said.endswith(".") else f"{said}."
        if rng.random() < 0.4 and given.facts:
            number, fact = rng.choice(list(given.facts.items()))
            said = f"{said.rstrip('.')}, and {fact.text.rstrip('.').lower()} [F{number}]."
        parts = parts_of(said)[1][:1]
        yield from (Judged(row, False, turn.writer, "echo") for row in _rows(graph, given, parts))


def _rows(graph: Graph, given: Given, parts: Sequence[Part]) -> np.ndarray:
    return grounded.rows(graph, given, parts) if parts else np.zeros((0, len(grounded.NAMES)))


def asked_examples(
    graph: Graph, every: Sequence[tuple[str, LaterTurn]], among: Sequence[tuple[str, LaterTurn]], rng: random.Random
) -> Iterator[Judged]:
    """`among`: where other answers are taken from."""
    by_case: dict[str, list[LaterTurn]] = {}
    for key, turn in among:
        by_case.setdefault(key, []).append(turn)
    for key, turn in every:
        given = given_of(graph, turn)

        def judged(
            text: str,
            right: bool,
            kind: str,
            facts: Mapping[int, Fact] | None = None,
            turn: LaterTurn = turn,
            given: Given = given,
        ) -> Judged:
            row = asked.compared(turn.intent, turn.question, text, facts or given.facts)
            return Judged(row, right, turn.writer, kind)

        yield judged(turn.answer, True, turn.kind)
        yield judged(quoted(graph, turn), True, f"{turn.kind}, quoted")
        others = [one for one in by_case[key] if one.intent != turn.intent]
        if others:
            other = rng.choice(others)
            facts = {**given.facts, **given_of(graph, other).facts}
            yield judged(other.answer, False, "another question of the case", facts)
            yield judged(quoted(graph, other), False, "another question of the case, quoted", facts)
        if turn.fault == "other_question":
            yield judged(turn.faulty, False, "by hand: other_question")
        unused = [number for number in given.facts if f"[F{number}]" not in turn.answer]
        if turn.kind == "answer" and given.facts and rng.random() < 0.5:
            yield judged(rng.choice(EVASIONS), False, "evasion")
            if unused and rng.random() < 0.5:
                number = rng.choice(unused)
                yield judged(f"{given.facts[number].text.rstrip('.')} [F{number}].", False, "distractor")
        if turn.kind == "unknown" and rng.random() < 0.4:
            yield judged(rng.choice(EVASIONS), True, "honest")


def fit(examples: Sequence[Judged], path: Path, names: Sequence[str], more: Json) -> None:
    """Writes the weights, and prints what they are worth on the writers kept out."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    compared = np.array([one.row for one in examples])
    right = np.array([one.right for one in examples])
    test = np.array([one.writer in KEPT_OUT for one in examples])
    mean, scale = compared[~test].mean(0), compared[~test].std(0) + 1e-6
    wide = grounded.expanded((compared - mean) / scale)
    model = LogisticRegression(C=STRENGTH, max_iter=3000, class_weight="balanced").fit(wide[~test], right[~test])
    shares = model.predict_proba(wide)[:, 1]
    print(f"{path.name}: {len(examples)} examples, {len(names)} features")
    if test.any():
        print(f"  writers kept out: AUROC {roc_auc_score(right[test], shares[test]):.3f}")
        for kind in sorted({one.kind for one in examples}):
            own = test & np.array([one.kind == kind for one in examples])
            if own.any():
                print(f"  {kind}: {own.sum()}, {100 * (shares[own] > 0.5).mean():.0f} % taken as right")
    numbers = {"mean": mean, "scale": scale, "weights": model.coef_[0]}
    found: Json = {key: [round(float(value), 5) for value in values] for key, values in numbers.items()}
    found["bias"] = round(float(model.intercept_[0]), 5)
    path.write_text(json.dumps(found | more) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--examples", type=int, default=1400, help="turns that are read, those with a faulty answer first"
    )
    parser.add_argument("--only", choices=("grounded", "asked"))
    options = parser.parse_args()
    graph, rng = Graph.load(), random.Random(5)
    every = turns()
    order = sorted(rng.sample(every, len(every)), key=lambda item: not item[1].faulty)[: options.examples]
    if options.only != "asked":
        held = manners(graph, [turn for _, turn in every])
        grounded.use_manners(held)
        chosen = [turn for _, turn in order]
        fit(
            [*grounded_examples(graph, chosen, rng), *ungiven(graph, chosen, rng), *echoes(graph, chosen[::4], rng)],
            grounded.WEIGHTS,
            grounded.NAMES,
            {"manners": held},
        )
    if options.only != "grounded":
        fit(list(asked_examples(graph, order, every, rng)), asked.WEIGHTS, asked.NAMES, {})


if __name__ == "__main__":
    main()
