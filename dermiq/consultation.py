"""The main path of a consultation: a `Case` in, a stream of typed events out, an `Answer` at the end.

`assess` is that path and fits on one screen. What it remembers between two questions on one case is a
`Thread`. Knows no page.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dermiq.answering import (
    Given,
    Known,
    Plan,
    Settled,
    as_written,
    best_of,
    is_lay,
    plan,
    refused,
    settle_first,
    settle_follow_up,
    with_facts,
)
from dermiq.answering.briefing import briefing
from dermiq.answering.judge import self_checks
from dermiq.answering.sayable import sayable
from dermiq.answering.weigh import percent
from dermiq.errors import ModelError
from dermiq.knowledge import Graph, retrieve, urgency
from dermiq.knowledge.retrieve.understand import Understood, of_intent, told_in, understand
from dermiq.lesion import assess_quality
from dermiq.specialist import Specialist, lesion_window, opinion_of
from dermiq.types import (
    CLASS_NAMES,
    CLASSES,
    Abstention,
    Answer,
    AnswerDone,
    Candidate,
    Case,
    ClaimsChecked,
    Diagnosis,
    Differential,
    DifferentialRead,
    Event,
    Events,
    Evidence,
    EvidenceFound,
    EvidenceItem,
    Fields,
    Finding,
    ImagesRead,
    Lesion,
    PatientContext,
    QualityIssue,
    QuestionUnderstood,
    Reader,
    SelfCheck,
    SpecialistReading,
    TextDelta,
    TextSettled,
)
from dermiq.vlm.guided import guided
from dermiq.vlm.load import VLM
from dermiq.vlm.parse import parse
from dermiq.vlm.prompts import (
    ANSWER_PREFILL,
    Message,
    answer_candidates,
    assistant_message,
    begun,
    differential_messages,
    follow_up_message,
    reasoning_messages,
)
from dermiq.vlm.session import Session, majority

BEGINNING = 3  # messages: system, first question, first answer
SHORTENED = 1_200  # characters of a first answer that is read without its explanation
FACTS_FIRST, FACTS_LATER = 4, 3  # facts in the prompt of a first and of a later question
FACTS_CONSIDERED = 8  # of a later question, from which its plan chooses
MAX_NEW_TOKENS = 360
DRAFTS = 3  # more of them for a later question, where the first does not stand by itself
COMPARED = ("asymmetry", "border_irregularity", "colour_count", "colour_variegation")  # between images


@dataclass(frozen=True, eq=False)
class Readers:
    """Everything that a consultation stands on, loaded once and shared by all visitors."""

    specialist: Specialist
    vlm: VLM
    graph: Graph
    votes: int = 1  # samples for a majority vote; 1: the greedy answer alone
    temperature: float = 1.0  # of the VLM's likelihoods, fitted on `val`; 1 where it was never fitted
    offsets: Mapping[str, float] = field(default_factory=dict)  # added to each class's log-likelihood, chosen on `val`
    max_images: int | None = None  # that the VLM reads at once; None: all


@dataclass(eq=False)
class Thread:
    """One case's memory: readings, the VLM's session with its cache, and the messages so far."""

    lesions: tuple[Lesion, ...]
    readings: tuple[SpecialistReading, ...]
    session: Session
    messages: list[Message] = field(default_factory=list)  # system, then user and assistant in turns
    evidence: Evidence = field(default_factory=Evidence)
    ended: list[Ended] = field(default_factory=list)  # the turns so far
    opinions: tuple[Differential, ...] = ()

    def rewind(self, turns: int) -> None:
        """Forgets what came after the first `turns` turns: a retried question replaces its earlier attempt."""
        if turns <= len(self.ended):  # also what an attempt left that ended before its text began
            self.ended = self.ended[:turns]
            last = self.ended[-1] if self.ended else Ended("", "", messages=0, facts=0)
            self.messages = self.messages[: last.messages]
            self.evidence = Evidence(self.evidence.items[: last.facts])

    @property
    def read(self) -> list[Message]:
        """The messages that the model reads: of a conversation that is too long without its oldest later turns, then
        without the explanation of the first answer.

        The system turn, the first question with its images and its answer always stay.
        """
        kept = list(self.messages)
        while len(kept) > BEGINNING + 2 and self.session.room(kept) < MAX_NEW_TOKENS:
            del kept[BEGINNING : BEGINNING + 2]
        if len(kept) > BEGINNING and self.session.room(kept) < MAX_NEW_TOKENS:
            first, ending, _ = text_of(kept[BEGINNING - 1]).partition("</answer>")
            kept[BEGINNING - 1] = assistant_message(first[:SHORTENED] + ending)
        return kept

    def end(self, question: str, text: str) -> None:
        """The turn is over, with this text; what the model reads of it later is the same."""
        if self.messages:
            self.messages.append(assistant_message(text))
        self.ended.append(Ended(question, text, len(self.messages), len(self.evidence.items)))

    def show(self, settled: Settled) -> None:
        """What is shown takes the place of what was written."""
        question = self.ended.pop().question
        del self.messages[-1:]
        self.evidence = settled.evidence
        self.end(question, settled.text)


@dataclass(frozen=True)
class Ended:
    """A finished turn, and how much the thread held after it."""

    question: str
    text: str  # as it was shown
    messages: int
    facts: int


def assess(case: Case, readers: Readers, *, thread: Thread | None, stop: threading.Event) -> Events:
    """Answers `case.question`; the images are read and the differential made on the first question only.

    `thread` is what `open_thread` made for these images, perhaps with earlier turns. Closing the iterator ends the
    work and keeps what was written as the turn's text.
    """
    started = time.perf_counter()
    thread = thread or open_thread(case, readers)
    thread.rewind(len(case.history) // 2)
    findings = all_findings(thread.readings)
    specialist = specialist_differential(thread.readings, case, readers.specialist, readers.graph)
    abstention = shared_abstention(thread.lesions, thread.readings, readers.specialist)
    notes = compare_images(case.lesions, thread.readings)
    yield ImagesRead(thread.readings, specialist, abstention, notes)

    first = not thread.messages
    telling = [turn.question for turn in thread.ended] or [case.question]
    patient = told_in(readers.graph, telling, case.context)
    asked = understood(case, thread, readers.graph, specialist, patient)
    yield QuestionUnderstood(asked.intent if asked.in_scope else "", named(readers.graph, asked))
    if asked.in_scope and not thread.opinions:
        thread.opinions = (specialist, vlm_differential(thread.session, case, readers))
        # where nothing is named, it is about what leads now
        asked = understood(case, thread, readers.graph, specialist, patient)
    opinions = thread.opinions or (specialist,)
    yield from (DifferentialRead(opinion) for opinion in opinions[1:])

    advice = urgency(readers.graph, differential=specialist, context=patient, findings=findings)
    shown = tuple(turn.text for turn in thread.ended)
    known = Known(
        opinions[-1].top.diagnosis,
        opinions,
        findings,
        patient,
        advice,
        quality=faults_seen(thread),
        earlier=shown,
        is_lay=is_lay(telling[0]),
    )
    if asked.supposed:
        changed = urgency(readers.graph, differential=specialist, context=asked.supposed, findings=findings)
        known = replace(known, supposed=changed)
    prompted = Evidence()
    if asked.in_scope:
        prompted, known = gathered(readers.graph, thread, asked, known, question=case.question)
    yield EvidenceFound(thread.evidence, advice)

    images = len(thread.session.images)
    given = None
    if not first:
        told = briefing(readers.graph, known, asked) if asked.in_scope else ""
        given = Given(told, {item.number: item.fact for item in prompted.items}, case.question, asked.intent)
        thread.messages.append(follow_up_message(prompted, case.question, case=told, earlier=thread.read))
    elif asked.in_scope:
        thread.messages = reasoning_messages(case.context, findings, prompted, case.question, images=images)
    prefill = reasoning_begun(findings, opinions[-1]) if first and asked.in_scope else ""
    text = prefill
    try:
        if prefill:
            yield TextDelta(prefill)
        for delta in written(thread, prefill, stop) if asked.in_scope else ():
            text += delta
            yield TextDelta(delta)
    finally:  # also where the visitor closes the page: turns keep alternating
        thread.end(case.question, text)

    settled = settle(readers.graph, thread, asked, known, text, stop=stop, given=given, begun=prefill)
    thread.show(settled)
    if settled.own or settled.text != text:
        yield TextSettled(settled.text, settled.own, settled.evidence)
    parsed = parse(settled.text) if prefill else replace(parse(""), prose=settled.text.strip(), problems=())
    checks = checked(settled, opinions, reasoned=bool(prefill), earlier=known.lead.code)
    if prefill and readers.votes > 1 and not stop.is_set():
        checks = (*checks, vote(thread, readers, prefill))
    yield ClaimsChecked(settled.claims, checks)
    yield AnswerDone(
        Answer(
            text=settled.text,
            parsed=parsed,
            evidence=thread.evidence,
            claims=settled.claims,
            differentials=opinions,
            findings=findings,
            urgency=advice,
            abstention=abstention,
            checks=checks,
            model=readers.vlm.name,
            model_revision=f"{readers.vlm.revision}, specialist {readers.specialist.revision}",
            seconds=time.perf_counter() - started,
            stopped=stop.is_set(),
            notes=notes,
            own=settled.own,
            intent=asked.intent if asked.in_scope else "",
            points=spoken_of(plan(readers.graph, asked, known), thread.evidence),
        )
    )
    if thread.messages and not stop.is_set():  # what is shown is not what was written: read it before it is asked about
        with contextlib.suppress(ModelError):
            thread.session.read(thread.read)


# --- the steps --------------------------------------------------------------------------


def open_thread(case: Case, readers: Readers) -> Thread:
    """Reads every image once with the specialist and opens a session of the VLM on them.

    A model that reads one image at a time gets the one that lies nearest to the training data.
    """
    readings = tuple(readers.specialist.read(lesion, image_index=i) for i, lesion in enumerate(case.lesions))
    return thread_of(case, readings, readers)


def thread_of(case: Case, readings: tuple[SpecialistReading, ...], readers: Readers) -> Thread:
    """A thread on images that were read; the model has read nothing of them yet."""
    order = sorted(range(len(readings)), key=lambda i: readings[i].distance)
    chosen = sorted(order[: readers.max_images])
    calibration = readers.specialist.calibration
    windows = [
        lesion_window(
            case.lesions[i].pixels,
            readings[i].outline,
            extents=calibration.window,
            smallest=calibration.smallest_window,
        )
        for i in chosen
    ]
    return Thread(case.lesions, readings, readers.vlm.session(windows))


def thread_after(case: Case, events: Sequence[Event], readers: Readers) -> Thread:
    """The thread as it stood after these events, which answered a first question: the next one goes on from there.

    The model reads the conversation when it is asked on, or by `thread.session.read`.
    """
    read = next(event for event in events if isinstance(event, ImagesRead))
    found = next(event for event in events if isinstance(event, EvidenceFound))
    answer = next(event.answer for event in events if isinstance(event, AnswerDone))
    thread = thread_of(case, read.readings, readers)
    if answer.intent:
        images = len(thread.session.images)
        thread.messages = reasoning_messages(
            case.context, answer.findings, found.evidence, case.question, images=images
        )
        thread.opinions = answer.differentials
    thread.evidence = answer.evidence
    thread.end(case.question, answer.text)
    return thread


def understood(case: Case, thread: Thread, graph: Graph, specialist: Differential, told: PatientContext) -> Understood:
    """What is asked, with what the turns before it fill in; the intent is the visitor's where they say which."""
    opinions = thread.opinions or (specialist,)
    asked = understand(
        graph,
        case.question,
        earlier=[turn.question for turn in thread.ended],
        differential=suspects(opinions),
        context=told,
    )
    return of_intent(asked, case.intent) if case.intent else asked


def named(graph: Graph, asked: Understood) -> tuple[str, ...]:
    """The conditions that a question is about, by name."""
    return tuple(graph.node(key).name for key in asked.conditions)


def reasoning_begun(findings: Sequence[Finding], own: Differential) -> str:
    """What the model's reasoning goes on from: the measurements, and its own likelihoods in words."""
    return begun(findings, [f"{one.diagnosis.name} ({percent(one.probability)})" for one in own.candidates[:3]])


def gathered(graph: Graph, thread: Thread, asked: Understood, known: Known, *, question: str) -> tuple[Evidence, Known]:
    """The facts that the model is given, as they are numbered in the thread, and what is known with those retrieved.

    A follow-up is given the facts of its plan first: they are chosen for what was asked.
    """
    first = not thread.messages
    found = retrieve(
        graph,
        question,
        differential=suspects(known.differentials),
        earlier=[turn.question for turn in thread.ended],
        context=known.context,
        findings=known.findings,
        k=FACTS_FIRST if first else FACTS_CONSIDERED,
    )
    known = replace(known, found=tuple(item.fact for item in found.items))
    chosen = () if first else plan(graph, asked, known).facts[:FACTS_LATER]
    by_fact = {item.fact.id: item for item in (*with_facts(Evidence(), chosen).items, *found.items)}
    items = list(by_fact.values())[: FACTS_FIRST if first else FACTS_LATER]
    thread.evidence = numbered(thread.evidence, items)
    given = {item.fact.id for item in items}
    return Evidence(tuple(item for item in thread.evidence.items if item.fact.id in given)), known


def numbered(evidence: Evidence, items: Sequence[EvidenceItem]) -> Evidence:
    """With these facts numbered on; a fact that an earlier turn brought keeps its number."""
    held = {item.fact.id for item in evidence.items}
    new = [item for item in items if item.fact.id not in held]
    return Evidence(evidence.items + renumbered(Evidence(tuple(new)), after=len(evidence.items)).items)


def written(thread: Thread, prefill: str, stop: threading.Event) -> Iterator[str]:
    return thread.session.stream(thread.read, prefill=prefill, max_new_tokens=MAX_NEW_TOKENS, stop=stop)


def further_drafts(thread: Thread, given: Given, stop: threading.Event) -> Iterator[str]:
    """More answers to the last question, of sentences that may stand as they are: the model chooses among them.

    None where the conversation is too long to go on with.
    """
    asked = thread.read[:-1]  # without the draft that was written first
    with contextlib.suppress(ModelError):
        for draft in guided(thread.session, asked, sayable(given), drafts=DRAFTS) if not stop.is_set() else ():
            yield draft
            if stop.is_set():
                return


def settle(
    graph: Graph,
    thread: Thread,
    asked: Understood,
    known: Known,
    text: str,
    *,
    stop: threading.Event,
    given: Given | None,
    begun: str,
) -> Settled:
    """What is shown. A text that the visitor stopped stays as it is: they have seen what they wanted.

    `given` to a later question: where its first draft does not stand by itself, more are written and the best is shown.
    """
    if not asked.in_scope:
        return refused(plan(graph, asked, known), known, thread.evidence)
    if stop.is_set():
        return as_written(graph, text, known, thread.evidence)
    if given is None:
        return settle_first(graph, text, asked, known, thread.evidence, begun=begun)
    planned = plan(graph, asked, known)
    further = () if planned.replies else further_drafts(thread, given, stop)  # the program answers what was asked
    drafts = itertools.chain([text], further)
    return best_of(settle_follow_up(graph, one, planned, known, thread.evidence, given) for one in drafts)


def spoken_of(planned: Plan, evidence: Evidence) -> tuple[str, ...]:
    """The plan's points in words, each with its facts and the numbers that these have."""
    numbers = {item.fact.id: item.number for item in evidence.items}
    said = []
    for point in planned.points:
        facts = "; ".join(
            f"{fact.text.rstrip('.')} [F{numbers[fact.id]}]" if fact.id in numbers else fact.text.rstrip(".")
            for fact in point.facts
        )
        said.append(": ".join(filter(None, (point.text.rstrip("."), facts))) + ".")
    return tuple(dict.fromkeys(said))


def checked(
    settled: Settled, opinions: Sequence[Differential], *, reasoned: bool, earlier: str | None
) -> tuple[SelfCheck, ...]:
    """The questions that the answer asks of itself: of the model's text, as far as it is shown."""
    if len(opinions) < 2:
        return ()
    parsed = parse(settled.kept) if reasoned else replace(parse(""), prose=settled.kept.strip(), problems=())
    found = self_checks(parsed, settled.claims, (opinions[0], opinions[1]), reasoned=reasoned, earlier=earlier)
    return (*found, settled.check) if settled.check else found


def differential(probabilities: Mapping[str, float], graph: Graph, reader: Reader) -> Differential:
    def named(code: str) -> Diagnosis:
        diagnosis = graph.diagnosis(code)
        assert diagnosis is not None, code  # each class is a node: `Graph.load` checks it
        return diagnosis

    order = sorted(CLASSES, key=lambda code: -probabilities[code])
    return Differential(tuple(Candidate(named(code), probabilities[code]) for code in order), reader)


def specialist_differential(
    readings: Sequence[SpecialistReading], case: Case, specialist: Specialist, graph: Graph
) -> Differential:
    """The specialist's opinion on all images, with what of the patient counts, and the sets that hold the right one."""
    views = {lesion.view for lesion in case.lesions}
    opinion = opinion_of(readings, case.context, specialist, views=views)
    found = differential(opinion.probabilities, graph, "specialist")
    if opinion.told:
        candidates = [replace(one, by_image=opinion.by_image[one.diagnosis.code or ""]) for one in found.candidates]
        found = replace(found, candidates=tuple(candidates))
    return replace(found, sets=opinion.sets, told=opinion.told)


def vlm_differential(session: Session, case: Case, readers: Readers) -> Differential:
    """The likelihood of each candidate answer, with the offsets and the temperature fitted on `val`."""
    messages = differential_messages(case.context, images=len(session.images))
    scored = session.score(messages, answer_candidates(), prefill=ANSWER_PREFILL)
    logs = {code: value + readers.offsets.get(code, 0.0) for code, value in scored.items()}
    best = max(logs.values())
    weights = {code: math.exp((value - best) / readers.temperature) for code, value in logs.items()}
    total = sum(weights.values())
    return differential({code: w / total for code, w in weights.items()}, readers.graph, "vlm")


def likely_codes(specialist: Differential, vlm: Differential, *, count: int = 3) -> list[str]:
    """Class codes by the mean of both readers' probabilities."""
    mean = {code: specialist.probability(code) + vlm.probability(code) for code in CLASSES}
    return sorted(mean, key=lambda code: -mean[code])[:count]


def suspects(opinions: Sequence[Differential]) -> list[str]:
    """Class codes to look facts up for: the language model's first, then what both readers hold likely."""
    likely = likely_codes(opinions[0], opinions[-1])
    return list(dict.fromkeys(code for code in (opinions[-1].top.diagnosis.code, *likely) if code))


def all_findings(readings: Sequence[SpecialistReading]) -> tuple[Finding, ...]:
    """The findings of the image that lies nearest to the training data first, then the others'."""
    return tuple(f for reading in sorted(readings, key=lambda r: r.distance) for f in reading.findings)


def renumbered(evidence: Evidence, *, after: int) -> Evidence:
    """The same facts, numbered on from `after`, so that a later turn cites new numbers."""
    return Evidence(tuple(replace(item, number=after + i) for i, item in enumerate(evidence.items, start=1)))


def issues_of(lesions: Sequence[Lesion], readings: Sequence[SpecialistReading]) -> tuple[QualityIssue, ...]:
    """What is wrong with the pictures, and with the lesions in them."""
    pairs = zip(lesions, readings, strict=True)
    return tuple(issue for lesion, reading in pairs for issue in assess_quality(lesion.pixels, reading.outline))


def faults_seen(thread: Thread) -> tuple[str, ...]:
    """What is wrong with the pictures, each once."""
    return tuple(dict.fromkeys(issue.message for issue in issues_of(thread.lesions, thread.readings)))


def shared_abstention(
    lesions: Sequence[Lesion], readings: Sequence[SpecialistReading], specialist: Specialist
) -> Abstention | None:
    """A case is readable where one of its images is; otherwise the first image's reason."""
    pairs = zip(lesions, readings, strict=True)
    reasons = [specialist.abstention(lesion, reading) for lesion, reading in pairs]
    return reasons[0] if all(reasons) else None


def compare_images(lesions: Sequence[Lesion], readings: Sequence[SpecialistReading]) -> tuple[str, ...]:
    """What differs between each later image and the first, in words. Sizes are not compared: no scale is known."""
    notes = []
    base = {finding.code: finding for finding in readings[0].findings}
    for number, (lesion, reading) in enumerate(zip(lesions[1:], readings[1:], strict=True), start=2):
        changed = [
            f"{finding.text} (image 1: {base[finding.code].text})"
            for finding in reading.findings
            if finding.code in COMPARED and finding.code in base and finding.text != base[finding.code].text
        ]
        top, first = (max(r.probabilities, key=lambda code: r.probabilities[code]) for r in (reading, readings[0]))
        if top != first:
            changed.append(f"read as {CLASS_NAMES[top]} (image 1: {CLASS_NAMES[first]})")
        label = f"Image {number}" + (f" ({lesion.taken})" if lesion.taken else "")
        notes.append(f"{label}: " + ("; ".join(changed) if changed else "no measured difference from image 1") + ".")
    return tuple(notes)


def vote(thread: Thread, readers: Readers, prefill: str) -> SelfCheck:
    """A majority vote over seeded samples of the same prompt (the paper's decoding)."""
    result = majority(
        thread.session,
        thread.messages[:-1],
        readers.votes,
        vote=lambda text: parse(prefill + text).answer_code,
        prefill=prefill,
        max_new_tokens=MAX_NEW_TOKENS,
    )
    winner = readers.graph.diagnosis(result.winner) if result.winner else None
    count = round(result.agreement * len(result.votes))
    message = (
        f"{count} of {len(result.votes)} samples answered {winner.name}."
        if winner
        else "No sample had a readable answer."
    )
    answered = parse(text_of(thread.messages[-1])).answer_code
    return SelfCheck("votes_agree", result.winner == answered if winner else None, message)


def text_of(message: Fields) -> str:
    return "".join(part.get("text", "") for part in message["content"])


def blanked(case: Case, readers: Readers, vlm: Differential) -> SelfCheck:
    """The VLM's differential with the pixels replaced by their own mean colour, against the real one."""
    lesions = tuple(
        replace(lesion, pixels=(lesion.pixels * 0 + lesion.pixels.mean((0, 1)).astype("uint8")))
        for lesion in case.lesions
    )
    blank = replace(case, lesions=lesions)
    session = readers.vlm.session([lesion.pixels for lesion in lesions[: readers.max_images]])
    other = vlm_differential(session, blank, readers)
    before, code = vlm.top, vlm.top.diagnosis.code
    assert code is not None
    after = other.probability(code)
    matters = other.top.diagnosis.code != code or before.probability - after > 0.2
    verb = "depends" if matters else "hardly depends"
    return SelfCheck(
        "image_matters",
        matters,
        f"The answer {verb} on the image: {before.diagnosis.name} has {percent(before.probability)} with it and "
        f"{percent(after)} with the image blanked (then first: {other.top.diagnosis.name}, "
        f"{percent(other.top.probability)}).",
    )
