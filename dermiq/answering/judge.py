"""The questions that an answer asks of itself. Knows neither model nor page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from dermiq.answering.weigh import percent
from dermiq.knowledge.language.plain import plain
from dermiq.types import CLASS_NAMES, Claim, Differential, ParsedText, SelfCheck
from dermiq.vlm.parse import class_mentions, class_of

FAVOURED = re.compile(
    r"(?:\bfits|most likely|looks (?:most )?like|favou?rs?)\s+([^.;:]{3,60}?)(?:\s+best|[.;:,]|$)", re.I
)
ALTERNATIVE = re.compile(
    r"([^.;:,]{3,60}?)\s+(?:is the (?:main|next|nearest) alternative|(?:is|remains) possible|should be considered"
    r"|(?:cannot|can't|could not|is not|has not been|was not) (?:be )?(?:fully |safely |quite )?(?:excluded|ruled out)"
    r"|(?:comes|is|ranks) (?:second|next))"
    r"|(?:\bnext candidate is|\balternative is|\bbetter than|\bfirst, then|cannot (?:exclude|rule out))"
    r"\s+([^.;:]{3,90})",
    re.I,
)
STEP_HEADING = re.compile(r"^\s*(?:\d[.)]\s*)?(?:findings|differential|knowledge|conclusion):\s*", re.I)


def self_checks(
    parsed: ParsedText,
    claims: Sequence[Claim],
    readers: tuple[Differential, Differential],
    *,
    reasoned: bool,
    earlier: str | None = None,
) -> tuple[SelfCheck, ...]:
    """Do the readers agree, does the reasoning lead to the answer, do the claimed findings agree with the measured.

    `readers` are the specialist's differential and the VLM's. Without `reasoned` (a follow-up in prose) it is asked
    instead whether the text still holds the class that was answered `earlier`.
    """
    checks = [readers_agree(*readers)]
    if reasoned:
        checks += [reasoning_matches_answer(parsed), answer_matches_likelihood(parsed, readers[1])]
        checks += own_alternative(parsed)
    elif earlier is not None:
        checks.append(follow_up_matches_answer(parsed.prose, earlier))
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


def own_alternative(parsed: ParsedText) -> list[SelfCheck]:
    """A failed check where the answered diagnosis is offered as the alternative to itself; nothing otherwise."""
    if parsed.answer_code is None:
        return []
    if parsed.answer_code not in alternatives("\n".join((parsed.differential, parsed.conclusion, parsed.prose))):
        return []
    name = CLASS_NAMES[parsed.answer_code]
    return [SelfCheck("own_alternative", False, f"The text names {name} as the alternative to itself.")]


def alternatives(text: str) -> set[str]:
    """The classes that a text offers as the alternative: "X is the main alternative", "X cannot be excluded"."""
    return {code for pair in ALTERNATIVE.findall(plain(text)) for _, code in class_mentions(" ".join(pair))}


def follow_up_matches_answer(prose: str, earlier: str) -> SelfCheck:
    """Whether a later text still favours the class that was answered first."""
    code = "follow_up_matches_answer"
    favoured = {named for phrase in FAVOURED.findall(prose) if (named := class_of(phrase)) is not None}
    if not favoured:
        return SelfCheck(code, None, "The text does not say which diagnosis it favours.")
    if favoured == {earlier}:
        return SelfCheck(code, True, f"The text keeps to the earlier answer, {CLASS_NAMES[earlier]}.")
    other = " and ".join(CLASS_NAMES[c] for c in sorted(favoured - {earlier}))
    return SelfCheck(code, False, f"The text favours {other}, but the earlier answer was {CLASS_NAMES[earlier]}.")


def findings_match(claims: Sequence[Claim]) -> SelfCheck:
    measured = [claim for claim in claims if claim.finding_codes]
    wrong = [claim for claim in measured if claim.verdict == "contradicted"]
    if wrong:
        said = "; ".join(f"“{claim.text}” ({claim.note})" if claim.note else f"“{claim.text}”" for claim in wrong[:2])
        return SelfCheck("findings_match", False, f"The text contradicts what was measured: {said}.")
    if measured:
        return SelfCheck("findings_match", True, "The findings in the text agree with those measured.")
    return SelfCheck("findings_match", None, "The text names no finding that was measured.")


def statements(claims: Sequence[Claim], answer: str) -> tuple[Claim, ...]:
    """The claims without the headings of the steps, and without those that are a bare heading or the bare answer."""
    plain = [replace(claim, text=STEP_HEADING.sub("", claim.text).strip()) for claim in claims]
    return tuple(claim for claim in plain if claim.text.rstrip(".:").lower() not in ("", answer.lower()))
