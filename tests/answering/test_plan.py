"""What a good answer speaks of, for each of the sixteen intents, on made cases."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from dermiq.answering import plan
from dermiq.answering.choose import flat
from dermiq.answering.plan import KINDS
from dermiq.knowledge import check_claims
from dermiq.knowledge.retrieve.intents import INTENTS
from tests.answering.made import CASES, asked, finding, graph, known, numbers, planned, told

NAMES = {"mel": "melanoma", "nv": "melanocytic nevus", "bcc": "basal cell carcinoma"}
SAYS = [  # case, intent, what it names, what the answer must say, what it must not say
    ("mel", "why", (), "In favour of melanoma: colours unevenly placed, 4.6 times", "smooth"),
    ("mel", "why", (), "The next candidate is melanocytic nevus (language model 21 %, specialist 30 %)", ""),
    ("nv", "why", (), "In favour of melanocytic nevus: smooth border, 1.9 times", "irregular"),
    ("bcc", "why", (), "The next candidate is benign keratosis", "nevus"),
    ("mel", "why_not", ("nv",), "Against melanocytic nevus: colours unevenly placed, 0.24 times", ""),
    ("mel", "why_not", ("nv",), "A common mole is round, well demarcated and of a single shade", ""),
    ("nv", "why_not", ("mel",), "Against melanoma: colours evenly placed, 0.06 times", ""),
    ("nv", "why_not", ("nv",), "is what the readers put first", "stands behind"),
    ("nv", "why_not", ("bkl",), "Benign keratosis (language model 8 %, specialist 5 %) stands behind", ""),
    ("mel", "why_not", ("bkl",), "A seborrheic keratosis is uniform, warty and stuck on", ""),
    ("mel", "why_not", ("psoriasis",), "none of the seven classes", "%"),
    ("mel", "against", (), "Against melanoma: round shape, 0.60 times", ""),
    ("bcc", "against", (), "No measured finding speaks clearly against basal cell carcinoma", ""),
    ("mel", "change_of_mind", (), "This would turn the reading to melanocytic nevus", ""),
    ("mel", "change_of_mind", (), "Growth, change and bleeding were not told", ""),
    ("mel", "settle", (), "excising it whole with a 2 mm margin", "sentinel"),
    ("nv", "settle", (), "Moles are diagnosed by physical examination", ""),
    ("mel", "biopsy", (), "never shaved", "shave excision"),
    ("nv", "biopsy", (), "Where melanoma is possible, a melanocytic nevus should be removed whole", "for looks"),
    (
        "doubtful nv",
        "biopsy",
        (),
        "Melanoma is possible (language model 25 %, specialist 30 %): so tissue is taken",
        "for looks",
    ),
    ("mel", "urgency", (), "Yes, by the rule it is urgent", "not urgent"),
    ("nv", "urgency", (), "No rule asks for an urgent referral", "Yes"),
    ("bcc", "urgency", (), "referral is routine", "Yes"),
    ("mel", "treatment", (), "Operable melanoma is treated by wide surgical excision", "nevus"),
    ("mel", "treatment", ("nv",), "This lesion was read as melanoma, not as melanocytic nevus", "once that"),
    (
        "doubtful nv",
        "treatment",
        (),
        "Nothing is treated before tissue has decided: melanoma is possible",
        "shave excision",
    ),
    ("bcc", "treatment", (), "surgical excision is the treatment of choice", "melanoma"),
    ("mel", "prognosis", (), "caught while thin it can be cured", "Treatment"),
    ("mel", "prognosis", (), "figures are those of groups, not of this patient", ""),
    ("nv", "prognosis", (), "A melanocytic nevus is benign", "photograph"),
    ("mel", "risk_factors", (), "Risk factors of melanoma include ultraviolet exposure", "excis"),
    ("mel", "risk_factors", (), "Of this patient is known: age 62, male, back and skin type 2", ""),
    ("bcc", "dermoscopy", (), "Dermoscopy of basal cell carcinoma", "excis"),
    ("bcc", "dermoscopy", (), "No dermoscopic structure was looked for", ""),
    ("mel", "plain_words", (), "Their first guess is melanoma, a skin cancer", "dermoscop"),
    ("nv", "plain_words", (), "an ordinary mole", "has to be ruled out"),
    ("nv", "plain_words", (), "A mole is a small cluster of pigment cells", ""),
    ("nv", "treatment", (), "Benign moles need no treatment", "screening"),
    ("doubtful nv", "plain_words", (), "that has to be ruled out", ""),
    ("mel", "compare", ("mel", "nv"), "A common mole is round, well demarcated and of a single shade", ""),
    ("mel", "compare", ("mel", "nv"), "this fits melanoma better: colours unevenly placed, 19 times", ""),
    ("mel", "monitor", (), "every 3 to 6 months", "checklist"),
    ("nv", "monitor", (), "imaged again after about three months", ""),
    ("doubtful nv", "monitor", (), "Watching alone is not enough here: melanoma is possible", ""),
    ("mel", "what_is", ("dermatofibroma",), "Dermatofibroma is benign", "melanoma is malignant"),
    ("mel", "other", (), "The sources at hand do not answer this. You can ask", ""),
]


@pytest.mark.parametrize(("case", "intent", "names", "says", "never"), SAYS)
def test_an_intent_is_answered(case: str, intent: str, names: tuple[str, ...], says: str, never: str) -> None:
    question = "zzz" if intent == "other" else ""
    text = told(intent, *names, case=case, question=question)
    assert says in text
    assert not never or never.lower() not in text.lower()


def test_every_intent_that_is_understood_has_an_answer() -> None:
    assert set(KINDS) == {*INTENTS, "trust"}, "the last is known by its words alone"
    assert {intent for _, intent, *_ in SAYS} == set(INTENTS)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("intent", KINDS)
def test_every_fact_is_cited_and_nothing_is_contradicted(intent: str, case: str) -> None:
    made = planned(intent, case=case)
    text = told(intent, case=case)
    cited = {int(number) for number in re.findall(r"\[F(\d+)\]", text)}
    assert cited == set(numbers(made).values())
    lead = known(case).lead.id
    claims = check_claims(graph(), text, findings=known(case).findings, diagnosis=lead)
    assert [one.text for one in claims if one.verdict == "contradicted"] == []


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("intent", KINDS)
def test_what_is_asked_again_is_not_said_again(intent: str, case: str) -> None:
    first = told(intent, case=case)
    second = told(intent, case=case, earlier=(first,))
    before = {flat(line) for line in _lines(first) if line.endswith(".")}
    assert not before & {flat(line) for line in _lines(second)}


def _lines(text: str) -> list[str]:
    return [line for line in re.split(r"(?<=\.)\s+|\n+", text.replace("- ", "")) if line]


def test_what_was_quoted_is_pointed_to_in_a_few_words() -> None:
    first = told("biopsy")
    second = told("biopsy", earlier=(first,))
    third = told("biopsy", earlier=(first, second))
    assert "What is not done, as said above: no shave biopsy" in third
    assert "never be used" not in third


def test_no_stock_sentence_stands_in_every_answer() -> None:
    texts = [{flat(line) for line in told(intent).splitlines() if line and "[F" not in line} for intent in KINDS]
    assert [line for line in set().union(*texts) if sum(line in text for text in texts) > 2] == []


def test_reasons_come_by_weight_not_by_habit() -> None:
    text = told("why")
    assert text.index("colours unevenly placed") < text.index("strongly varied colour") < text.index("irregular border")
    assert "asymmetric" not in text.split("The next candidate")[0], "the fourth reason is left out"


def test_a_finding_of_the_photograph_is_no_reason() -> None:
    size = finding("relative_size", "covers 60 % of the frame", mel=5.0)
    made = plan(graph(), asked("why"), replace(known("mel"), findings=(size,)))
    assert "frame" not in " ".join(point.text for point in made.points)


def test_a_ratio_that_the_graphs_facts_contradict_is_no_reason() -> None:
    assert "even colour" not in told("against", case="nv"), "moles are known for one shade of brown"


def test_a_little_of_a_colour_is_said_so() -> None:
    black = finding("colour_black", "hardly any black areas (4 %)", mel=2.3)
    made = plan(graph(), asked("why"), replace(known("mel"), findings=(black,)))
    assert "a little black (4 %), 2.3 times" in " ".join(point.text for point in made.points)


def test_a_site_that_no_fact_speaks_of_is_said() -> None:
    text = told("treatment", case="mel", question="How is it treated, if it were on the knee?", site="knee")
    assert "no fact on the treatment of melanoma that is of this site alone (knee)" in text


def test_what_weighs_most_is_why_it_was_read_so() -> None:
    assert "In favour of melanoma" in told("against", question="Which finding weighs most?")


def test_where_the_graph_holds_nothing_it_says_so() -> None:
    empty = next(node for node in graph().nodes if node.kind == "Disease" and node.tier == 2 and not _treated(node.id))
    text = told("treatment", empty.name)
    assert f"no fact on the treatment of {empty.name}" in text


def _treated(node: str) -> bool:
    return any(fact.relation == "treated_by" for key in graph().family(node) for fact in graph().facts(key)) or any(
        fact.relation == "treated_by" for key in graph().ancestors(node) for fact in graph().facts(key)
    )


def test_what_is_out_of_scope_is_refused_with_what_can_be_asked() -> None:
    from dermiq.knowledge.retrieve.understand import understand

    out = understand(graph(), "What is the capital of France?", differential=["mel"])
    made = plan(graph(), out, known("mel"))
    assert made.refuses
    assert not made.facts
    assert "You can ask" in made.points[0].text


def test_few_words_are_few() -> None:
    whole, brief = (told("plain_words", question=text) for text in ("Explain it to him?", "In two sentences, please?"))
    assert len(brief.split()) < len(whole.split())
    assert "Their first guess is melanoma, a skin cancer" in brief
    assert "A skin specialist should see it within two weeks" in brief


def test_of_a_form_its_own_signs_stand_beside_what_is_written_of_the_wider_condition() -> None:
    text = told("compare", "amelanotic melanoma", "df", case="mel", question="amelanotic melanoma or dermatofibroma?")
    assert "Of amelanotic melanoma" in text


def test_a_rare_word_of_the_question_brings_its_fact() -> None:
    fact = next(one for one in graph().all_facts if "liver disease" in one.text and "spider" in one.text)
    said = asked("risk_factors", "vasc", question="Don't these dots mean my liver's packing up?")
    made = plan(graph(), said, replace(known("mel"), found=(fact,)))
    assert fact in made.facts
