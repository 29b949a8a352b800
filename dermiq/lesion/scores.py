"""Scores that dermatologists use, as far as they can be computed from findings. Knows findings alone.

Every criterion is judged or not: a score is a range, from what was seen to what it would be if all that could not be
judged were there. None was validated as a whole here; each shows what it rests on. The rules: ABCD rule of dermoscopy
(Stolz), 7-point checklist of dermoscopy (Argenziano et al. 1998), 3-point checklist (Soyer et al.), at the addresses
in `SOURCES`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dermiq.types import Finding

SOURCES: Mapping[str, str] = {
    "ABCD rule (TDS)": "https://dermoscopedia.org/ABCD_rule",
    "7-point checklist": "https://dermoscopy.org/atlas/4step/point_d.htm",
    "3-point checklist": "https://dermnetnz.org/cme/dermoscopy-course/three-point-checklist",
}
TDS_SUSPICIOUS, TDS_HIGH = 4.75, 5.45  # total dermoscopy score from which a lesion is suspicious, highly suspicious
SEVEN_POINTS, THREE_POINTS = 3, 2  # points from which melanoma (a malignant lesion) is suspected
PRESENT, TRACE = 5.0, 1.0  # % of the lesion from which a colour is there, below which it is not
NOT_JUDGED = "not judged"


@dataclass(frozen=True)
class Criterion:
    """One criterion: its points as seen, the most that it can have, and why. Alike where it was judged."""

    name: str
    low: float
    high: float
    basis: str

    @property
    def is_judged(self) -> bool:
        return self.low == self.high


@dataclass(frozen=True)
class Score:
    name: str
    criteria: tuple[Criterion, ...]
    suspicious: float  # from here on
    meaning: str  # of the range, in a sentence

    @property
    def low(self) -> float:
        return round(sum(one.low for one in self.criteria), 2)

    @property
    def high(self) -> float:
        return round(sum(one.high for one in self.criteria), 2)

    @property
    def source(self) -> str:
        """An address."""
        return SOURCES[self.name]

    @property
    def text(self) -> str:
        """ "2 to 5"."""
        low, high = (f"{value:g}" for value in (self.low, self.high))
        return low if low == high else f"{low} to {high}"


def scores(findings: Sequence[Finding]) -> tuple[Score, ...]:
    """The three scores of one image's findings; () where structures or colours were not judged, as on a close-up."""
    found = {finding.code: finding for finding in reversed(findings)}
    if not {"pigment_network", "colour_count", "asymmetry"} <= set(found):
        return ()
    return abcd(found), seven_points(found), three_points(found)


def abcd(found: Mapping[str, Finding]) -> Score:
    """TDS = 1.3 A + 0.1 B + 0.5 C + 0.5 D; A from 0 to 2, B from 0 to 8, C from 1 to 6, D from 1 to 5."""
    axes = _axes(found)
    colours = min(6.0, max(1.0, found["colour_count"].value))
    structures = [found[code] for code in ("pigment_network", "streaks", "globules")]
    there = [one for one in structures if one.is_seen]
    least = max(1, len(there))
    most = min(5, max(1, sum(one.is_seen is not False for one in structures) + 2))
    words = ", ".join(one.text for one in structures)
    criteria = (
        Criterion("asymmetry", 1.3 * axes, 1.3 * axes, f"{_text(found, 'asymmetry', 'colour_asymmetry')}"),
        Criterion("border", 0.0, 0.8, f"abrupt endings of the pigment: {NOT_JUDGED}"),
        Criterion("colours", 0.5 * colours, 0.5 * colours, found["colour_count"].text),
        Criterion("structures", 0.5 * least, 0.5 * most, f"{words}; structureless areas and dots: {NOT_JUDGED}"),
    )
    score = Score("ABCD rule (TDS)", criteria, TDS_SUSPICIOUS, "")
    if score.low > TDS_HIGH:
        meaning = f"above {TDS_HIGH}, highly suspicious by this rule"
    elif score.low >= TDS_SUSPICIOUS:
        meaning = f"at least {TDS_SUSPICIOUS}, suspicious by this rule"
    elif score.high < TDS_SUSPICIOUS:
        meaning = f"below {TDS_SUSPICIOUS}, from which this rule suspects, whatever was not judged"
    else:
        meaning = f"{TDS_SUSPICIOUS} (suspicious by this rule) lies within the range"
    return Score(score.name, criteria, score.suspicious, meaning)


def seven_points(found: Mapping[str, Finding]) -> Score:
    """Argenziano's checklist: three major criteria of two points, four minor ones of one."""
    criteria = (
        _if_there("atypical network", 2, found["pigment_network"], "whether it is atypical"),
        _colour("blue-white veil", 2, [found.get("colour_blue_gray")], "whether it is a veil"),
        Criterion("atypical vessels", 0, 2, NOT_JUDGED),
        _if_there("irregular streaks", 1, found["streaks"], "whether they are irregular"),
        _if_there("irregular dots or globules", 1, found["globules"], "whether they are irregular"),
        Criterion("irregular blotches", 0, 1, NOT_JUDGED),
        _colour(
            "regression", 1, [found.get("colour_white"), found.get("colour_blue_gray")], "whether it is regression"
        ),
    )
    return _of_points("7-point checklist", criteria, SEVEN_POINTS, "melanoma is suspected")


def three_points(found: Mapping[str, Finding]) -> Score:
    """Soyer's checklist: asymmetry of colour or structure, atypical network, blue-white structures, a point each."""
    uneven = found.get("colour_asymmetry")
    striking = uneven is not None and "unevenly" in uneven.text
    colours = [one for code in ("colour_blue_gray", "colour_white") if (one := found.get(code)) is not None]
    basis = (uneven.text if uneven else "colours: " + NOT_JUDGED) + ("" if striking else f"; structures: {NOT_JUDGED}")
    shown = [one for one in colours if one.value >= PRESENT]
    blue_white = (
        Criterion("blue-white structures", 1, 1, ", ".join(one.text for one in shown))
        if shown
        else _colour("blue-white structures", 1, colours, "whether it counts")
    )
    criteria = (
        Criterion("asymmetry of colour or structure", float(striking), 1, basis),
        _if_there("atypical network", 1, found["pigment_network"], "whether it is atypical"),
        blue_white,
    )
    return _of_points("3-point checklist", criteria, THREE_POINTS, "a malignant lesion is suspected")


def _of_points(name: str, criteria: tuple[Criterion, ...], enough: float, what: str) -> Score:
    low, high = sum(one.low for one in criteria), sum(one.high for one in criteria)
    if low >= enough:
        meaning = f"at least {enough}, so {what} by this rule"
    elif high < enough:
        meaning = f"below {enough}, from which {what}, whatever was not judged"
    else:
        meaning = f"{enough}, from which {what}, lies within the range"
    return Score(name, criteria, enough, meaning)


def _axes(found: Mapping[str, Finding]) -> int:
    """Axes about which shape is asymmetric; at least one where colours are unevenly placed."""
    text = found["asymmetry"].text
    axes = 2 if "both axes" in text else 1 if "one axis" in text else 0
    uneven = found.get("colour_asymmetry")
    return max(axes, int(uneven is not None and "unevenly" in uneven.text))


def _text(found: Mapping[str, Finding], *codes: str) -> str:
    return ", ".join(found[code].text for code in codes if code in found)


def _if_there(name: str, points: float, finding: Finding, open_question: str) -> Criterion:
    """No points where the structure is not seen; else open, since its form was not judged."""
    if finding.is_seen is False:
        return Criterion(name, 0, 0, finding.text)
    return Criterion(name, 0, points, f"{finding.text}; {open_question}: {NOT_JUDGED}")


def _colour(name: str, points: float, colours: Iterable[Finding | None], open_question: str) -> Criterion:
    """No points where none of the colours is there; else open."""
    known = [one for one in colours if one is not None]
    words = ", ".join(one.text for one in known)
    if known and all(one.value < TRACE for one in known):
        return Criterion(name, 0, 0, words)
    return Criterion(name, 0, points, f"{words}; {open_question}: {NOT_JUDGED}" if words else NOT_JUDGED)
