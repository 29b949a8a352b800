"""The main path of a consultation: a `Case` in, a stream of typed events out, an `Answer` at the end.

`assess` is that path and fits on one screen. What it remembers between two questions on one case is a
`Thread`. Knows no page.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from dermiq.judge import percent, self_checks, statements
from dermiq.knowledge import Graph, check_claims, retrieve, urgency
from dermiq.specialist import Specialist, fuse_readings, lesion_window
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
    Events,
    Evidence,
    EvidenceFound,
    Fields,
    Finding,
    ImagesRead,
    Lesion,
    Reader,
    SelfCheck,
    SpecialistReading,
    TextDelta,
)
from dermiq.vlm.load import VLM
from dermiq.vlm.parse import parse
from dermiq.vlm.prompts import (
    ANSWER_PREFILL,
    REASONING_PREFILL,
    Message,
    answer_candidates,
    assistant_message,
    differential_messages,
    follow_up_message,
    reasoning_messages,
)
from dermiq.vlm.session import Session, majority

FACTS_FIRST, FACTS_LATER = 4, 3  # facts in the prompt of a first and of a later question
MAX_NEW_TOKENS = 360
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
    known: list[int] = field(default_factory=list)  # facts in `evidence` after each turn
    opinions: tuple[Differential, ...] = ()
    answer_code: str | None = None  # of the first answer

    def rewind(self, turns: int) -> None:
        """Forgets what came after the first `turns` turns: a retried question replaces its earlier attempt."""
        if turns <= len(self.known):  # also what an attempt left that ended before its text began
            self.messages = self.messages[: 1 + 2 * turns] if turns else []
            self.known = self.known[:turns]
            self.evidence = Evidence(self.evidence.items[: self.known[-1] if turns else 0])


def assess(case: Case, readers: Readers, *, thread: Thread | None, stop: threading.Event) -> Events:
    """Answers `case.question`; the images are read and the differential made on the first question only.

    `thread` is what `open_thread` made for these images, perhaps with earlier turns. Closing the iterator ends the
    work and keeps what was written as the turn's text.
    """
    started = time.perf_counter()
    thread = thread or open_thread(case, readers)
    thread.rewind(len(case.history) // 2)
    findings = all_findings(thread.readings)
    specialist = differential(fuse_readings(thread.readings), readers.graph, "specialist")
    abstention = shared_abstention(thread, readers.specialist)
    notes = compare_images(case.lesions, thread.readings)
    yield ImagesRead(thread.readings, specialist, abstention, notes)

    first = not thread.messages
    if first:
        thread.opinions = (specialist, vlm_differential(thread.session, case, readers))
    vlm = thread.opinions[-1]
    yield DifferentialRead(vlm)

    suspects = likely_codes(specialist, vlm)
    found = retrieve(
        readers.graph,
        case.question,
        differential=suspects,
        context=case.context,
        findings=findings,
        k=FACTS_FIRST if first else FACTS_LATER,
        earlier=[turn.text for turn in case.history if turn.role == "user"],
    )
    new = renumbered(found, after=len(thread.evidence.items))
    thread.evidence = Evidence(thread.evidence.items + new.items)
    advice = urgency(readers.graph, differential=specialist, context=case.context, findings=findings)
    yield EvidenceFound(thread.evidence, advice)

    images = len(thread.session.images)
    if first:
        thread.messages = reasoning_messages(case.context, findings, new, case.question, images=images)
    else:
        thread.messages.append(follow_up_message(new, case.question))
    prefill = REASONING_PREFILL if first else ""
    text = prefill
    try:
        if prefill:
            yield TextDelta(prefill)
        for delta in thread.session.stream(thread.messages, prefill=prefill, max_new_tokens=MAX_NEW_TOKENS, stop=stop):
            text += delta
            yield TextDelta(delta)
    finally:  # also where the visitor closes the page: turns keep alternating
        thread.messages.append(assistant_message(text))
        thread.known.append(len(thread.evidence.items))

    parsed = parse(text) if first else replace(parse(""), prose=text.strip(), problems=())
    leading = specialist.top.diagnosis.id
    judged = check_claims(readers.graph, text, findings=findings, diagnosis=leading, evidence=thread.evidence)
    claims = statements(judged, parsed.answer)
    if first:
        thread.answer_code = parsed.answer_code
    checks = self_checks(parsed, claims, (specialist, vlm), reasoned=first, earlier=thread.answer_code)
    if first and readers.votes > 1 and not stop.is_set():
        checks = (*checks, vote(thread, readers))
    yield ClaimsChecked(claims, checks)
    yield AnswerDone(
        Answer(
            text=text,
            parsed=parsed,
            evidence=thread.evidence,
            claims=claims,
            differentials=(specialist, vlm),
            findings=findings,
            urgency=advice,
            abstention=abstention,
            checks=checks,
            model=readers.vlm.name,
            model_revision=f"{readers.vlm.revision}, specialist {readers.specialist.revision}",
            seconds=time.perf_counter() - started,
            stopped=stop.is_set(),
            notes=notes,
        )
    )


# --- the steps --------------------------------------------------------------------------


def open_thread(case: Case, readers: Readers) -> Thread:
    """Reads every image once with the specialist and opens a session of the VLM on them.

    A model that reads one image at a time gets the one that lies nearest to the training data.
    """
    readings = tuple(readers.specialist.read(lesion, image_index=i) for i, lesion in enumerate(case.lesions))
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


def differential(probabilities: Mapping[str, float], graph: Graph, reader: Reader) -> Differential:
    def named(code: str) -> Diagnosis:
        diagnosis = graph.diagnosis(code)
        assert diagnosis is not None, code  # each class is a node: `Graph.load` checks it
        return diagnosis

    order = sorted(CLASSES, key=lambda code: -probabilities[code])
    return Differential(tuple(Candidate(named(code), probabilities[code]) for code in order), reader)


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


def all_findings(readings: Sequence[SpecialistReading]) -> tuple[Finding, ...]:
    """The findings of the image that lies nearest to the training data first, then the others'."""
    return tuple(f for reading in sorted(readings, key=lambda r: r.distance) for f in reading.findings)


def renumbered(evidence: Evidence, *, after: int) -> Evidence:
    """The same facts, numbered on from `after`, so that a later turn cites new numbers."""
    return Evidence(tuple(replace(item, number=after + i) for i, item in enumerate(evidence.items, start=1)))


def shared_abstention(thread: Thread, specialist: Specialist) -> Abstention | None:
    """A case is readable where one of its images is; otherwise the first image's reason."""
    pairs = zip(thread.lesions, thread.readings, strict=True)
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


def vote(thread: Thread, readers: Readers) -> SelfCheck:
    """A majority vote over seeded samples of the same prompt (the paper's decoding)."""
    result = majority(
        thread.session,
        thread.messages[:-1],
        readers.votes,
        vote=lambda text: parse(REASONING_PREFILL + text).answer_code,
        prefill=REASONING_PREFILL,
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
