"""The scores that dermatologists use: points from findings, a range where a criterion was not judged."""

from __future__ import annotations

from dermiq.lesion.scores import SOURCES, Score, scores
from dermiq.specialist.structures import structure_findings
from dermiq.types import STRUCTURES, Finding


def finding(code: str, value: float, text: str) -> Finding:
    return Finding(code, code, value, "", text, "")


def case(*, axes: str, uneven: bool, colours: int, blue: float, white: float, **chances: float) -> tuple[Finding, ...]:
    placed = "unevenly" if uneven else "evenly"
    return (
        finding("asymmetry", 1, axes),
        finding("colour_asymmetry", 1, f"colours {placed} placed"),
        finding("colour_count", colours, f"{colours} colours"),
        finding("colour_blue_gray", blue, "blue-gray areas" if blue >= 5 else "no blue-gray areas"),
        finding("colour_white", white, "white areas" if white >= 5 else "no white areas"),
        *structure_findings(dict.fromkeys(STRUCTURES, 0.02) | chances),
    )


def named(findings: tuple[Finding, ...]) -> dict[str, Score]:
    return {score.name: score for score in scores(findings)}


ALARMING = case(
    axes="asymmetric about both axes",
    uneven=True,
    colours=5,
    blue=20,
    white=8,
    pigment_network=0.9,
    streaks=0.8,
    globules=0.9,
)
QUIET = case(axes="symmetric", uneven=False, colours=1, blue=0, white=0)


def test_the_abcd_rule_adds_up() -> None:
    alarming, quiet = named(ALARMING)["ABCD rule (TDS)"], named(QUIET)["ABCD rule (TDS)"]
    assert alarming.low == 2 * 1.3 + 0 + 5 * 0.5 + 3 * 0.5
    assert alarming.high == round(alarming.low + 0.8 + 2 * 0.5, 2)
    assert "highly suspicious" in alarming.meaning
    assert (quiet.low, quiet.high) == (1.0, 0.8 + 0.5 + 1.0)
    assert "below 4.75, from which this rule suspects, whatever was not judged" in quiet.meaning


def test_the_checklists_know_what_they_did_not_judge() -> None:
    alarming, quiet = named(ALARMING), named(QUIET)
    seven = alarming["7-point checklist"]
    assert (seven.low, seven.high) == (0, 10), "nothing of it was judged to be there, and nothing excluded"
    assert quiet["7-point checklist"].high == 3, "vessels and blotches"
    assert "lies within the range" in quiet["7-point checklist"].meaning
    three = alarming["3-point checklist"]
    assert (three.low, three.high) == (2, 3)
    assert three.meaning.startswith("at least 2")
    assert (quiet["3-point checklist"].low, quiet["3-point checklist"].high) == (0, 1)
    assert quiet["3-point checklist"].meaning.startswith("below 2")


def test_every_criterion_says_what_it_rests_on() -> None:
    for score in (*scores(ALARMING), *scores(QUIET)):
        assert score.source == SOURCES[score.name]
        for criterion in score.criteria:
            assert criterion.basis
            assert criterion.low <= criterion.high
            assert criterion.is_judged or "not judged" in criterion.basis or criterion.name == "structures"


def test_a_close_up_has_no_scores() -> None:
    assert scores(tuple(one for one in QUIET if one.code not in STRUCTURES)) == ()
    assert scores(()) == ()
