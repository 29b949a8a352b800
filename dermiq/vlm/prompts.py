"""What a vision-language model is asked, the same for every model. Knows neither the graph nor the page.

The system turn (options and form) is the same for every case and the first user turn starts with the
images and the patient, so that one cached prefix serves the differential, the reasoning and every follow-up.
"""

from __future__ import annotations

from collections.abc import Sequence

from dermiq.types import CLASS_NAMES, CLASSES, Evidence, Finding, Json, PatientContext

Message = Json

SYSTEM = (
    "You help dermatologists read a skin lesion. Options: "
    + "; ".join(CLASS_NAMES[c] for c in CLASSES)
    + ". When asked to think, write four steps (findings, differential, knowledge, conclusion) inside <think></think>, "
    "cite facts as [F1], give one option inside <answer></answer>, then explain briefly."
)
DIFFERENTIAL_QUESTION = "Name the most likely diagnosis."
ANSWER_PREFILL = "<answer>"
REASONING_PREFILL = "<think>\n1. Findings:"
SYMPTOM_WORDS = {"itch": "itches", "bled": "has bled", "grew": "has grown", "changed": "has changed", "hurts": "hurts"}
MAIN_FINDINGS = ("asymmetry", "border_irregularity", "colour_count", "colour_asymmetry")
SPECIAL_COLOURS = ("colour_blue_gray", "colour_black", "colour_white", "colour_red")
PRESENT = 5.0  # % of the lesion's area, as in `dermiq.lesion`


def patient_line(context: PatientContext) -> str:
    """ "Patient: 54-year-old male, back. It has grown." or "Patient: not told." """
    who = f"{context.age}-year-old" if context.age is not None else ""
    who = f"{who} {context.sex}".strip() if context.sex else who
    parts = [part for part in (who, context.site) if part]
    if context.skin_type:
        parts.append(f"skin type {context.skin_type}")
    told = [SYMPTOM_WORDS.get(s, s) for s in context.symptoms]
    line = ", ".join(parts) + "." if parts else "not told."
    return f"Patient: {line}" + (f" It {', '.join(told)}." if told else "")


def notable(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The few findings that a prompt names: shape, border, colours, then the two most unusual colours present."""
    by_code = {finding.code: finding for finding in reversed(findings)}  # the first image's wins
    main = [by_code[c] for c in MAIN_FINDINGS if c in by_code]
    special = [by_code[c] for c in SPECIAL_COLOURS if c in by_code and by_code[c].value >= PRESENT]
    return (*main, *sorted(special, key=lambda finding: -(finding.percentile or 0.0))[:2])


def findings_line(findings: Sequence[Finding]) -> str:
    words = "; ".join(finding.text for finding in notable(findings))
    return f"Measured: {words}." if words else "Measured: nothing."


def facts_block(evidence: Evidence) -> str:
    lines = [f"[F{item.number}] {item.fact.text}" for item in evidence.items]
    return "Facts:\n" + "\n".join(lines) if lines else "Facts: none."


def system_message() -> Message:
    return {"role": "system", "content": [{"type": "text", "text": SYSTEM}]}


def user_message(text: str, *, images: int = 0) -> Message:
    content: list[dict[str, str]] = [{"type": "image"} for _ in range(images)]
    return {"role": "user", "content": [*content, {"type": "text", "text": text}]}


def assistant_message(text: str) -> Message:
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}


def differential_messages(context: PatientContext, *, images: int = 1) -> list[Message]:
    """Asks for the diagnosis at once; scored with ANSWER_PREFILL and `answer_candidates`."""
    text = f"{patient_line(context)}\n{DIFFERENTIAL_QUESTION}"
    return [system_message(), user_message(text, images=images)]


def answer_candidates() -> dict[str, str]:
    """Class code -> the continuation of ANSWER_PREFILL whose likelihood is that class's."""
    return {code: f"{CLASS_NAMES[code]}</answer>" for code in CLASSES}


def reasoning_messages(
    context: PatientContext, findings: Sequence[Finding], evidence: Evidence, question: str, *, images: int = 1
) -> list[Message]:
    """The first question of a case: reasoning in four steps, an answer, an explanation."""
    lines = (
        patient_line(context),
        findings_line(findings),
        facts_block(evidence),
        f"Question: {question}",
        "Think in four steps, then answer.",
    )
    return [system_message(), user_message("\n".join(lines), images=images)]


def begun(findings: Sequence[Finding], candidates: Sequence[str]) -> str:
    """The reasoning's first two steps, from which the model goes on: what was measured, and what it holds likely.

    `candidates`: the first three by the model's own likelihoods, as they are written ("melanoma (39 %)"). Left to
    itself a small model often names another order than its own, and reasons from it.
    """
    words = "; ".join(finding.text for finding in notable(findings))
    seen = f"Measured on the image: {words}." if words else "Nothing could be measured on the image."
    structures = "; ".join(finding.text for finding in findings if finding.is_seen)
    seen += f" The specialist's reading: {structures}." if structures else ""
    first, second, third = candidates
    order = f"By likelihood {first} leads; {second} is the main alternative, then {third}."
    return f"{REASONING_PREFILL} {seen}\n2. Differential: {order}\n3. Knowledge:"


def follow_up_message(evidence: Evidence, question: str, *, case: str = "", earlier: Sequence[Message] = ()) -> Message:
    """A later question: what is known of the case in lines, facts numbered on from the earlier ones, prose to answer.

    Lines that an `earlier` message has are not told again.
    """
    told = {line for message in earlier if message["role"] == "user" for line in _text(message).splitlines()}
    lines = [line for line in case.splitlines() if line not in told]
    return user_message("\n".join((*lines, facts_block(evidence), f"Question: {question}")))


def _text(message: Message) -> str:
    return "".join(part["text"] for part in message["content"] if part["type"] == "text")
