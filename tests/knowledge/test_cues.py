"""Negation has a scope and can be lifted, doubt is no denial, and a warning affirms: one place decides for all."""

from __future__ import annotations

import pytest

from dermiq.answering.judge import own_alternative
from dermiq.knowledge import Graph, check_claims, link, retrieve
from dermiq.knowledge.language.plain import plain
from dermiq.knowledge.score import read_set, score_blind_negation, score_negation
from dermiq.vlm.parse import class_mentions, parse

GRAPH = Graph.load()
LIFTED = (
    "A blue-white veil cannot be excluded in melanoma.",
    "Without doubt, melanoma shows a blue-white veil.",
    "There is no doubt that melanoma shows a blue-white veil.",
    "Melanoma, no doubt, shows a blue-white veil.",
    "Nobody disputes that melanoma shows a blue-white veil.",
    "It cannot be denied that melanoma shows a blue-white veil.",
    "Never ignore that melanoma can show a blue-white veil.",
    "Do not overlook the blue-white veil of melanoma.",
    "A blue-white veil must not be missed in melanoma.",
    "A blue-white veil is not uncommon in melanoma.",
    "Melanoma not infrequently shows a blue-white veil.",
    "Melanoma is hardly ever without a blue-white veil.",
    "Melanoma does not lack a blue-white veil.",
    "It is not true that melanoma does not show a blue-white veil.",
    "You would be wrong to think that melanoma lacks a blue-white veil.",
    "The absence of a blue-white veil does not exclude melanoma.",
    "Melanoma should not be confused with a blue nevus.",
    "Dermatofibroma is not only found on the legs.",
    "It is not true that dermatofibroma is not benign.",
    "A blue-white veil is by no means absent in melanoma.",
    "Melanoma hardly ever lacks a blue-white veil.",
    "Unlike acne, rosacea does not show comedones.",
    "Contrary to popular opinion, psoriasis is not contagious.",
    "It would be absurd to claim that melanoma is benign.",
    "No, psoriasis is not contagious.",
    "You can't catch psoriasis.",
)
DENIED = (
    "Nothing suggests that melanoma shows a blue-white veil.",
    "Melanoma ain't ever asymmetric.",
    "Melanoma has failed to show a blue-white veil.",
    "Melanoma has yet to show a blue-white veil.",
    "Melanoma doesnt show a blue-white veil.",
    "Melanoma does not, as a rule, show a blue-white veil.",
    "Melanoma is devoid of a blue-white veil.",
    "Melanoma is free of a blue-white veil.",
    "Melanoma is anything but malignant.",
    "A blue-white veil rules out melanoma.",
    "A blue-white veil is unlikely in melanoma.",
    "Nowhere does melanoma show a blue-white veil.",
    "Neither streaks nor a blue-white veil belong to melanoma.",
    "It is a myth that melanoma shows a blue-white veil.",
    "That melanoma shows a blue-white veil is a myth.",
    "It has never been proven that melanoma shows a blue-white veil.",
    "I doubt that sunburn raises the risk of melanoma.",
    "It is not clear if melanoma shows a blue-white veil.",
    "It would be absurd to claim that melanoma is malignant.",
    "Rosacea would be incomplete without comedones.",
    "Psoriasis is never w/o vesicles.",
    "There is no evidence that basal cell carcinoma is treated with surgical excision.",
)


@pytest.mark.parametrize("sentence", LIFTED)
def test_a_true_sentence_with_a_lifted_negation_is_not_contradicted(sentence: str) -> None:
    (claim,) = check_claims(GRAPH, sentence)
    assert claim.verdict != "contradicted", claim.note


@pytest.mark.parametrize("sentence", DENIED)
def test_a_sentence_that_denies_what_is_true_is_not_supported(sentence: str) -> None:
    (claim,) = check_claims(GRAPH, sentence)
    assert claim.verdict != "supported", claim.fact_ids


@pytest.mark.parametrize(
    "question",
    [
        "I cannot exclude melanoma. What should I do?",
        "Melanoma cannot be ruled out: how urgent is the referral?",
        "Melanoma has not been excluded.",
        "Do not miss melanoma.",
        "Nobody has ruled out melanoma yet. What now?",
        "They were unable to rule out a melanoma.",
    ],
)
def test_what_is_only_suspected_is_linked_and_its_referral_comes_up(question: str) -> None:
    (mention,) = (found for found in link(GRAPH, question) if found.name == "melanoma")
    assert not mention.negated
    told = [item.fact for item in retrieve(GRAPH, question, semantic=False, token_budget=640).items]
    assert any(fact.relation in ("refer_if", "red_flag") for fact in told[:4]), [fact.text for fact in told]


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("no itching, bleeding or melanoma", "denied"),
        ("no itching, but melanoma", "affirmed"),
        ("Melanoma has been ruled out.", "denied"),
        ("Melanoma must be ruled out.", "uncertain"),
        ("suspicious for melanoma", "uncertain"),
        ("not suspicious for melanoma", "denied"),
        ("?melanoma", "uncertain"),
        ("Without a biopsy melanoma can't be excluded.", "uncertain"),
        ("It rarely is melanoma.", "seldom"),
        ("no lesions except melanoma", "affirmed"),
        ("It is not true that this is no melanoma.", "affirmed"),
        ("I am not entirely happy that melanoma has been excluded.", "uncertain"),
        ("everything but melanoma has been ruled out", "uncertain"),
        ("Who says it isn't melanoma?", "uncertain"),
        ("Shouldn't they have ruled out melanoma first?", "uncertain"),
        ("Favor LPLK over melanoma.", "denied"),
        ("There is no reason to doubt the melanoma.", "affirmed"),
        ("It is not, I am pleased to say, melanoma.", "denied"),
        ("I cannot call this anything but melanoma.", "affirmed"),
        ("FHx neg for psoriasis, pos for melanoma.", "affirmed"),
        ("melanoma r/o'd by path", "denied"),
        ("Without scale, without crust, with melanoma.", "affirmed"),
        ("Is not eczema, is melanoma.", "affirmed"),
    ],
)
def test_how_a_name_is_said(text: str, status: str) -> None:
    (mention,) = (found for found in link(GRAPH, text) if found.name == "melanoma")
    assert mention.status == status


def test_a_comma_parts_two_names() -> None:
    assert [found.name for found in link(GRAPH, "He has acne, rosacea and no psoriasis")] == [
        "acne",
        "rosacea",
        "psoriasis",
    ]


def test_plain_words_keep_their_places() -> None:
    for row in (*read_set("negation", "all"), *read_set("negation_blind", "all")):
        assert len(plain(row["text"])) == len(row["text"]), row["text"]


def test_an_answer_that_leaves_open_names_what_it_leaves_open() -> None:
    assert [code for _, code in class_mentions("Melanoma cannot be ruled out; a nevus is ruled out.")] == ["mel"]
    text = "<think>Conclusion: melanoma. Melanoma cannot be ruled out.</think><answer>melanoma</answer>"
    assert own_alternative(parse(text))


@pytest.mark.parametrize(("part", "of_four", "denied"), [("dev", 0.97, 0.98), ("test", 0.85, 0.87)])
def test_the_labelled_phrases(part: str, of_four: float, denied: float) -> None:
    """Before there was one table: 0.47 and 0.61 of `dev`, 0.55 and 0.67 of `test`."""
    figures, _ = score_negation(GRAPH, read_set("negation", part))
    assert figures["right of four"] >= of_four
    assert figures["denied or not"] >= denied


@pytest.mark.parametrize(("part", "of_four", "wrong"), [("dev", 0.97, 0), ("test", 0.95, 1)])
def test_the_phrases_of_who_had_not_seen_the_table(part: str, of_four: float, wrong: int) -> None:
    """Before they were looked at: 0.80 of `dev` with 2 wrong verdicts, 0.83 of `test` with 7."""
    figures, _ = score_blind_negation(GRAPH, read_set("negation_blind", part))
    assert figures["right of four"] >= of_four
    assert figures["verdicts"].get("wrong", 0) <= wrong
