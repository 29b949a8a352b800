"""What a sentence says of a measured finding, against the measurement. Knows words and findings, no graph.

Both the sentence and the finding's own words are read the same way: which of two opposite sides do
they take? A side that is only "slightly" taken supports, and contradicts nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from dermiq.knowledge.language.cues import hear
from dermiq.knowledge.language.lexicon import pattern
from dermiq.knowledge.language.numbers import in_digits
from dermiq.types import Finding

COLOURS = {
    "colour_white": r"white|whitish",
    "colour_red": r"red|reddish|pink",
    "colour_light_brown": r"light[- ]brown|tan",
    "colour_dark_brown": r"dark[- ]brown",
    "colour_blue_gray": r"blue[- ]gr[ae]y|bluish[- ]gr[ae]y|gr[ae]y[- ]blue",
    "colour_black": r"black",
}
STRUCTURES = {
    "globules": r"globules",
    "milia_like_cyst": r"milia[- ]like cysts?|milia",
    "negative_network": r"negative (?:pigment )?network|inverse network",
    "pigment_network": r"(?<!negative )(?<!inverse )(?:pigment(?:ed)? )?network",
    "streaks": r"streaks",
}
_SHOWN = (
    r"\b(?:specialist(?:'s reading)?|image|picture|photo(?:graph)?|lesion|it)\b[^.;]{0,40}"
    r"\b(?:sees?|saw|shows?|has|displays?|reading)\b|\b(?:seen|visible|found|measured|detected)\b"
)
"""How a sentence says that a structure is on this image, not that a condition has it."""
PRESENT = 5.0  # % of the lesion's area from which a colour counts as there
_COLOUR = r"colou?rs?"
_COUNT = r"one|a single|single|[1-9]"


@dataclass(frozen=True)
class Scale:
    """Two opposite sides of one finding, as people write them."""

    code: str
    high: str
    low: str


SCALES = (
    Scale(
        "asymmetry",
        r"\basymmetr(?:y|ic|ical|ically)\b(?! (?:of|in) colou?r)",
        r"\bsymmetr(?:y|ic|ical|ically)\b(?! (?:of|in) colou?r)",
    ),
    Scale(
        "border_irregularity",
        r"\b(?:irregular|ragged|notched|jagged|uneven|scalloped)(?: and [\w-]+)?,? (?:\w+ )?(?:borders?|margins?"
        r"|edges?|outlines?)\b"
        r"|\b(?:borders?|margins?|edges?|outlines?) (?:is|are|looks?|appears?) (?:\w+ )?(?:irregular|ragged"
        r"|notched|jagged|uneven)\b"
        r"|\bborder irregularity\b",
        r"\b(?:regular|smooth|even)(?: and [\w-]+)?,? (?:\w+ )?(?:borders?|margins?|edges?|outlines?)\b"
        r"|\b(?:borders?|margins?|edges?|outlines?) (?:is|are|looks?|appears?) (?:\w+ )?(?:regular|smooth|even)\b",
    ),
    Scale(
        "colour_variegation",
        rf"\b(?:variegated|strongly varied|uneven|varied|irregular) {_COLOUR}\b|\b{_COLOUR} (?:variegation|variation)\b"
        rf"|\b{_COLOUR} (?:is|are) (?:\w+ )?(?:variegated|uneven|varied)\b",
        rf"\b(?:even|uniform|homogeneous) {_COLOUR}\b|\b{_COLOUR} (?:is|are) (?:\w+ )?(?:even|uniform|homogeneous)\b"
        r"|\b(?:evenly|uniformly) colou?red\b",
    ),
    Scale("elongation", r"\belongated\b", r"\bround(?:ed)?(?: shape)?\b(?! (?:nests?|globules?|structures?))"),
    Scale("colour_asymmetry", rf"\b{_COLOUR} unevenly placed\b", rf"\b{_COLOUR} evenly placed\b"),
    Scale("contrast", r"\bstrong contrast\b", r"\b(?:faint|weak|low) contrast\b"),
)


@dataclass(frozen=True)
class Judgement:
    """One statement about one finding: does the measurement agree?"""

    code: str
    agrees: bool
    note: str


def judge(sentence: str, findings: Sequence[Finding]) -> list[Judgement]:
    """What the measurements say of the sentence; nothing for what was not measured or cannot be decided."""
    by_code: dict[str, list[Finding]] = {}
    for finding in findings:
        by_code.setdefault(finding.code, []).append(finding)
    found = [*_scales(sentence, by_code), *_axes(sentence, by_code), *_count(sentence, by_code)]
    found += [*_colours(sentence, by_code), *_structures(sentence, by_code)]
    return _once(found)


def from_words(texts: Sequence[str]) -> tuple[Finding, ...]:
    """Findings as `judge` reads them, of a case whose measurements were kept as words: "irregular border", "four
    colours", "red areas (9 %)". Words that no rule reads give none.
    """
    found = [
        Finding(code, code, value, unit, text, "as it was said") for text in texts for code, value, unit in _read(text)
    ]
    return tuple(found)


def _read(text: str) -> Iterator[tuple[str, float, str]]:
    """(code, value, unit) of each thing that a finding's words measure. A scale's value plays no part in `judge`."""
    for scale in SCALES:
        if _side(text, scale):
            yield scale.code, math.nan, ""
    number = re.fullmatch(rf"(no|{_COUNT}) {_COLOUR}(?: apart from the skin's)?", in_digits(text), re.IGNORECASE)
    if number:
        yield "colour_count", 0.0 if number[1].lower() == "no" else float(_count_of(number[1])), "colours"
    for code, words in COLOURS.items():
        share = r"(?: \((?P<share>\d+(?:\.\d+)?)\W*%\))?"
        areas = re.fullmatch(rf"(?:(?P<none>no)|hardly any)? ?(?:{words}) areas?{share}", text, re.IGNORECASE)
        if areas:
            yield code, 0.0 if areas["none"] else float(areas["share"] or PRESENT), "%"


def _once(found: Iterable[Judgement]) -> list[Judgement]:
    """One judgement a finding; a disagreement is not outvoted."""
    kept: dict[str, Judgement] = {}
    for item in found:
        if item.code not in kept or not item.agrees:
            kept[item.code] = item
    return list(kept.values())


def _side(text: str, scale: Scale) -> str | None:
    """'high', 'low', or None where the text takes no side or both."""
    sides = set()
    for name, words in (("high", scale.high), ("low", scale.low)):
        for match in re.finditer(words, text, re.IGNORECASE):
            negated = _negated(text, match.start())
            sides.add({"high": "low", "low": "high"}[name] if negated else name)
    return sides.pop() if len(sides) == 1 else None


_NEXT = re.compile(r"[.,;:!?]|\b(?:but|however|although|with|and)\b")
"""Findings stand in lists: "no hairs, symmetric" says nothing against the symmetry."""


def _negated(text: str, start: int) -> bool:
    before, after = _NEXT.split(text[:start])[-1], _NEXT.split(text[start:])[0]
    said = hear(before + after).said(len(before), len(before))
    return said.denied or said.rare


def _scales(sentence: str, by_code: dict[str, list[Finding]]) -> Iterator[Judgement]:
    for scale in SCALES:
        said = _side(sentence, scale)
        for finding in by_code.get(scale.code, ()):
            measured = _side(finding.text, scale)
            if said is None or measured is None:
                continue
            if said == measured:
                yield Judgement(scale.code, True, f"measured: {finding.text}")
            elif not pattern("slightly").search(finding.text) and not pattern("slightly").search(sentence):
                yield Judgement(scale.code, False, f"measured: {finding.text}")


def _axes(sentence: str, by_code: dict[str, list[Finding]]) -> Iterator[Judgement]:
    said = _axis_count(sentence)
    for finding in by_code.get("asymmetry", ()):
        measured = _axis_count(finding.text)
        if said and measured and said != measured:
            yield Judgement("asymmetry", False, f"measured: {finding.text}")


def _axis_count(text: str) -> int | None:
    if re.search(r"\basymmetr\w+ (?:about|in|along|on|across|around) (?:both|two) axes", text, re.IGNORECASE):
        return 2
    if re.search(r"\basymmetr\w+ (?:about|in|along|on|across|around) (?:one|a single|1) axis", text, re.IGNORECASE):
        return 1
    return None


def _count(sentence: str, by_code: dict[str, list[Finding]]) -> Iterator[Judgement]:
    for finding in by_code.get("colour_count", ()):
        note = f"measured: {finding.text}"
        value = round(finding.value)
        line = in_digits(sentence)
        number = re.search(rf"\b({_COUNT})(?: different| distinct)? {_COLOUR}\b", line, re.IGNORECASE)
        if number and not _negated(line, number.start()):
            yield Judgement("colour_count", _count_of(number[1]) == value, note)
        elif re.search(rf"\b(?:several|many|multiple) (?:\w+ )?{_COLOUR}\b", sentence, re.IGNORECASE):
            if value >= 3:
                yield Judgement("colour_count", True, note)
            elif value <= 1:
                yield Judgement("colour_count", False, note)


def _count_of(number: str) -> int:
    return int(number) if number.isdigit() else 1


def _colours(sentence: str, by_code: dict[str, list[Finding]]) -> Iterator[Judgement]:
    """'black areas', 'no white areas', 'areas of red': the noun is asked for, "white scale" is something else."""
    for code, words in COLOURS.items():
        pattern = (
            rf"\b(?:{words})(?:,? (?:and|or) [\w-]+(?: brown)?)? (?:areas?|colou?rs?|pigment(?:ation)?|patches"
            rf"|zones?)\b"
            rf"|\b(?:areas?|patches|zones?) of (?:{words})\b"
        )
        for match in re.finditer(pattern, sentence, re.IGNORECASE):
            for finding in by_code.get(code, ()):
                there = finding.value >= PRESENT
                if not there and finding.value >= 1:
                    continue  # hardly any: neither there nor absent
                said = not _negated(sentence, match.start())
                yield Judgement(code, said == there, f"measured: {finding.text}")


def _structures(sentence: str, by_code: dict[str, list[Finding]]) -> Iterator[Judgement]:
    """ "Milia-like cysts are seen", "the image shows no streaks"; a doubtful structure decides nothing."""
    if not re.search(_SHOWN, sentence, re.IGNORECASE):
        return
    for code, words in STRUCTURES.items():
        for match in re.finditer(rf"\b(?:{words})\b(?P<doubt> doubtful)?", sentence, re.IGNORECASE):
            for finding in by_code.get(code, ()):
                note = f"the specialist: {finding.text}"
                if match["doubt"] or finding.is_seen is None:
                    if match["doubt"] and finding.is_seen is None:
                        yield Judgement(code, True, note)
                    continue
                said = not _negated(sentence, match.start())
                yield Judgement(code, said == finding.is_seen, note)
