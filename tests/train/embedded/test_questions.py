"""The encoder of questions learns what it is shown, is saved as it stands, and goes on where it was cut off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dermiq.knowledge import Graph
from dermiq.knowledge.language import embed, questions
from dermiq.knowledge.retrieve.index import index_of
from dermiq.knowledge.retrieve.intents import INTENTS
from train.embedded import questions as teaching

GRAPH = Graph.load()
pytestmark = pytest.mark.skipif(not embed.available(), reason=embed.NOTE)


@pytest.fixture(scope="module")
def shown() -> list[teaching.Asked]:
    rows = [row for row in teaching.marked_questions() if row["facts"]][:6]
    out = next(row for row in teaching.marked_questions() if row.get("intent") == "out")
    return [teaching.asked_of(GRAPH, row) for row in (*rows, out)] + teaching.wordings()[:3]


def test_a_question_is_read_with_what_answers_it(shown: list[teaching.Asked]) -> None:
    for one in shown[:6]:
        assert one.marked
        assert not set(one.marked) & set(one.others)
    assert (shown[6].scope, shown[6].marked) == (teaching.ALL_OUT, ())
    assert {one.intent for one in shown[7:]} == {list(INTENTS).index("why")}


def test_the_head_of_intents_is_fitted_to_its_best_and_the_rest_stays() -> None:
    net, rows = teaching.shipped(questions.FOLDER), teaching.wordings()[:48:3]
    before = net.network.state_dict()["encoder.layer.0.output.dense.weight"].clone()
    teaching.refit(net, rows)
    with torch.inference_mode():
        told = net.told("intents", net.encode([one.bare for one in rows])).argmax(dim=1)
    assert told.tolist() == [one.intent for one in rows]
    assert torch.equal(net.network.state_dict()["encoder.layer.0.output.dense.weight"], before)


def test_steps_draw_questions_to_their_facts_and_what_is_saved_says_the_same(
    shown: list[teaching.Asked], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    net = teaching.Hearing()
    loss_of = teaching.Loss(GRAPH)
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=1e-4)
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        loss = loss_of(net, shown)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.5
    teaching.save(net, tmp_path)
    monkeypatch.setattr(questions, "FOLDER", tmp_path)
    caches = (questions._network, questions._heads, questions.labels)
    for cache in caches:
        cache.cache_clear()
    try:
        with torch.inference_mode():
            vectors = net.eval().encode([shown[0].bare])
            told = torch.softmax(net.told("intents", vectors), dim=1).numpy()
            placed = net.placed("bare", torch.tensor(index_of(GRAPH).bare_sentences[:5])).numpy()
        again = questions.encode([shown[0].bare])
        assert np.abs(again - vectors.numpy()).max() < 0.01
        assert np.abs(questions.intents(again) - told).max() < 0.02
        assert np.allclose(questions.placed("bare", index_of(GRAPH).bare_sentences[:5]), placed, atol=1e-4)
        assert questions.labels()["intents"] == list(INTENTS)
    finally:
        for cache in caches:
            cache.cache_clear()


def test_what_is_masked_draws_nothing(shown: list[teaching.Asked]) -> None:
    """A fact about another condition is neither sought nor shunned by the bare question."""
    logits = torch.zeros(1, 4)
    marked = torch.tensor([[True, False, False, False]])
    among = torch.tensor([[True, True, False, False]])
    assert teaching._drawn(logits.masked_fill(~among, -torch.inf), marked).item() == pytest.approx(np.log(2))
    assert teaching._drawn(logits, marked).item() == pytest.approx(np.log(4))
    few = replace(shown[0], others=shown[0].others[:2])  # told from too few: left out
    with torch.inference_mode():
        alone = teaching.Loss(GRAPH)
        net = teaching.Hearing().eval()
        assert alone(net, [few, shown[7]]).item() < alone(net, [shown[0], shown[7]]).item()


def test_a_quarter_is_kept_for_the_ranker_and_always_the_same() -> None:
    rows = teaching.marked_questions()
    kept = [teaching.is_for_ranking(row) for row in rows]
    assert 0.2 < sum(kept) / len(kept) < 0.3
    assert len({row["id"] for row in rows}) == len(rows)
    told = {row["id"]: row["part"] for row in rows if row.get("part") in ("encoder", "ranker")}
    assert all((told[row["id"]] == "ranker") == keep for row, keep in zip(rows, kept, strict=True) if row["id"] in told)
