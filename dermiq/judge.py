"""The questions that an answer asks of itself. Knows neither model nor page."""

from __future__ import annotations

from collections.abc import Sequence

from dermiq.types import CLASS_NAMES, Claim, Differential, ParsedText, SelfCheck


def percent(share: float) -> str:
    """A share from 0 to 1 as the page writes it: "62 %"."""
    return f"{100 * share:.0f} %"


def self_checks(
    parsed: ParsedText, claims: Sequence[Claim], readers: tuple[Differential, Differential], *, reasoned: bool
) -> tuple[SelfCheck, ...]:
    """Do the readers agree, does the reasoning lead to the answer, do the claimed findings agree with the measured.

    `readers` are the specialist's differential and the VLM's. Without `reasoned` (a follow-up in prose) the questions
    on reasoning and answer are left out.
    """
    checks = [readers_agree(*readers)]
    if reasoned:
        checks += [reasoning_matches_answer(parsed), answer_matches_likelihood(parsed, readers[1])]
    checks.append(findings_match(claims))
    return tuple(checks)


def readers_agree(specialist: Differential, vlm: Differential) -> SelfCheck:
    one, other = specialist.top, vlm.top
    if one.diagnosis.code == other.diagnosis.code:
        return SelfCheck("readers_agree", True, f"Both readers put {one.diagnosis.name} first.")
    return SelfCheck(
        "readers_agree",
        False,
        f"The readers disagree: the specialist says {one.diagnosis.name} ({percent(one.probability)}), "
        f"the language model {other.diagnosis.name} ({percent(other.probability)}).",
    )


def reasoning_matches_answer(parsed: ParsedText) -> SelfCheck:
    code = "reasoning_matches_answer"
    if parsed.answer_code is None or parsed.conclusion_code is None:
        reason = "; ".join(parsed.problems) or "no diagnosis is named in it"
        return SelfCheck(code, None, f"Reasoning and answer can't be compared: {reason}.")
    if parsed.answer_code == parsed.conclusion_code:
        return SelfCheck(code, True, "The reasoning leads to the answer.")
    return SelfCheck(
        code,
        False,
        f"The reasoning leads to {CLASS_NAMES[parsed.conclusion_code]}, "
        f"but the answer is {CLASS_NAMES[parsed.answer_code]}.",
    )


def answer_matches_likelihood(parsed: ParsedText, vlm: Differential) -> SelfCheck:
    """Whether the written answer is also the one that the model gave the highest likelihood before it reasoned."""
    code = "answer_matches_likelihood"
    if parsed.answer_code is None:
        return SelfCheck(code, None, "The written answer could not be read.")
    if parsed.answer_code == vlm.top.diagnosis.code:
        return SelfCheck(code, True, "The written answer is the model's own first choice.")
    return SelfCheck(
        code,
        False,
        f"The model wrote {CLASS_NAMES[parsed.answer_code]}, although before it reasoned it gave "
        f"{vlm.top.diagnosis.name} the highest likelihood ({percent(vlm.top.probability)}).",
    )


def findings_match(claims: Sequence[Claim]) -> SelfCheck:
    measured = [claim for claim in claims if claim.finding_codes]
    wrong = [claim for claim in measured if claim.verdict == "contradicted"]
    if wrong:
        said = "; ".join(f"“{claim.text}” ({claim.note})" if claim.note else f"“{claim.text}”" for claim in wrong[:2])
        return SelfCheck("findings_match", False, f"The text contradicts what was measured: {said}.")
    if measured:
        return SelfCheck("findings_match", True, "The findings in the text agree with those measured.")
    return SelfCheck("findings_match", None, "The text names no finding that was measured.")
