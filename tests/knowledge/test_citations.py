"""The number behind a sentence: the right fact, the wrong one, one that was not given, and which is mended."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

import pytest

from dermiq.knowledge import Graph, check_claims
from dermiq.knowledge.language.citation import cited, tied, uncited
from dermiq.knowledge.score import read_set
from dermiq.types import Claim, Evidence, EvidenceItem, Fact, Source

GRAPH = Graph.load()
GIVEN = (
    "Dermoscopy of melanoma typically shows a blue-white veil.",
    "Melanoma is malignant.",
    "Melanoma up to 1 mm thick is excised with a margin of 1 cm.",
    "NG12 (UK): refer within 2 weeks if dermoscopy suggests melanoma.",
    "The diagnosis of melanoma is made by biopsy.",
    "Dermoscopy of melanoma typically shows irregular streaks.",
    "Sun exposure raises the risk of melanoma.",
    "First line: seborrheic keratosis needs no treatment.",
)


@lru_cache(maxsize=1)
def by_text() -> dict[str, Fact]:
    return {fact.text: fact for fact in GRAPH.all_facts}


def numbered(facts: Sequence[Fact]) -> Evidence:
    return Evidence(tuple(EvidenceItem(number, fact, 0.0, "") for number, fact in enumerate(facts, start=1)))


EVIDENCE = numbered([by_text()[text] for text in GIVEN])

# text; the numbers that are wrong; those that are right instead. Without wrong ones the sentence is supported
TABLE = """
Melanoma is malignant [F2].
Melanoma is malignant. [F2]
Melanoma is malignant.[F2]
[F2] Melanoma is malignant.
Melanoma is malignant (F2).
Melanoma is malignant (fact 2).
Melanoma is malignant [2].
Melanoma is malignant [fact 2].
Melanoma is malignant [f2].
Melanoma is malignant [ F 2 ].
According to F2, melanoma is malignant.
According to fact 2, melanoma is malignant.
According to [F2], melanoma is malignant.
Fact 2 says that melanoma is malignant.
It is malignant [F2].
A blue-white veil is typical of melanoma [F1].
A blue-white veil [F1] is typical of melanoma.
A blue-white veil and irregular streaks are typical of melanoma [F1, F6].
A blue-white veil and irregular streaks are typical of melanoma [F1][F6].
A blue-white veil [F1] and irregular streaks [F6] are typical of melanoma.
A blue-white veil and irregular streaks are typical of melanoma [F1].
Melanoma is treated by excision [F3].
Melanoma needs urgent referral within two weeks [F4].
Suspected melanoma is referred urgently [F4].
A biopsy settles the diagnosis of melanoma [F5].
Sun exposure raises the risk of melanoma [F7].
Melanoma is malignant [F1]. | 1 | 2
Melanoma is malignant. [F1] | 1 | 2
[F1] Melanoma is malignant. | 1 | 2
Melanoma is malignant (F1). | 1 | 2
Melanoma is malignant (see fact 1). | 1 | 2
Melanoma is malignant [1]. | 1 | 2
According to F1, melanoma is malignant. | 1 | 2
According to fact 1, melanoma is malignant. | 1 | 2
According to [F1], melanoma is malignant. | 1 | 2
Fact 1 says that melanoma is malignant. | 1 | 2
From the sources: melanoma is malignant [F1]. | 1 | 2
It is malignant [F7]. | 7 | 2
Melanoma is malignant [F9]. | 9 | 2
Melanoma is malignant [F0]. | 0 | 2
Melanoma is malignant [F12, F13]. | 12 13 | 2
Melanoma is malignant [F1, F2]. | 1 | 2
Melanoma is malignant [F1][F2]. | 1 | 2
Melanoma is malignant [F1-F3]. | 1 3 | 2
Melanoma is malignant [F2 and F4]. | 4 | 2
Melanoma is malignant [F2; F9]. | 9 | 2
A blue-white veil is typical of melanoma [F2]. | 2 | 1
A blue-white veil is typical of melanoma [F6]. | 6 | 1
Melanoma can show irregular streaks [F1]. | 1 | 6
A blue-white veil and irregular streaks are typical of melanoma [F2]. | 2 |
A biopsy settles the diagnosis of melanoma [F4]. | 4 | 5
Biopsy confirms melanoma [F3]. | 3 | 5
Suspected melanoma is referred urgently [F5]. | 5 | 4
Melanoma is treated by excision [F2]. | 2 | 3
Sun exposure raises the risk of melanoma [F1]. | 1 | 7
Melanoma occurs most often in women on the legs and arms [F1]. | 1 |
In women melanoma is most common on the legs and arms [F1]. | 1 |
Melanoma can spread to other organs in the body [F2]. | 2 |
Fair skin that burns easily raises the risk of melanoma [F7]. | 7 |
"""
ROWS = [[cell.strip() for cell in f"{line} | |".split("|")][:3] for line in TABLE.strip().splitlines()]


def judged(text: str, evidence: Evidence | None = EVIDENCE, lesion: str = "mel") -> Claim:
    (claim,) = check_claims(GRAPH, text, diagnosis=lesion, evidence=evidence)
    return claim


def listed(cell: str) -> tuple[int, ...]:
    return tuple(map(int, cell.split()))


@pytest.mark.parametrize(("text", "wrong", "right"), ROWS, ids=[row[0] for row in ROWS])
def test_the_number_that_a_sentence_cites(text: str, wrong: str, right: str) -> None:
    claim = judged(text)
    assert claim.miscited == listed(wrong), claim.note
    assert claim.verdict in ("wrong_citation" if wrong else "supported", "not_covered"), claim.note


def test_the_right_number_is_known_where_one_fact_alone_fits() -> None:
    """Measured: every one of the table."""
    known = [judged(text).mended == listed(right) for text, wrong, right in ROWS if wrong]
    decided = [judged(text).verdict != "not_covered" for text, _, _ in ROWS]
    assert sum(known) / len(known) >= 0.95
    assert sum(decided) / len(decided) >= 0.95


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("Melanoma is malignant [F1].", "it cites fact 1, which says something else; fact 2 says this"),
        ("Melanoma is malignant [F1, F4].", "it cites facts 1 and 4, which say something else; fact 2 says this"),
        ("Melanoma is malignant [F9].", "it cites fact 9, which was not given; fact 2 says this"),
    ],
)
def test_the_note_says_what_is_wrong_and_what_is_right(text: str, note: str) -> None:
    assert judged(text).note == note


@pytest.mark.parametrize(
    ("text", "lesion", "verdict", "wrong", "right"),
    [
        ("Melanoma is benign [F1].", "mel", "contradicted", (1,), ()),
        ("Melanoma is benign [F2].", "mel", "contradicted", (), ()),
        ("Melanoma is pretty [F9].", "mel", "not_covered", (9,), ()),
        ("Melanoma is pretty [F2].", "mel", "not_covered", (), ()),
        ("Melanoma is pretty [F8].", "mel", "not_covered", (8,), ()),
        ("It calls for thought [F5].", "mel", "not_covered", (), ()),
        ("Bread is made of flour [F5].", "mel", "not_covered", (5,), ()),
        ("Seborrheic keratosis needs no treatment [F8].", "mel", "another_condition", (), ()),
        ("Seborrheic keratosis needs no treatment [F2].", "mel", "another_condition", (2,), (8,)),
    ],
)
def test_what_is_not_plainly_true_stays_so_and_its_number_is_told(
    text: str, lesion: str, verdict: str, wrong: tuple[int, ...], right: tuple[int, ...]
) -> None:
    claim = judged(text, lesion=lesion)
    assert (claim.verdict, claim.miscited, claim.mended) == (verdict, wrong, right), claim.note


def test_without_numbered_facts_no_number_is_judged() -> None:
    claim = judged("Melanoma is malignant [F9].", None)
    assert (claim.verdict, claim.miscited) == ("supported", ())
    assert judged("Melanoma is malignant [F9].", Evidence()).miscited == (9,)


def test_a_fact_that_came_up_twice_may_be_cited_by_either_number_and_is_mended_to_its_last() -> None:
    facts = [by_text()[text] for text in (GIVEN[1], GIVEN[0], GIVEN[1])]
    assert judged("Melanoma is malignant [F1].", numbered(facts)).verdict == "supported"
    assert judged("Melanoma is malignant [F2].", numbered(facts)).mended == (3,)


def test_a_numbered_text_that_the_graph_lacks_is_compared_by_its_words() -> None:
    own = Fact("prompt-1", "", "said", "", "Melanomas are malignant tumours.", Source("p", "", "", "", "research"))
    evidence = numbered([own, by_text()[GIVEN[0]]])
    assert judged("Melanoma is malignant [F1].", evidence).verdict == "supported"
    assert judged("Melanoma is malignant [F2].", evidence).mended == (1,)


# --- sentences of the judged set, with the facts that they were written from ----------------


def sentences() -> Iterator[tuple[str, list[Fact]]]:
    """Those that are called supported, and behind the fact that supports them three others of the same condition;
    of every second row."""
    for row in read_set("claims", "dev")[::2]:
        found = re.findall(r"\bE[0-9a-f]{10}\b", row["edges"]) if row["label"] == "supported" else []
        claims = check_claims(GRAPH, row["sentence"]) if found else ()
        if [claim.verdict for claim in claims] == ["supported"]:
            own = [GRAPH.fact(key) for key in found]
            said = {(fact.relation, fact.object) for fact in own}
            others = [fact for fact in GRAPH.facts(own[0].subject) if (fact.relation, fact.object) not in said]
            yield row["sentence"].rstrip(". "), [own[0], *others[:: max(1, len(others) // 3)][:3]]


def test_right_numbers_stand_and_wrong_ones_are_found_and_mended() -> None:
    """On the whole of `dev` 93 of 94 right ones stand; 469 of 470 wrong ones are found, 460 of them mended."""
    stands, found, mended = [], [], []
    for sentence, facts in sentences():
        evidence = numbered(facts)
        for number in range(1, len(facts) + 1):
            claim = check_claims(GRAPH, f"{sentence} [F{number}].", evidence=evidence)[0]
            if number == 1:
                stands.append(claim.verdict == "supported")
            else:
                found.append(claim.verdict == "wrong_citation")
                mended.append(claim.mended == (1,))
    assert len(stands) > 40
    assert sum(stands) / len(stands) >= 0.97
    assert sum(found) / len(found) >= 0.98
    assert sum(mended) / len(mended) >= 0.95


# --- how citations are written --------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[F1]", (1,)),
        ("[F1, F3] and [F2]", (1, 3, 2)),
        ("[F1,3]", (1, 3)),
        ("[F2-F4]", (2, 3, 4)),
        ("[F2–4]", (2, 3, 4)),
        ("[Facts 1 and 2]", (1, 2)),
        ("(facts 1 & 2)", (1, 2)),
        ("(see F7)", (7,)),
        ("[source: F3]", (3,)),
        ("as in fact 4", (4,)),
        ("coded F22 in ICD-10-CM", ()),
        ("in 2 to 4 weeks (3)", ()),
        ("(95 % of 12)", ()),
        ("[F1-F999]", (*range(1, 21), 999)),
        ("[F3, F1]", (3, 1)),
    ],
)
def test_citations_in_many_forms(text: str, found: tuple[int, ...]) -> None:
    assert cited(text) == found


def test_a_number_behind_the_full_stop_belongs_to_the_sentence_before_it() -> None:
    assert " ".join(tied("It spreads. [F1] It grows! [F2] [F3]").split()) == "It spreads [F1]. It grows [F2] [F3]!"
    assert tied("- [F1] It spreads. [F2] It grows.") == "- [F1] It spreads. [F2] It grows."
    assert uncited("It spreads [F1].").split() == ["It", "spreads", "."]
