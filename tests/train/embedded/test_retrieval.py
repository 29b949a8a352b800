"""What ranks facts is fitted as the command says: on made-up questions whose answer is known."""

from __future__ import annotations

import json

import numpy as np
import torch

from dermiq.knowledge.retrieve import rank
from dermiq.knowledge.schema import RELATIONS
from train.embedded import retrieval
from train.embedded.retrieval import Pairs, Scale, fit

QUESTIONS, EACH = 40, 6


def _pairs(directions: int, intents: int = 0) -> Pairs:
    """The first feature or, where there are directions, the same direction of question and fact marks a fact; with two
    intents the first feature marks it under the one and speaks against it under the other.
    """
    generator = np.random.default_rng(3)
    features = generator.normal(size=(QUESTIONS, EACH, 2))
    parts = generator.normal(size=(QUESTIONS, directions))
    facts = generator.normal(size=(QUESTIONS, EACH, directions))
    worth = (facts * parts[:, None]).sum(axis=2) if directions else features[:, :, 0]
    wants = np.eye(intents)[np.arange(QUESTIONS) % intents] if intents else np.zeros((QUESTIONS, 0))
    if intents:
        worth = features[:, :, 0] * np.where(wants[:, :1] > 0, 1, -1)
    marked = worth == worth.max(axis=1, keepdims=True)
    return Pairs(
        features=torch.tensor(features.reshape(-1, 2), dtype=torch.float32),
        relation=torch.zeros(QUESTIONS * EACH, dtype=torch.long),
        marked=torch.tensor(marked.reshape(-1), dtype=torch.float32),
        question=torch.arange(QUESTIONS).repeat_interleave(EACH),
        parts=torch.tensor(parts, dtype=torch.float32),
        nearest=torch.arange(QUESTIONS).repeat_interleave(EACH),
        fact=torch.tensor(facts.reshape(QUESTIONS * EACH, directions), dtype=torch.float32),
        wants=torch.tensor(wants, dtype=torch.float32),
        questions=QUESTIONS,
    )


def _led_by_a_mark(pairs: Pairs) -> float:
    best = fit(pairs)(pairs).reshape(QUESTIONS, EACH).argmax(dim=1)
    return float(pairs.marked.reshape(QUESTIONS, EACH)[torch.arange(QUESTIONS), best].mean())


def test_the_feature_that_marks_gets_the_weight() -> None:
    pairs = _pairs(0)
    telling, noise = fit(pairs).features.tolist()
    assert telling > 1 > abs(noise)
    assert _led_by_a_mark(pairs) > 0.9


def test_a_likeness_that_no_feature_tells_is_learnt() -> None:
    assert _led_by_a_mark(_pairs(3)) > 0.9


def test_what_an_intent_makes_of_a_feature_is_learnt() -> None:
    assert _led_by_a_mark(_pairs(0, intents=2)) > 0.9


def test_the_fit_is_the_same_twice() -> None:
    one, other = fit(_pairs(3)), fit(_pairs(3))
    assert torch.equal(one.pairs, other.pairs)
    assert torch.equal(one.features, other.features)


def test_the_log_shares_are_a_softmax_within_each_question() -> None:
    pairs = _pairs(0)
    logits = torch.linspace(-200, 200, QUESTIONS * EACH)
    expected = torch.log_softmax(logits.reshape(QUESTIONS, EACH), dim=1).reshape(-1)
    assert torch.allclose(retrieval._log_shares(logits, pairs), expected, atol=1e-4)


def test_the_weights_written_undo_the_scaling() -> None:
    fitted = fit(_pairs(0))
    none = np.zeros((0, 0))
    written = fitted.readable(Scale([0, 8], np.zeros(2), np.array([2.0, 0.5]), none, none, none))
    names = list(rank.FEATURES)
    assert list(written["features"]) == [names[0], names[8]]
    scaled = np.array(list(written["features"].values())) * [2.0, 0.5]
    assert np.allclose(scaled, fitted.features.detach().numpy(), atol=1e-3)
    assert set(written["relations"]) == set(RELATIONS)


def test_what_ships_has_a_weight_for_every_feature_and_relation() -> None:
    held = json.loads((rank.WEIGHTS / "ranker.json").read_text(encoding="utf-8"))
    assert set(held["meaning"]["features"]) == set(rank.FEATURES)
    assert set(held["words"]["features"]) == set(rank.FEATURES) - rank.SEMANTIC
    for part in held.values():
        assert set(part["relations"]) == set(RELATIONS)
    assert set(rank.taught().relations) == set(RELATIONS)
