"""The graph as proxy for an expert: parts of hand-made answers on real facts, and the pairs among them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dermiq.knowledge import Graph
from dermiq.types import CLASS_NAMES, CLASSES, Finding
from train.scoring.proxy import PARTS, ProxySettings, Question, Scored, Weights, choose_pairs, margin_of, score

ASYMMETRIC = Finding("asymmetry", "asymmetry", 0.5, "", "asymmetric about both axes", "")
TEXT = """<think>
1. Findings: The lesion is asymmetric about both axes.
2. Differential: {first} leads; benign keratosis is the main alternative.
3. Knowledge: {knowledge}
4. Conclusion: The image as a whole fits {conclusion} best.
</think>
<answer>{answer}</answer>
{explanation}"""
NETWORK = "Dermoscopy of melanoma typically shows an atypical pigment network"
MALIGNANT = "Melanoma is malignant"


@pytest.fixture(scope="module")
def graph() -> Graph:
    return Graph.load()


@pytest.fixture(scope="module")
def question(graph: Graph) -> Question:
    texts = {fact.text: fact for fact in graph.all_facts}
    return Question("mel", (ASYMMETRIC,), {1: texts[f"{NETWORK}."], 2: texts[f"{MALIGNANT}."]})


def written(knowledge: str, *, first: str = "Melanoma", answer: str = "melanoma", **words: str) -> str:
    asked = {"conclusion": answer, "explanation": f"This looks most like {answer}.", **words}
    return TEXT.format(knowledge=knowledge, first=first, answer=answer, **asked)


def judged(graph: Graph, question: Question, *texts: str) -> list[Scored]:
    return [score(graph, text, question) for text in texts]


# --- one answer -----------------------------------------------------------------------------


def test_a_good_answer_by_part(graph: Graph, question: Question) -> None:
    (found,) = judged(graph, question, written(f"{NETWORK} [F1]. {MALIGNANT} [F2]."))
    assert found.parts == {**dict.fromkeys(PARTS, 1.0), "relevance": 1.0, "completeness": 0.5}
    assert [key for claim in found.claims for key in claim.fact_ids] == [fact.id for fact in question.facts.values()]
    assert not any(found.notes.values())


@pytest.mark.parametrize(
    ("part", "value", "text"),
    [
        ("accuracy", 0.5, written(f"{NETWORK} [F1]. Melanoma is benign [F2].")),
        ("relevance", 0.667, written("Dermatofibroma is benign.")),
        ("completeness", 0.0, written("Melanoma is benign.")),
        ("correctness", 0.0, written(f"{MALIGNANT}.", answer="melanocytic nevus")),
        ("correctness", 0.0, written(f"{MALIGNANT}.", answer="dermatocytic melanoma")),
        ("findings", 0.0, written(f"{MALIGNANT}.").replace("is asymmetric about both axes", "is symmetric")),
        ("citations", 0.5, written(f"{NETWORK} [F1]. {MALIGNANT} [F1].")),
        ("citations", 0.0, written(f"{MALIGNANT} [F7].")),
        ("citations", 0.0, written(f"{MALIGNANT}.", explanation="Dermatofibroma is possible [F1].")),
        ("consistency", 0.0, written(f"{MALIGNANT}.", conclusion="melanocytic nevus")),
        ("consistency", 0.0, written(f"{MALIGNANT}.", explanation="The image fits melanocytic nevus best.")),
        ("consistency", 0.0, written(f"{MALIGNANT}.", explanation="Nevus should be considered before nevus.")),
        ("form", 0.833, written(f"{MALIGNANT}.").replace("</think>", "")),
        ("form", 0.833, written(f"{MALIGNANT}. {MALIGNANT}.")),
    ],
)
def test_what_lowers_a_part(part: str, value: float, text: str, graph: Graph, question: Question) -> None:
    assert score(graph, text, question).parts[part] == value


def test_what_cannot_be_judged_is_none(graph: Graph) -> None:
    found = score(graph, "I do not know.", Question(None))
    assert found.parts == {**dict.fromkeys(PARTS), "form": 0.0}
    found = score(graph, written("Nothing is known."), Question("mel"))  # nothing was measured, shown or stated
    assert [part for part in PARTS if found.parts[part] is None] == ["accuracy", "findings", "citations"]


@pytest.mark.parametrize("number", [1, 7])
def test_a_wrong_number_is_a_fault_of_its_own(number: int, graph: Graph, question: Question) -> None:
    right, wrong = (score(graph, written(f"{MALIGNANT} [F{n}]."), question) for n in (2, number))
    lowered = {part for part in PARTS if right.parts[part] != wrong.parts[part]}
    assert (right.parts["citations"], wrong.parts["citations"]) == (1.0, 0.0)
    assert lowered == {"citations", "accuracy", "completeness"}  # it is not counted as supported either
    assert wrong.parts["accuracy"] is None, "nor as false"
    (note,) = wrong.notes["citations"]
    assert f"cites F{number}, which" in note


def test_what_is_done_about_another_condition_is_not_accurate(graph: Graph, question: Question) -> None:
    found = score(graph, written(f"{MALIGNANT}. Seborrheic keratosis needs no treatment."), question)
    assert found.parts["accuracy"] == 0.5


@pytest.mark.parametrize("code", CLASSES)
def test_every_option_is_a_right_answer(code: str, graph: Graph) -> None:
    name = CLASS_NAMES[code]
    assert score(graph, written("Nothing.", answer=name), Question(code)).parts["correctness"] == 1.0


@pytest.mark.parametrize("step", ["1. Findings: It", "It", "1. Findings: The lesion"])
def test_findings_are_of_the_lesion_not_of_the_diagnosis(step: str, graph: Graph) -> None:
    text = written("Nothing.", answer="melanocytic nevus").replace("1. Findings: The lesion", step)
    assert score(graph, text, Question("nv", (ASYMMETRIC,))).parts["findings"] == 1.0


def test_alternatives_are_no_digression(graph: Graph, question: Question) -> None:
    alone, ranked = (
        score(graph, written(f"{MALIGNANT}.", explanation=f"This looks most like melanoma.{more}"), question)
        for more in ("", " The next candidate is a vascular lesion.")
    )
    assert alone.parts["relevance"] == ranked.parts["relevance"] == 1.0


def test_a_cut_answer_has_no_form(graph: Graph, question: Question) -> None:
    found = score(graph, written(f"{MALIGNANT}."), question, ended=False)
    assert found.parts["form"] == 0.0
    assert "The text is cut off." in found.notes["form"]


def test_a_list_of_other_facts_or_of_the_same_one_earns_nothing(graph: Graph, question: Question) -> None:
    plain, same, others = judged(
        graph,
        question,
        written(f"{MALIGNANT} [F2]."),
        written(f"{MALIGNANT} [F2]. {MALIGNANT} [F2]. {MALIGNANT} [F2]."),
        written(f"{MALIGNANT} [F2]. Dermatofibroma is benign. Melanocytic nevus is benign."),
    )
    weights = Weights().as_mapping()
    for other in (same, others):
        margin = margin_of(plain, other, weights)
        assert margin is not None
        assert margin > 0


def test_a_follow_up_is_complete_where_it_tells_what_was_given(graph: Graph, question: Question) -> None:
    given = tuple(question.facts.values())
    later = replace(question, text="Is it malignant?", given=given, is_follow_up=True)
    half, whole, lost = judged(
        graph,
        later,
        f"{MALIGNANT} [F2]. I keep to my answer: this looks most like melanoma.",
        f"{MALIGNANT} [F2]. {NETWORK} [F1].",
        f"{MALIGNANT} [F2]. This looks most like dermatofibroma.",
    )
    assert [answer.parts["completeness"] for answer in (half, whole)] == [0.5, 1.0]
    assert [answer.parts["correctness"] for answer in (half, whole, lost)] == [1.0, None, 0.0]
    assert half.parts["consistency"] is None
    assert score(graph, "<answer>melanoma</answer>", later).parts["form"] == 0.0


# --- pairs ----------------------------------------------------------------------------------


def made(text: str = "a b c", *, ended: bool = True, **parts: float | None) -> Scored:
    return Scored(text, ended, {**dict.fromkeys(PARTS), "accuracy": 1.0, "correctness": 1.0, **parts})


def test_supported_beats_contradicted(graph: Graph, question: Question) -> None:
    good, bad = written(f"{MALIGNANT} [F2]."), written("Melanoma is benign [F2].")
    (pair,) = choose_pairs(judged(graph, question, bad, good), ProxySettings()).pairs
    assert (pair.chosen.text, pair.rejected.text) == (good, bad)
    assert pair.decided_by == "accuracy"
    # accuracy 1 -> 0, completeness 0.25 -> 0, and all weights that both could be judged by
    assert pair.margin == pytest.approx((1 + 0.25) / 7.5, abs=1e-4)
    fact = question.facts[2]
    assert f"Chosen: “{MALIGNANT} [F2].” is supported by fact {fact.id}." in pair.reasons
    assert any(
        why.startswith("Rejected: “Melanoma is benign [F2].” is contradicted by fact") and fact.id in why
        for why in pair.reasons
    )
    assert pair.reasons[0] == "Decided by accuracy: 1.00 against 0.00."


def test_complete_beats_sparse(graph: Graph, question: Question) -> None:
    full = written(f"{MALIGNANT} [F2]. {NETWORK} [F1].")
    sparse = written("Melanoma is a cancer of the skin.")
    answers = judged(graph, question, sparse, full)
    (pair,) = choose_pairs(answers, ProxySettings(min_margin=0.01)).pairs
    assert pair.chosen.text == full
    assert pair.decided_by == "completeness"


def test_the_right_diagnosis_beats_the_wrong_one(graph: Graph, question: Question) -> None:
    right = written("Nothing more is at hand. Melanoma is malignant.")
    wrong = written(f"{NETWORK} [F1]. {MALIGNANT} [F2].", first="Melanocytic nevus", answer="melanocytic nevus")
    (pair,) = choose_pairs(judged(graph, question, wrong, right), ProxySettings()).pairs
    assert pair.chosen.text == right
    assert pair.decided_by == "correctness"
    assert "Rejected, correctness: It answers melanocytic nevus; the label is melanoma." in pair.reasons


def test_the_margin_is_of_the_parts_that_both_could_be_judged_by() -> None:
    weights = {"accuracy": 1.0, "relevance": 0.5, "form": 0.0}
    one, other = made(relevance=None, form=1.0), made(accuracy=0.4, relevance=1.0, form=0.0)
    assert margin_of(one, other, weights) == pytest.approx(0.6)
    assert margin_of(other, one, weights) == pytest.approx(-0.6)
    assert margin_of(made(accuracy=None), other, {"accuracy": 1.0}) is None


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        (made("a b", findings=1.0), made(" a  b", findings=0.0), "the same text"),
        (made("a"), made("b"), "too close"),
        (made("a", accuracy=None, correctness=None), made("b"), "nothing could be judged in both"),
        (made("a", findings=1.0, ended=False), made("b", findings=0.0), "the better one is cut off"),
        (made("a", correctness=0.0, findings=1.0), made("b", correctness=0.0, findings=0.0), "the better one is not"),
        (made("a", accuracy=None, findings=1.0), made("b", findings=0.0), "the graph can judge nothing"),
        (made("a", findings=1.0, accuracy=0.5), made("b", findings=0.0, accuracy=1.0), "each is better at some"),
        (made("a b c d", findings=1.0), made("a b", findings=0.0), "too different in length"),
    ],
)
def test_what_makes_no_pair(one: Scored, other: Scored, why: str) -> None:
    settings = ProxySettings(weights=replace(Weights(), findings=3.0))
    for answers in ((one, other), (other, one)):
        choice = choose_pairs(answers, settings)
        assert not choice.pairs
        assert len(choice.dropped) == 1
        assert next(iter(choice.dropped)).startswith(why)


def test_length_may_be_free() -> None:
    answers = made("a b c d", findings=1.0), made("a b", findings=0.0)
    assert len(choose_pairs(answers, ProxySettings(max_length_ratio=0)).pairs) == 1


def test_no_answer_is_in_two_pairs() -> None:
    answers = [made(f"answer {i}", findings=value) for i, value in enumerate((0.5, 1.0, 0.0, 0.75))]
    assert [pair.margin for pair in choose_pairs(answers, ProxySettings()).pairs] == [0.25]
    choice = choose_pairs(answers, ProxySettings(pairs=5))
    assert [(pair.chosen.text, pair.rejected.text) for pair in choice.pairs] == [
        ("answer 1", "answer 2"),
        ("answer 3", "answer 0"),
    ]
    assert sum(choice.dropped.values()) + len(choice.pairs) == 6


def test_weights_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="every weight is 0"):
        Weights(**dict.fromkeys(PARTS, 0.0))
