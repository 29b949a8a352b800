"""The sentence that a reader sees for each edge: one consistent phrasing per relation.

Knows names and numbers, not the graph.
"""

from __future__ import annotations

import re

from dermiq.knowledge.language.text import word_set

_UNCOUNTABLE = word_set(
    "ulceration peppering regression erythema hypertrichosis depigmentation pigmentation demarcation asymmetry "
    "scale scar change lacunae"
)


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def with_article(name: str) -> str:
    """'atypical pigment network' -> 'an atypical pigment network'; plurals and uncountable words stay bare."""
    head = re.split(r" (?:with|over|from|in|confined|above|of|to) ", name)[0].split()[-1].lower()
    if head in _UNCOUNTABLE or (head.endswith("s") and not head.endswith("ss")):
        return name
    if head == "sign":
        return f"the {name}"
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def percent(share: float) -> str:
    return f"{share * 100:.0f} %"


def dermoscopy(condition: str, feature: str, *, context: str = "") -> str:
    start = f"{capital(context)}, dermoscopy" if context else "Dermoscopy"
    return f"{start} of {condition} typically shows {with_article(feature)}."


def dermoscopy_rare(condition: str, feature: str) -> str:
    return f"Dermoscopy of {condition} shows {with_article(feature)} in rare cases."


def dermoscopy_lacks(condition: str, feature: str) -> str:
    return f"Dermoscopy of {condition} typically shows no {feature}."


def dermoscopy_pitfall(condition: str, feature: str) -> str:
    return f"Pitfall: {condition} can also show {feature} on dermoscopy."


def dermoscopy_counted(condition: str, feature: str, *, hits: int, total: int) -> str:
    return f"Dermoscopy of {condition} showed {with_article(feature)} in {hits} of {total} lesions."


def dermoscopy_agreed(condition: str, feature: str, *, share: float) -> str:
    return (
        f"Dermoscopy of {condition} typically shows {with_article(feature)} "
        f"({percent(share)} agreement in an expert panel)."
    )


def atlas_present(plural: str, feature: str, *, share: float, lift: float) -> str:
    return (
        f"In the Derm7pt atlas, {percent(share)} of {plural} showed {with_article(feature)}, "
        f"{lift:.1f} times the average."
    )


def atlas_rare(plural: str, feature: str, *, share: float, overall: float) -> str:
    amount = "none" if share == 0 else f"only {percent(share)}"
    return (
        f"In the Derm7pt atlas, {amount} of the {plural} showed {with_article(feature)}, "
        f"against {percent(overall)} of all lesions."
    )


def atlas_lacking(plural: str, feature: str, *, share: float, overall: float) -> str:
    return (
        f"In the Derm7pt atlas, {percent(share)} of {plural} lacked {with_article(feature)}, "
        f"against {percent(overall)} of all lesions."
    )


def atlas_site(plural: str, site: str, *, share: float, lift: float) -> str:
    return f"In the Derm7pt atlas, {percent(share)} of {plural} lay {site}, {lift:.1f} times the average."


def likelihood(
    statement: str,
    plural: str,
    *,
    ratio: float,
    interval: tuple[float, float],
    shown: tuple[int, int],
    others: tuple[int, int],
) -> str:
    """`shown` and `others`: lesions with the finding and all lesions, of the diagnosis and of the other six classes."""
    low, high = (times(value) for value in interval)
    return (
        f"Among {shown[1] + others[1]:,} training lesions, {statement} was {times(ratio)} times as common in "
        f"{plural} as in the other six diagnoses (95 % interval {low} to {high}; "
        f"{shown[0]:,} of {shown[1]:,} against {others[0]:,} of {others[1]:,})."
    )


def times(ratio: float) -> str:
    """'2.1', '0.37': a digit more below 1, where it says as much."""
    return f"{ratio:.1f}" if ratio >= 1 else f"{ratio:.2f}"


def look_alike(condition: str, other: str, *, both: int, cases: int) -> str:
    often = "easily" if both / cases >= 0.1 else "sometimes"
    return f"{capital(condition)} is {often} confused with {other}: readers named both in {both} of {cases} cases."


def kind_of(condition: str, parent: str, *, parent_plural: str, is_group: bool) -> str:
    if is_group:
        return f"{capital(condition)} is one of the {parent_plural}."
    return f"{capital(condition)} is a form of {parent}."


def behaviour(condition: str, kind: str) -> str:
    words = {
        "benign": "is benign",
        "malignant": "is malignant",
        "indeterminate": "is neither clearly benign nor malignant: it can progress",
    }
    return f"{capital(condition)} {words[kind]}."


def risk(condition: str, level: int) -> str:
    words = ("low", "medium", "high")
    return f"Dermatologists rate {condition} as a condition of {words[level]} risk."


def coded(condition: str, system: str, code: str) -> str:
    return f"{capital(condition)} is coded {code} in {system}."
