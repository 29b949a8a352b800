"""Structures as findings: their words, their ratios, how they are fitted, and what sentences may say of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dermiq.knowledge.check.measured import judge
from dermiq.lesion import FindingsReference
from dermiq.specialist.structures import default_reference, said, structure_findings
from dermiq.types import STRUCTURES, Finding
from train.embedded.calibrate import best_weights, platt
from train.embedded.findings import build_reference


def found(**chances: float) -> dict[str, Finding]:
    made = structure_findings(dict.fromkeys(STRUCTURES, 0.05) | chances)
    return {finding.code: finding for finding in made}


@pytest.mark.parametrize(
    ("chance", "text"),
    [
        (0.88, "milia-like cysts seen (88 %)"),
        (0.5, "milia-like cysts seen (50 %)"),
        (0.35, "milia-like cysts doubtful (35 %)"),
        (0.19, "no milia-like cysts seen (19 %)"),
        (0.004, "no milia-like cysts seen (under 1 %)"),
    ],
)
def test_words_follow_the_certainty(chance: float, text: str) -> None:
    assert said("milia-like cysts", chance) == text


def test_a_structure_is_seen_not_seen_or_open() -> None:
    made = found(pigment_network=0.9, globules=0.3)
    assert [made[code].is_seen for code in ("pigment_network", "globules", "streaks")] == [True, None, False]


def test_ratios_come_from_the_reference() -> None:
    rng = np.random.default_rng(0)
    labels = np.array(["nv"] * 300 + ["bkl"] * 300)
    cysts = np.concatenate([rng.uniform(0, 30, 300), rng.uniform(20, 100, 300)])
    values = {code: cysts if code == "milia_like_cyst" else rng.uniform(0, 100, 600) for code in STRUCTURES}
    reference: FindingsReference = build_reference(labels, values)
    made = structure_findings(dict.fromkeys(STRUCTURES, 0.95), reference=reference)
    by_code = {finding.code: finding for finding in made}
    assert by_code["milia_like_cyst"].likelihood_ratios["bkl"] > 3
    assert 0.6 < by_code["streaks"].likelihood_ratios["bkl"] < 1.6
    assert by_code["milia_like_cyst"].n


def test_what_ships_has_every_structure() -> None:
    reference = default_reference()
    assert reference is not None
    assert set(reference.codes) == set(STRUCTURES)
    sure = {f.code: f for f in structure_findings(dict.fromkeys(STRUCTURES, 0.9), reference=reference)}
    assert sure["pigment_network"].likelihood_ratios["mel"] > 1 > sure["pigment_network"].likelihood_ratios["bcc"]
    assert sure["streaks"].likelihood_ratios["mel"] > 1
    assert sure["globules"].likelihood_ratios["nv"] > 1


@pytest.mark.parametrize(
    ("sentence", "agrees"),
    [
        ("The specialist sees pigment network.", True),
        ("A pigment network is seen on this image.", True),
        ("The image shows no pigment network.", False),
        ("The lesion shows streaks.", False),
        ("No streaks are seen.", True),
        ("The image shows a negative network.", False),
        (
            "The specialist's reading: pigment network seen (90 %); globules doubtful (30 %); no streaks seen (5 %).",
            True,
        ),
    ],
)
def test_sentences_are_held_against_what_is_seen(sentence: str, agrees: bool) -> None:
    judged = judge(sentence, tuple(found(pigment_network=0.9, globules=0.3).values()))
    assert judged
    assert all(one.agrees for one in judged) is agrees


@pytest.mark.parametrize(
    "sentence",
    [
        "Milia-like cysts are typical of seborrheic keratosis.",
        "The image shows globules.",
        "Streaks are a sign of melanoma.",
    ],
)
def test_what_is_general_or_doubtful_is_not_decided(sentence: str) -> None:
    assert judge(sentence, tuple(found(globules=0.3).values())) == []


def test_platt_makes_honest_probabilities() -> None:
    rng = np.random.default_rng(1)
    truth = rng.random(2000) < 0.2
    logits = torch.tensor(rng.normal(0, 1, 2000) + 2 * truth + 3.0, dtype=torch.float32)
    scale, shift = platt(logits, truth.astype(np.float32))
    chances = (logits * scale + shift).sigmoid().numpy()
    assert chances.mean() == pytest.approx(truth.mean(), abs=0.02)
    high = chances > 0.5
    assert truth[high].mean() == pytest.approx(chances[high].mean(), abs=0.08)


def test_the_look_that_knows_more_weighs_more() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 7, (500,), generator=generator)
    logits = torch.randn(500, 3, 7, generator=generator)
    logits[torch.arange(500), 2, labels] += 3
    weights = best_weights(logits, labels)
    assert sum(weights) == pytest.approx(1)
    assert weights[2] > 0.7
