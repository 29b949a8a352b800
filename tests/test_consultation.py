"""The main path with the shipped specialist and graph and a tiny random model: events, memory, isolation."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dermiq.answering.judge import statements
from dermiq.consultant import LocalConsultant, written
from dermiq.consultation import (
    Readers,
    assess,
    blanked,
    compare_images,
    open_thread,
    renumbered,
    text_of,
    vlm_differential,
)
from dermiq.errors import InputError, ModelError
from dermiq.knowledge import Graph
from dermiq.lesion.drawn import drawn_examples
from dermiq.places import WEIGHTS
from dermiq.settings import Settings
from dermiq.specialist import Specialist
from dermiq.types import (
    CLASSES,
    Answer,
    AnswerDone,
    Case,
    Claim,
    ClaimsChecked,
    DifferentialRead,
    EvidenceFound,
    ImagesRead,
    Lesion,
    PatientContext,
    QuestionUnderstood,
    TextDelta,
    TextSettled,
    Turn,
)
from dermiq.vlm.load import VLM
from dermiq.vlm.session import Session
from tests.tiny import tiny


@pytest.fixture(scope="module")
def readers() -> Readers:
    model, processor = tiny("llava")
    vlm = VLM(model, processor, name="tiny", revision="0")
    return Readers(Specialist.load(), vlm, Graph.load(), max_images=1)


@pytest.fixture
def consultant(readers: Readers) -> LocalConsultant:
    made = LocalConsultant(Settings())
    made._readers = readers
    made._loaded.set()
    return made


@pytest.fixture(scope="module")
def lesions() -> tuple[Lesion, ...]:
    return tuple(Lesion(pixels) for _, pixels in drawn_examples())


def run(case: Case, readers: Readers, **options: Any) -> list[Any]:
    return list(assess(case, readers, thread=options.get("thread"), stop=options.get("stop", threading.Event())))


def test_events_come_in_the_agreed_order(readers: Readers, lesions: tuple[Lesion, ...]) -> None:
    events = run(Case(lesions[:1], PatientContext(age=60, site="back")), readers)
    kinds = [type(event) for event in events if not isinstance(event, TextDelta)]
    assert kinds == [
        ImagesRead,
        QuestionUnderstood,
        DifferentialRead,
        EvidenceFound,
        TextSettled,
        ClaimsChecked,
        AnswerDone,
    ]
    answer = events[-1].answer
    settled = next(event for event in events if isinstance(event, TextSettled))
    written = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert answer.text == settled.text
    assert answer.own == settled.own
    assert settled.own is not None
    kept = answer.text.removesuffix(settled.own.text).strip()
    assert written.strip() in (kept, f"{kept}\n{settled.own.replaced}".strip(), settled.own.replaced)
    assert {check.code for check in answer.checks} >= {"readers_agree", "reasoning_matches_answer", "findings_match"}
    for differential in answer.differentials:
        assert sum(c.probability for c in differential.candidates) == pytest.approx(1)
        assert {c.diagnosis.code for c in differential.candidates} == set(CLASSES)


def test_reasoning_goes_on_from_what_was_measured_and_the_models_own_order(
    readers: Readers, lesions: tuple[Lesion, ...]
) -> None:
    events = run(Case(lesions[:1]), readers)
    begun = next(event.text for event in events if isinstance(event, TextDelta))
    own = next(event.differential for event in events if isinstance(event, DifferentialRead))
    assert begun.startswith("<think>\n1. Findings: Measured on the image: ")
    places = [begun.index(f"{one.diagnosis.name} (") for one in own.candidates[:3]]
    assert places == sorted(places)
    assert begun.endswith("3. Knowledge:")


def test_follow_up_goes_on_without_reading_the_image_again(
    readers: Readers, lesions: tuple[Lesion, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dermiq.consultation.MAX_NEW_TOKENS", 40)  # two answers fit into what the tiny model reads
    case = Case(lesions[:1])
    thread = open_thread(case, readers)
    first = run(case, readers, thread=thread)[-1].answer
    cold = thread.session.last_stats
    again = replace(
        case, question="Is it urgent?", history=(Turn("user", case.question), Turn("assistant", first.text))
    )
    second = run(again, readers, thread=thread)[-1].answer
    stats = thread.session.last_stats
    assert cold is not None
    assert stats is not None
    assert stats.reused_tokens >= cold.prompt_tokens - 1  # the image and the whole first question
    assert [item.number for item in second.evidence.items] == list(range(1, len(second.evidence.items) + 1))
    assert len(second.evidence.items) > len(first.evidence.items)
    assert [message["role"] for message in thread.messages] == ["system", "user", "assistant", "user", "assistant"]


def test_numbers_and_conditions_of_a_text_are_judged_by_the_case(
    readers: Readers, lesions: tuple[Lesion, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tiny model writes nothing that could be cited: its session says what a real one might."""
    case = Case(lesions[:1])
    thread = open_thread(case, readers)
    first = run(case, readers, thread=thread)[-1].answer
    known = next(item for item in first.evidence.items if item.fact.relation.startswith("has_"))
    said = f"{known.fact.text} [F99] Tinea corporis is confirmed by microscopy of skin scrapings."
    monkeypatch.setattr(thread.session, "stream", lambda *args, **options: iter([said]))
    monkeypatch.setattr("dermiq.consultation.further_drafts", lambda *args: [])
    again = replace(case, question="Why?", history=(Turn("user", case.question), Turn("assistant", first.text)))
    answer = run(again, readers, thread=thread)[-1].answer
    assert answer.own.replaced == said, "it does not say why"
    one, two = answer.own.replaced_claims
    facts = {item.number: item.fact.text for item in thread.evidence.items}
    assert (one.verdict, one.miscited, facts[one.mended[0]]) == ("wrong_citation", (99,), known.fact.text)
    assert two.verdict == "another_condition"


def test_a_retried_question_replaces_its_first_attempt(readers: Readers, lesions: tuple[Lesion, ...]) -> None:
    case = Case(lesions[:1])
    thread = open_thread(case, readers)
    first = run(case, readers, thread=thread)[-1].answer
    again = replace(case, question="Why?", history=(Turn("user", case.question), Turn("assistant", first.text)))
    before = run(again, readers, thread=thread)[-1].answer
    after = run(again, readers, thread=thread)[-1].answer
    assert after.evidence == before.evidence
    assert len(thread.messages) == 5
    run(case, readers, thread=thread)
    assert len(thread.messages) == 3


class Says:
    """A session that says what it is told to, and gives melanoma the highest likelihood."""

    def __init__(self, real: Session, *texts: str) -> None:
        self.vlm, self.images, self.last_stats = real.vlm, real.images, None
        self.texts, self.asked = list(texts), 0
        self.most, self.lengths = 1000, list[int]()  # messages that the model can read, and how many it was to read
        self.further = "The sources at hand"  # how the sentence begins that it would say

    def score(self, messages: Any, candidates: dict[str, str], *, prefill: str = "") -> dict[str, float]:
        order = ("mel", "nv", "bkl", "bcc", "akiec", "df", "vasc")
        if "mel" in candidates:
            return {code: -2.0 * order.index(code) for code in candidates}
        return {one: 0.0 if self.further in one else -9.0 for one in candidates}  # sentences of a guided draft

    def read(self, messages: Any) -> None:
        """Nothing is read ahead."""

    def room(self, messages: Any) -> int:
        self.lengths.append(len(messages))
        return 1000 if len(messages) <= self.most else -1

    def ending(self, messages: Any, *, prefill: str) -> float:
        return 1.0

    def stream(self, messages: Any, **_: Any) -> Iterator[str]:
        self.asked += 1
        self.heard = list(messages)
        yield from self.texts.pop(0).splitlines(keepends=True)


FIRST = (
    " The lesion is measured.\n2. Differential: Melanoma leads.\n3. Knowledge: none.\n4. Conclusion: Melanoma.\n"
    "</think>\n<answer>melanoma</answer>\nMelanoma cannot be excluded."
)
TREATED = (
    "Operable melanoma is treated by wide surgical excision. "
    "Melanoma up to 1 mm thick is excised with a margin of 1 cm."
)


def conversation(
    readers: Readers, lesions: tuple[Lesion, ...], questions: Sequence[str], texts: Sequence[str]
) -> tuple[list[Answer], Says]:
    """One case asked one question after another; the model says these texts."""
    case = Case(lesions[:1])
    thread = open_thread(case, readers)
    session = Says(thread.session, *texts)
    thread.session = session  # type: ignore[assignment]
    answers: list[Answer] = []
    for question in questions:
        past = [turn for q, a in zip(questions, answers, strict=False) for turn in (Turn("user", q), _said(a))]
        events = run(replace(case, question=question, history=tuple(past)), readers, thread=thread)
        answers.append(events[-1].answer)
    return answers, session


def _said(answer: Answer) -> Turn:
    return Turn("assistant", answer.text)


def test_a_bad_first_explanation_gives_way_to_reasons_by_weight(readers: Readers, lesions: tuple[Lesion, ...]) -> None:
    (answer,), _ = conversation(readers, lesions, ["What is this lesion, and why?"], [FIRST])
    assert answer.own is not None
    assert answer.own.replaced == "Melanoma cannot be excluded."
    assert "names melanoma as the alternative to itself" in answer.own.why
    assert "<answer>melanoma</answer>" in answer.text
    assert "Melanoma is put first" in answer.own.text
    assert "The next candidate is melanocytic nevus" in answer.own.text


@pytest.mark.parametrize(
    ("question", "text", "why"),
    [
        ("Is it urgent?", "The lesion is looked at.", "did not answer"),
        ("Is it urgent?", "The whole lesion was looked at twice.", "repeated what was said before"),
        ("Is it urgent?", "Melanoma is benign.", "contradicted"),
        ("Is it urgent?", "Dermatofibroma is benign.", "another condition"),
        ("Is it urgent?", "Ipilimumab is an option for metastatic melanoma [F99].", "cites facts that say"),
    ],
)
def test_a_bad_follow_up_is_replaced(
    readers: Readers,
    lesions: tuple[Lesion, ...],
    question: str,
    text: str,
    why: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dermiq.consultation.further_drafts", lambda *args: [])
    first = FIRST.replace("3. Knowledge: none.", "3. Knowledge: The whole lesion was looked at twice.")
    (_, answer), _ = conversation(readers, lesions, ["What is it?", question], [first, text])
    assert answer.own is not None
    assert why in answer.own.why
    assert answer.own.replaced == text
    assert "NG12" in answer.text
    assert text not in answer.text
    assert [check.passed for check in answer.checks if check.code == "answers_question"] == [False]


def test_of_several_drafts_the_one_that_answers_is_shown(readers: Readers, lesions: tuple[Lesion, ...]) -> None:
    """Where what the model wrote itself is wrong, it chooses among the sentences that were given."""
    thread = open_thread(Case(lesions[:1]), readers)
    session = Says(thread.session, FIRST, "Melanoma is benign.")
    session.further = "No NG12 rule"
    thread.session = session  # type: ignore[assignment]
    first = run(Case(lesions[:1], question="What is it?"), readers, thread=thread)[-1].answer
    past = (Turn("user", "What is it?"), Turn("assistant", first.text))
    events = run(Case(lesions[:1], question="Is it urgent?", history=past), readers, thread=thread)
    settled = next(event for event in events if isinstance(event, TextSettled))
    assert settled.own is None or not settled.own.replaced, "its choice stays"
    kept = settled.own.beside(settled.text) if settled.own else settled.text
    assert "No NG12 rule asks for referral" in kept
    assert "benign" not in kept
    assert settled.text == events[-1].answer.text
    assert text_of(thread.messages[-1]) == settled.text, "what is shown is what the model reads later"


def test_a_good_follow_up_stays(readers: Readers, lesions: tuple[Lesion, ...]) -> None:
    calm = "No rule asks for an urgent referral."
    (_, answer), _ = conversation(readers, lesions, ["What is it?", "Is it urgent?"], [FIRST, calm])
    assert answer.own is None
    assert answer.text == calm


def test_what_is_written_for_a_question_stands_before_the_models_text(
    readers: Readers, lesions: tuple[Lesion, ...]
) -> None:
    (_, answer), _ = conversation(readers, lesions, ["What is it?", "How is it treated?"], [FIRST, TREATED])
    assert answer.own is not None
    assert "Operable melanoma is treated by wide surgical excision" in answer.own.text
    assert answer.text.startswith(answer.own.text)


def test_what_a_question_means_can_be_said(readers: Readers, lesions: tuple[Lesion, ...]) -> None:
    """By the visitor, who was not understood: also where it was taken for something that is not about the skin."""
    thread = open_thread(Case(lesions[:1]), readers)
    thread.session = Says(thread.session, FIRST, TREATED)  # type: ignore[assignment]
    first = run(Case(lesions[:1], question="What is it?"), readers, thread=thread)[-1].answer
    past = (Turn("user", "What is it?"), Turn("assistant", first.text))
    meant = Case(lesions[:1], question="What is the capital of France?", history=past, intent="treatment")
    events = run(meant, readers, thread=thread)
    assert next(event.intent for event in events if isinstance(event, QuestionUnderstood)) == "treatment"
    answer = events[-1].answer
    assert answer.intent == "treatment"
    assert any("surgical excision" in point for point in answer.points)


def test_a_question_out_of_scope_is_refused_without_the_model(readers: Readers, lesions: tuple[Lesion, ...]) -> None:
    asked = ["What is it?", "What is the capital of France?", "How is it treated?"]
    answers, session = conversation(readers, lesions, asked, [FIRST, TREATED])
    assert session.asked == 2
    refused = answers[1]
    assert "You can ask" in refused.text
    assert refused.own is not None
    assert not refused.claims
    assert "surgical excision" in answers[2].text


def test_a_first_question_out_of_scope_asks_nothing_of_the_model(readers: Readers, lesions: tuple[Lesion, ...]) -> None:
    asked = ["What is the capital of France?", "What is this lesion, and why?", "How is it treated?"]
    answers, session = conversation(readers, lesions, asked, [FIRST, TREATED])
    assert session.asked == 2
    assert len(answers[0].differentials) == 1, "the language model was not asked"
    assert answers[1].parsed.answer_code == "mel"
    assert "surgical excision" in answers[2].text


def test_what_was_shown_is_what_the_model_reads_later(readers: Readers, lesions: tuple[Lesion, ...]) -> None:
    case = Case(lesions[:1])
    thread = open_thread(case, readers)
    thread.session = Says(thread.session, FIRST, "No.")  # type: ignore[assignment]
    first = run(replace(case, question="What is it?"), readers, thread=thread)[-1].answer
    past = (Turn("user", "What is it?"), Turn("assistant", first.text))
    second = run(replace(case, question="Is it urgent?", history=past), readers, thread=thread)[-1].answer
    assert [text_of(message) for message in thread.messages if message["role"] == "assistant"] == [
        first.text,
        second.text,
    ]


def test_facts_keep_their_numbers_over_the_turns(readers: Readers, lesions: tuple[Lesion, ...]) -> None:
    asked = ["What is it?", "How is it treated?", "What would settle it?", "How is it treated?"]
    answers, _ = conversation(readers, lesions, asked, [FIRST, "No.", "No.", "No."])
    items = answers[-1].evidence.items
    assert [item.number for item in items] == list(range(1, len(items) + 1))
    assert len({item.fact.id for item in items}) == len(items), "no fact has two numbers"


def test_claims_are_sentences_without_headings() -> None:
    said = ("Findings: It is symmetric.", "melanoma", "Knowledge:", "4. Conclusion: This fits a nevus.", "Likely.")
    claims = statements([Claim(text, "not_covered") for text in said], "melanoma")
    assert [claim.text for claim in claims] == ["It is symmetric.", "This fits a nevus.", "Likely."]


def test_closing_the_stream_keeps_turns_alternating(readers: Readers, lesions: tuple[Lesion, ...]) -> None:
    case = Case(lesions[:1])
    thread = open_thread(case, readers)
    stream = assess(case, readers, thread=thread, stop=threading.Event())
    for event in stream:
        if isinstance(event, TextDelta) and event.text:
            break
    stream.close()
    assert thread.messages[-1]["role"] == "assistant"


def test_stop_says_that_the_text_is_cut(readers: Readers, lesions: tuple[Lesion, ...]) -> None:
    stop = threading.Event()
    stop.set()
    assert run(Case(lesions[:1]), readers, stop=stop)[-1].answer.stopped


def test_several_images_are_one_case(readers: Readers, lesions: tuple[Lesion, ...]) -> None:
    events = run(Case((lesions[0], replace(lesions[1], taken="now"))), readers)
    read = events[0]
    assert len(read.readings) == 2
    assert sum(c.probability for c in read.differential.candidates) == pytest.approx(1)
    assert read.notes[0].startswith("Image 2 (now): ")
    assert "(image 1: " in read.notes[0]


def test_same_image_twice_has_no_differences(readers: Readers, lesions: tuple[Lesion, ...]) -> None:
    reading = readers.specialist.read(lesions[0])
    notes = compare_images((lesions[0], lesions[0]), (reading, reading))
    assert notes == ("Image 2: no measured difference from image 1.",)


def test_votes_are_counted(readers: Readers, lesions: tuple[Lesion, ...]) -> None:
    answer = run(Case(lesions[:1]), replace(readers, votes=2))[-1].answer
    assert answer.checks[-1].code == "votes_agree"


def test_blanking_the_image_is_asked_for_real(readers: Readers, lesions: tuple[Lesion, ...]) -> None:
    case = Case(lesions[1:2])
    vlm = vlm_differential(open_thread(case, readers).session, case, readers)
    check = blanked(case, readers, vlm)
    assert check.code == "image_matters"
    assert check.passed in (True, False)
    assert "with the image blanked" in check.message


def test_two_visitors_never_share_a_thread(consultant: LocalConsultant, lesions: tuple[Lesion, ...]) -> None:
    cases = {"a": Case(lesions[:1]), "b": Case(lesions[1:2])}
    for visitor, case in cases.items():
        list(consultant.assess(case, stop=threading.Event(), session_id=visitor))
    threads = consultant._threads
    assert threads["a"].lesions[0] is lesions[0]
    assert threads["b"].lesions[0] is lesions[1]
    consultant.forget("a")
    assert list(threads) == ["b"]


def test_new_case_of_one_visitor_starts_anew(consultant: LocalConsultant, lesions: tuple[Lesion, ...]) -> None:
    list(consultant.assess(Case(lesions[:1]), stop=threading.Event(), session_id="a"))
    before = consultant._threads["a"]
    list(consultant.assess(Case(lesions[:1]), stop=threading.Event(), session_id="a"))
    assert consultant._threads["a"] is not before  # no history: the same image, asked afresh


def test_a_case_without_images_is_refused(consultant: LocalConsultant) -> None:
    with pytest.raises(InputError, match="upload at least one"):
        consultant.assess(Case(()), stop=threading.Event(), session_id="a")


def test_loading_failure_is_a_sentence_for_the_page() -> None:
    consultant = LocalConsultant(Settings(model="no/such-folder-or-model"))
    consultant.load()
    assert not consultant.ready()
    assert "no/such-folder-or-model" in consultant.status()
    with pytest.raises(ModelError):
        consultant.readers()


def test_the_model_is_named_with_its_weights_version() -> None:
    version = json.loads((WEIGHTS / "nano" / "config.json").read_text(encoding="utf-8"))["version"]
    assert LocalConsultant(Settings()).name == f"DermIQ-Nano {version}"
    assert written("nano + my/adapter") == f"DermIQ-Nano {version} + my/adapter"
    assert written("some/nano") == "some/nano"


def test_the_loaded_models_name_is_the_pages_and_the_answers(
    readers: Readers, lesions: tuple[Lesion, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    vlm = copy.copy(readers.vlm)
    vlm.name = "nano"
    monkeypatch.setattr("dermiq.consultant.load_vlm", lambda *_, **__: vlm)
    consultant = LocalConsultant(Settings())
    consultant.load()
    assert consultant.ready(), consultant.status()
    events = list(consultant.assess(Case(lesions[:1]), stop=threading.Event(), session_id="named"))
    assert isinstance(events[-1], AnswerDone)
    assert events[-1].answer.model == consultant.name == written("nano")


def test_facts_are_numbered_on(readers: Readers) -> None:
    from dermiq.knowledge import retrieve

    found = retrieve(readers.graph, "melanoma", differential=["mel", "nv"], context=PatientContext(), k=3)
    assert [item.number for item in renumbered(found, after=4).items] == [5, 6, 7]


def test_quality_is_judged_on_upload(consultant: LocalConsultant) -> None:
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.full((300, 300, 3), 4, np.uint8)).save(file, "PNG")
    lesion = consultant.read_image(file.getvalue())
    assert {issue.code for issue in lesion.quality} & {"dark", "blurred"}


def test_a_long_conversation_is_read_without_its_oldest_later_turns(
    readers: Readers, lesions: tuple[Lesion, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dermiq.consultation.further_drafts", lambda *args: [])
    case, thread = Case(lesions[:1]), open_thread(Case(lesions[:1]), readers)
    session = Says(thread.session, FIRST, *[TREATED] * 4)
    thread.session = session  # type: ignore[assignment]
    session.most, history = 6, list[Turn]()
    for question in ("What is it?", "Is it urgent?", "How is it treated?", "Is a biopsy needed?", "Will it spread?"):
        answer = run(replace(case, question=question, history=tuple(history)), readers, thread=thread)[-1].answer
        history += [Turn("user", question), Turn("assistant", answer.text)]
    told = "".join(part.get("text", "") for message in session.heard for part in message["content"])
    assert len(session.heard) <= 6
    assert "What is it?" in told
    assert "Will it spread?" in told
    assert "Is it urgent?" not in told
    assert len(thread.messages) == 11, "what was said is kept: it is only not read again"
