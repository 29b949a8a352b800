"""What is wrong with the explanation under a first answer: does it speak against its own diagnosis?

Knows the parsed text, its claims and the findings; no model and no page.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from dermiq.answering.choose import flat
from dermiq.answering.judge import alternatives, follow_up_matches_answer, own_alternative
from dermiq.answering.weigh import TELLING
from dermiq.types import CLASS_NAMES, Claim, Differential, Finding, ParsedText

REASON = re.compile(
    r"\bfit|favou?r|speaks? for|suggest|support|typical|because|since\b|\bbest\b|consistent|points? (?:to|towards)"
    r"|likely|\bfor (?:an? )?\w+",
    re.IGNORECASE,
)
CONCEDES = re.compile(
    r"\bagainst\b|although|though\b|\bbut\b|despite|however|unusual|atypical|less (?:likely|typical)|rather than"
    r"|\bunlike|exclude|ruled out",
    re.IGNORECASE,
)
WEAK = 0.8  # mean likelihood ratio below which the findings that a sentence names are no reason for its diagnosis


def faults(
    parsed: ParsedText, claims: Sequence[Claim], findings: Sequence[Finding], code: str, own: Differential | None = None
) -> tuple[str, ...]:
    """Why the explanation should not be shown, each as what it does; () where nothing is wrong.

    `claims`: those of the explanation; `code`: the class that was answered; `own`: what the reader that wrote it holds.
    """
    name = CLASS_NAMES[code]
    found = []
    if own_alternative(parsed):
        found.append(f"names {name} as the alternative to itself")
    if (
        own is not None
        and (named := alternatives(parsed.prose) - {code})
        and (second := _second(own, code)) not in named
    ):
        other = " and ".join(CLASS_NAMES[key] for key in sorted(named))
        found.append(
            f"names {other} as the next candidate, where the model itself holds {CLASS_NAMES[second]} likelier"
        )
    if follow_up_matches_answer(parsed.prose, code).passed is False:
        found.append("favours another diagnosis")
    if any(speaks_against(claim, findings, code) for claim in claims):
        found.append(f"gives as reasons for {name} what speaks against it")
    if any(claim.verdict == "contradicted" for claim in claims):
        found.append("is contradicted by what was measured or is known")
    if any(claim.miscited and not claim.mended for claim in claims):
        found.append("cites facts that say something else")
    return tuple(found)


def _second(own: Differential, code: str) -> str:
    """The class that a reader holds likeliest besides `code`."""
    codes = [one.diagnosis.code for one in own.candidates]
    return next(key for key in codes if key is not None and key != code)


def speaks_against(claim: Claim, findings: Sequence[Finding], code: str) -> bool:
    """Whether a sentence gives findings as reasons that, on the whole, are rarer with the class than without it."""
    named = {*claim.finding_codes, *(f.code for f in findings if f" {flat(f.text)} " in f" {flat(claim.text)} ")}
    if not named or not REASON.search(claim.text) or CONCEDES.search(claim.text):
        return False
    ratios = _ratios(findings, code)
    logs = [math.log(ratios[finding]) for finding in named if ratios.get(finding, 0.0) > 0]
    return bool(logs) and math.fsum(logs) / len(logs) < math.log(WEAK)


def gives_reasons(claim: Claim, findings: Sequence[Finding], code: str | None) -> bool:
    """Whether a sentence is supported and says something besides the answer, and each finding that it names is telling.

    A sentence that sets a finding against the answer ("although ...") may name what speaks against it.
    """
    named = {*claim.finding_codes, *(f.code for f in findings if f" {flat(f.text)} " in f" {flat(claim.text)} ")}
    if claim.verdict != "supported" or is_bare(claim.text) or not (claim.fact_ids or named):
        return False
    if ORDERS.search(claim.text) or REPEATS.search(claim.text):
        return False
    ratios = _ratios(findings, code or "")
    concedes = bool(CONCEDES.search(claim.text))
    return concedes or all(ratios.get(finding, 0.0) >= TELLING for finding in named)


ORDERS = re.compile(r"\bremains? possible|cannot be excluded|\balternative\b|\bcandidate\b", re.IGNORECASE)
"""Says which diagnosis comes next: the program does, by the likelihoods."""
REPEATS = re.compile(r"\b(\w+ \w+ \w+)\b.*\b\1\b", re.IGNORECASE)
"""Says three words twice, as a small model does that has lost its thread."""
BARE = re.compile(
    r"^\W*(?:overall,? |so,? |again,? |in short,? )?"
    r"(?:the (?:image|picture|lesion) (?:as a whole )?(?:still )?(?:fits|looks like)|it (?:fits|is most likely)"
    r"|this (?:would )?(?:fits?|looks most like|is most likely)|I keep to my answer|most likely)"
    r"\b[^.;:]{0,60}[.:]?\W*$",
    re.IGNORECASE,
)


def is_bare(text: str) -> bool:
    """Whether a sentence only says once more which diagnosis fits, and why not: "The image fits melanoma best."."""
    return BARE.search(text) is not None


def _ratios(findings: Sequence[Finding], code: str) -> Mapping[str, float]:
    """Finding code -> its ratio for the class; of several images the first one's."""
    return {f.code: f.likelihood_ratios[code] for f in reversed(findings) if code in f.likelihood_ratios}
