"""Sentences against the graph and the measurements: a table of verdicts."""

from __future__ import annotations

from pathlib import Path

import pytest

from dermiq.knowledge import Graph, check_claims, score_answer
from dermiq.knowledge.check import check
from dermiq.knowledge.check.claims import Reading, read_sentence
from dermiq.types import Finding

GRAPH = Graph.load()
VERDICTS = {"+": "supported", "!": "contradicted", "?": "not_covered", "~": "another_condition"}


def _finding(code: str, value: float, text: str) -> Finding:
    return Finding(code, code, value, "", text, "")


FINDINGS = (
    _finding("asymmetry", 22.0, "asymmetric about both axes"),
    _finding("border_irregularity", 1.2, "irregular border"),
    _finding("colour_count", 4.0, "four colours"),
    _finding("colour_black", 0.0, "no black areas"),
    _finding("colour_white", 9.0, "white areas (9 %)"),
    _finding("colour_red", 2.0, "hardly any red areas (2 %)"),
    _finding("colour_variegation", 20.0, "strongly varied colour"),
    _finding("elongation", 1.1, "round shape"),
)

TABLE = """
+ An atypical pigment network is typical of melanoma.
+ Milia-like cysts and comedo-like openings speak for seborrheic keratosis.
+ Arborizing vessels are characteristic of BCC.
! Arborizing vessels speak against basal cell carcinoma.
! Melanoma is benign.
+ Melanoma is malignant.
+ It is malignant.
! Dermatofibroma is a malignant tumour.
+ Lacunae are seen in haemangioma.
+ Melanoma can show milia-like cysts.
? Milia-like cysts are the hallmark of melanoma.
? Melanoma typically shows arborizing vessels.
+ A pigment network speaks against basal cell carcinoma.
! A pigment network is typical of basal cell carcinoma.
+ Absence of a pigment network favours BCC.
! Melanoma does not show an atypical pigment network.
! Irregular streaks are not seen in melanoma.
+ Streaks are absent in seborrheic keratosis.
! A blue-white veil is typical of seborrheic keratosis.
+ A blue-white veil favours melanoma over seborrheic keratosis.
+ Unlike melanoma, dermatofibroma shows a central white patch.
+ Melanoma can be confused with a melanocytic nevus.
! Melanoma is never confused with a nevus.
+ Lentigo maligna is a form of melanoma.
~ Bowen's disease can be treated with 5-FU cream.
? Bowen's disease is treated with penicillin.
~ Seborrheic keratosis needs no treatment.
+ Excisional biopsy settles the diagnosis of melanoma.
! Melanoma does not need a biopsy.
~ Suspected BCC is referred routinely.
! Melanoma is referred routinely.
+ Melanoma needs urgent referral within two weeks.
+ Dermatofibroma occurs most often on the legs.
+ Fair skin raises the risk of actinic keratosis.
! Actinic keratosis does not occur on sun-exposed skin.
+ The lesion is asymmetric about both axes with an irregular border.
! The lesion is asymmetric about one axis.
! The lesion is symmetric.
! The border is smooth and regular.
! Black areas are present.
+ There are four colours and no black areas.
! There are only two colours.
? Red areas are present.
+ The asymmetric shape speaks for melanoma.
? The lesion shows arborizing vessels, typical of basal cell carcinoma.
? No ulceration is seen.
? The patient should eat more vegetables.
? Melanoma is pretty.
"""
ROWS = [(line[0], line[2:]) for line in TABLE.strip().splitlines()]


@pytest.mark.parametrize(("mark", "sentence"), ROWS, ids=[sentence for _, sentence in ROWS])
def test_the_verdict(mark: str, sentence: str) -> None:
    (claim,) = check_claims(GRAPH, sentence, findings=FINDINGS, diagnosis="mel")
    assert claim.verdict == VERDICTS[mark], claim.note
    if claim.verdict != "not_covered":
        assert claim.fact_ids or claim.finding_codes


def test_free_sentences_are_judged_with_precision() -> None:
    """Sentences in clinicians' words: what is decided must be right, and most must be decided."""
    lines = (Path(__file__).parent / "sentences.txt").read_text(encoding="utf-8").splitlines()
    rows = [(VERDICTS[line[0]], line[2:]) for line in lines if not line.startswith("#")]
    found = [(wanted, check_claims(GRAPH, text, findings=FINDINGS)[0].verdict, text) for wanted, text in rows]
    for verdict, precision, recall in (("supported", 0.95, 0.80), ("contradicted", 0.92, 0.75)):
        decided = [wanted == verdict for wanted, got, _ in found if got == verdict]
        wished = [got == verdict for wanted, got, _ in found if wanted == verdict]
        wrong = [text for wanted, got, text in found if got == verdict != wanted]
        assert sum(decided) / len(decided) >= precision, wrong
        assert sum(wished) / len(wished) >= recall


def test_free_and_lay_words_are_understood_and_small_edits_are_not_supported() -> None:
    lines = (Path(__file__).parent / "words.txt").read_text(encoding="utf-8").splitlines()
    rows = [(line[0] == "+", line[2:]) for line in lines if not line.startswith("#")]
    found = [(true, text) for true, text in rows if check_claims(GRAPH, text)[0].verdict == "supported"]
    assert [text for true, text in found if not true] == []
    assert len(found) / sum(true for true, _ in rows) >= 0.89


def test_every_fact_supports_its_own_sentence() -> None:
    for fact in GRAPH.all_facts:
        (claim,) = check_claims(GRAPH, f"{fact.text} [F3]")
        assert claim.verdict == "supported", (fact.text, claim.note)
        assert fact.text in {GRAPH.fact(key).text for key in claim.fact_ids}


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("In the Derm7pt atlas, 60 % of melanomas showed irregular streaks, 2.4 times the average.", "supported"),
        ("In the Derm7pt atlas, 16 % of melanomas showed irregular streaks, 2.4 times the average.", "contradicted"),
        ("Irregular streaks are found in 90 % of melanomas.", "not_covered"),
    ],
)
def test_a_number_must_be_right(text: str, verdict: str) -> None:
    (claim,) = check_claims(GRAPH, text)
    assert claim.verdict == verdict


@pytest.mark.parametrize(
    ("code", "value", "text", "opposite"),
    [
        ("asymmetry", 3.0, "symmetric", "asymmetric about both axes"),
        ("asymmetry", 12.0, "asymmetric about one axis", "asymmetric about both axes"),
        ("border_irregularity", 1.2, "irregular border", "smooth border"),
        ("border_irregularity", 1.0, "smooth border", "irregular border"),
        ("colour_count", 2.0, "two colours", "four colours"),
        ("colour_black", 0.0, "no black areas", "black areas (9 %)"),
        ("colour_blue_gray", 9.0, "blue-gray areas (9 %)", "no blue-gray areas"),
        ("colour_variegation", 5.0, "even colour", "strongly varied colour"),
        ("elongation", 2.0, "elongated shape", "round shape"),
    ],
)
def test_a_finding_supports_its_own_words_and_no_others(code: str, value: float, text: str, opposite: str) -> None:
    measured = (_finding(code, value, text),)
    for said, verdict in ((text, "supported"), (opposite, "contradicted")):
        for sentence in ("The lesion has {said}.", "No hairs, {said}.", "Measured: {said}."):
            (claim,) = check_claims(GRAPH, sentence.format(said=said), findings=measured, diagnosis="nv")
            assert (claim.verdict, claim.finding_codes) == (verdict, (code,)), claim.text


def test_nothing_measured_means_nothing_judged() -> None:
    (claim,) = check_claims(GRAPH, "The lesion is symmetric.")
    assert claim.verdict == "not_covered"


def test_a_reasoning_block_is_read_sentence_by_sentence() -> None:
    text = (
        "<think>\n1. Findings: asymmetric about both axes, four colours.\n2. Differential: melanoma or nevus.\n"
        "3. Knowledge: irregular streaks speak for melanoma [F1].\n4. Conclusion: melanoma.\n</think>\n"
        "<answer>melanoma</answer>\nThe border is smooth. Melanoma is benign."
    )
    claims = check_claims(GRAPH, text, findings=FINDINGS)
    verdicts = [claim.verdict for claim in claims]
    assert verdicts[0] == "supported"
    assert verdicts[2] == "supported"
    assert verdicts[-2:] == ["contradicted", "contradicted"]


@pytest.mark.parametrize(
    ("text", "diagnosis", "accuracy", "relevant", "complete"),
    [
        ("Melanoma is malignant. An atypical pigment network is typical of melanoma.", "mel", 1.0, True, True),
        ("Melanoma is malignant. Melanoma is benign.", "mel", 0.5, True, True),
        ("The weather is fine.", "mel", None, False, True),
        ("Melanoma is malignant.", None, 1.0, False, False),
    ],
)
def test_scores_are_none_where_nothing_can_be_judged(
    text: str, diagnosis: str | None, accuracy: float | None, relevant: bool, complete: bool
) -> None:
    scores = score_answer(GRAPH, check_claims(GRAPH, text, diagnosis=diagnosis), diagnosis=diagnosis)
    assert scores.accuracy == accuracy
    assert (scores.relevance is not None) == relevant
    assert (scores.completeness is not None) == complete


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("Fever is rare in impetigo.", "supported"),
        ("Impetigo can cause fever.", "supported"),
        ("Fever is a typical symptom of impetigo.", "contradicted"),
        ("A biopsy is rarely needed in psoriasis.", "supported"),
        ("Tinea pedis can lead to cellulitis.", "supported"),
        ("Phototherapy raises the risk of basal cell carcinoma.", "supported"),
        ("Psoriasis is treated with phototherapy.", "supported"),
        ("Melanoma is coded C43 in ICD-10-CM.", "supported"),
        ("The ICD-10-CM code of melanoma is L63.", "contradicted"),
        ("Dermatologists rate acne as a condition of high risk.", "contradicted"),
        ("The lymph nodes are often enlarged in tinea capitis.", "supported"),
        ("Melanoma always itches.", "not_covered"),
        ("Melanoma is usually treated with topical imiquimod.", "not_covered"),
        ("Rosacea spares the skin around the eyes.", "supported"),
        ("There is no role for wide excision in melanoma.", "contradicted"),
        ("Topical retinoids for acne are safe in pregnancy.", "contradicted"),
    ],
)
def test_how_often_in_which_role_and_in_other_words(text: str, verdict: str) -> None:
    assert check_claims(GRAPH, text)[0].verdict == verdict


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("Seborrheic keratosis is caused by milia-like cysts.", "not_covered"),
        ("Arborizing vessels turn into basal cell carcinoma.", "not_covered"),
        ("Arborizing vessels rule out basal cell carcinoma.", "contradicted"),
        ("Permethrin is a risk factor for scabies.", "not_covered"),
        ("Scabies is cured by itching.", "not_covered"),
        ("Cryotherapy causes actinic keratosis.", "not_covered"),
        ("Cryotherapy is useless in actinic keratosis.", "contradicted"),
        ("Cryotherapy is not useless in actinic keratosis.", "supported"),
        ("Avoid cryotherapy in actinic keratosis.", "contradicted"),
        ("Topical retinoids worsen acne.", "contradicted"),
        ("A biopsy is useless in melanoma.", "contradicted"),
        ("Sun exposure lowers the risk of actinic keratosis.", "contradicted"),
        ("Sun exposure protects against melanoma.", "contradicted"),
        ("Sunlight can cause actinic keratosis.", "supported"),
        ("Melanoma causes fair skin.", "not_covered"),
        ("The legs cause dermatofibroma.", "not_covered"),
        ("A blue-white veil increases the risk of melanoma.", "not_covered"),
        ("Melanoma without a blue-white veil has a good prognosis.", "not_covered"),
        ("Psoriasis never has silvery scale.", "contradicted"),
        ("Dermoscopy of pyogenic granuloma is treated by curettage and cautery.", "not_covered"),
    ],
)
def test_two_known_names_are_not_enough(text: str, verdict: str) -> None:
    assert check_claims(GRAPH, text)[0].verdict == verdict


@pytest.mark.parametrize(
    "text",
    [
        "Psoriasis has silvery scale and is caused by a bacterium.",
        "Scabies itches intensely because the mites drink blood.",
        "Rosacea affects the face and the kidneys.",
        "Tinea pedis affects the toes, where it destroys the bone.",
        "Alopecia areata shows exclamation mark hairs after chemotherapy.",
        "Dermatofibroma is a benign tumour that spreads from chronic infection of the blood.",
    ],
)
def test_what_goes_beyond_the_facts_is_not_supported(text: str) -> None:
    assert check_claims(GRAPH, text)[0].verdict == "not_covered"


@pytest.mark.parametrize(
    "text",
    [
        "Having a parent with melanoma raises the risk of melanoma.",
        "Itching from scabies is intense.",
        "The lesions of lichen planus are flat-topped papules.",
        "Lichen planus with scarring hair loss needs urgent referral.",
    ],
)
def test_less_or_in_other_places_is_still_supported(text: str) -> None:
    assert check_claims(GRAPH, text)[0].verdict == "supported"


@pytest.mark.parametrize(
    ("text", "diagnosis", "verdict"),
    [
        ("Cherry angiomas are non-malignant.", None, "supported"),
        ("Contact dermatitis is non-infectious.", None, "supported"),
        ("The test is painless and does not involve any surgery.", "congenital melanocytic nevus", "not_covered"),
        ("Rosacea is a common skin condition with red lesions on the face, neck, and chest.", None, "not_covered"),
        ("The majority of dermatofibromas are harmless, but some can be cancerous.", None, "not_covered"),
        ("It is an aggressive form of skin cancer that can spread to other parts of the body.", "bkl", "not_covered"),
        ("It is primarily composed of cryotherapy.", "cherry angioma", "not_covered"),
        ("A shingles jab protects older people.", None, "not_covered"),
        ("Picking at spots makes acne scar.", None, "not_covered"),
        ("There are no blackheads in rosacea.", None, "supported"),
        ("Psoriasis runs in families.", None, "supported"),
        ("The Christmas tree pattern on the back is typical of pityriasis rosea.", None, "supported"),
    ],
)
def test_what_language_models_and_lay_people_write(text: str, diagnosis: str | None, verdict: str) -> None:
    """The first seven are of the kind that an untrained language model wrote."""
    assert check_claims(GRAPH, text, diagnosis=diagnosis)[0].verdict == verdict


def test_an_endless_sentence_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def counted(graph: Graph, sentence: str, *, topic: str | None) -> Reading:
        read.append(sentence)
        return read_sentence(graph, sentence, topic=topic)

    monkeypatch.setattr(check, "read_sentence", counted)
    endless = "melanoma with itch and psoriasis of the scalp and " * 40
    assert [claim.verdict for claim in check_claims(GRAPH, endless)] == ["not_covered"]
    assert not read
    claims = check_claims(GRAPH, f"Melanoma is benign; {endless}; it is malignant.")
    assert [claim.verdict for claim in claims] == ["contradicted", "not_covered", "supported"]
    assert len(read) == 2
