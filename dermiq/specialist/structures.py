"""Dermoscopic structures as findings: how surely each is there, and what that has meant so far. Knows no pixels.

The network says how probable it is that dermatologists would have drawn a structure; that is calibrated on images kept
apart, and stated with its percentile among benign lesions and its likelihood ratios like every other finding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from dermiq import places
from dermiq.lesion import FindingsReference
from dermiq.types import SEEN, STRUCTURES, UNSEEN, Finding

REFERENCE_PATH = places.WEIGHTS / "specialist" / "structures_reference.json"
NAMES: Mapping[str, str] = {
    "globules": "globules",
    "milia_like_cyst": "milia-like cysts",
    "negative_network": "negative network",
    "pigment_network": "pigment network",
    "streaks": "streaks",
}
DEFINITION = (
    "How probable it is that dermatologists would have drawn {name} on this image, by a network that learned from "
    "structures drawn on 1,680 dermoscopic images (ISIC 2018, task 2); calibrated on images kept apart. Seen from "
    f"{SEEN:.0f} %, not seen below {UNSEEN:.0f} %. For dermoscopy only."
)


@cache
def default_reference() -> FindingsReference | None:
    """What the structures' probabilities were among labelled lesions; None where that was not counted."""
    return FindingsReference.load(REFERENCE_PATH) if REFERENCE_PATH.is_file() else None


def structure_findings(
    chances: Mapping[str, float], *, reference: FindingsReference | None = None
) -> tuple[Finding, ...]:
    """One finding a structure, in the order of `STRUCTURES`, from calibrated probabilities."""
    found = []
    for code in STRUCTURES:
        name, value = NAMES[code], round(100 * chances[code], 1)
        definition = DEFINITION.format(name=name)
        finding = Finding(code, name.capitalize(), value, "%", said(name, chances[code]), definition)
        if reference is not None and code in reference.codes:
            ratios, n = reference.likelihood_ratios(code, value)
            finding = replace(finding, percentile=reference.percentile(code, value), likelihood_ratios=ratios, n=n)
        found.append(finding)
    return tuple(found)


def said(name: str, chance: float) -> str:
    """ "milia-like cysts seen (88 %)", "no streaks seen (3 %)", "globules doubtful (35 %)"."""
    share = f"{100 * chance:.0f} %" if chance >= 0.01 else "under 1 %"
    if 100 * chance >= SEEN:
        return f"{name} seen ({share})"
    return f"no {name} seen ({share})" if 100 * chance < UNSEEN else f"{name} doubtful ({share})"
