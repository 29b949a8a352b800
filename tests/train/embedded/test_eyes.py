"""The third look's trainings, at a size of seconds: they run, stop, go on, and learn what is there to be learned."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from dermiq.specialist.vit import StructureHeads, ViTNet
from dermiq.types import CLASSES, STRUCTURES
from train.embedded.metrics import cancer_sensitivity, sensitivity_at, set_figures
from train.embedded.second_look import Batch, Config, groups_of, losses_of, started, train
from train.embedded.structure_heads import Seen, fit, judged


def test_the_second_look_trains_stops_and_goes_on(real_data: Path, tmp_path: Path) -> None:
    options = {"out": str(tmp_path), "data": str(real_data), "batch": 8, "size": 28, "limit": 24, "threads": 1}
    train(Config(steps=2, eval_every=2, **options))  # type: ignore[arg-type]
    first = torch.load(tmp_path / "average.pt", weights_only=True)
    train(Config(steps=4, eval_every=2, **options), resume=True)  # type: ignore[arg-type]
    second = torch.load(tmp_path / "average.pt", weights_only=True)
    frozen = [name for name in first if name.startswith(("tower.embeddings", "tower.encoder.layer.0."))]
    assert frozen
    assert all(torch.equal(first[name], second[name]) for name in frozen)
    assert not torch.equal(first["classifier.weight"], second["classifier.weight"])
    logged = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in logged if "square accuracy" in line] == [2, 4]


def test_deeper_blocks_learn_faster() -> None:
    config = Config(frozen_blocks=3)
    net = started(config)
    groups = list(groups_of(net, config))
    rates = sorted({float(str(group["lr"])) for group in groups})
    assert rates[-1] == config.head_rate
    assert rates[-2] == pytest.approx(config.learning_rate)
    assert rates[0] == pytest.approx(config.learning_rate * config.layer_decay**8), "the fourth of twelve blocks"


def test_places_are_learned_only_where_they_were_drawn() -> None:
    net = ViTNet().eval()
    seen = net(torch.randn(2, 3, 28, 28))
    none = torch.zeros(2, dtype=torch.bool)
    presence, maps = torch.zeros(2, len(STRUCTURES)), torch.zeros(2, len(STRUCTURES) + 1, 2, 2)
    unknown = Batch(torch.zeros(0), torch.tensor([0, 1]), presence, maps, none, none)
    _, of_presence, of_places = losses_of(seen, unknown, smoothing=0.0, mix=None)
    assert of_presence.item() == of_places.item() == 0.0
    known = Batch(torch.zeros(0), torch.tensor([0, 1]), presence, maps, ~none, ~none)
    parts = losses_of(seen, known, smoothing=0.0, mix=None)
    assert all(part.item() > 0 for part in parts)
    assert losses_of(seen, known, smoothing=0.0, mix=0.5)[2].item() == 0.0, "a blend has no places"


def made(n: int, generator: torch.Generator, *, width: int) -> Seen:
    """Images whose first structure is a bright direction at some of their places."""
    presence = (torch.rand(n, len(STRUCTURES), generator=generator) < 0.4).float()
    tokens = torch.randn(n, 16, width, generator=generator)
    places = torch.zeros(n, 16, len(STRUCTURES))
    for row in range(n):
        if presence[row, 0]:
            at = torch.randperm(16, generator=generator)[:5]
            tokens[row, at, 0] += 4
            places[row, at, 0] = 1
    return Seen(tokens.half(), torch.randn(n, 16, generator=generator), presence, places)


def test_heads_learn_a_structure_from_its_places() -> None:
    generator = torch.Generator().manual_seed(0)
    heads = StructureHeads(layers=(1, 2), hidden=8)
    train_part, val_part = (made(n, generator, width=16) for n in (300, 120))
    fit(heads, train_part, val_part, epochs=80)
    _, aurocs = judged(heads, val_part)
    assert aurocs[0] > 0.9
    assert max(aurocs[1:]) < 0.8, "there is nothing to be seen of the others"


def test_the_network_gives_tokens_of_several_layers() -> None:
    net = ViTNet().eval()
    with torch.no_grad():
        tokens, image = net.tokens(torch.randn(2, 3, 42, 42), (6, 9, 12))
    assert tokens.shape == (2, 9, 3 * 384)
    assert image.shape == (2, 768)
    presence, places = StructureHeads().eval()(tokens, image)
    assert presence.shape == (2, 5)
    assert places.shape == (2, 9, 5)


def test_sensitivity_is_read_off_at_a_specificity() -> None:
    positive = np.array([True] * 4 + [False] * 10)
    scores = np.array([0.95, 0.85, 0.5, 0.1, *np.linspace(0, 0.9, 10)])
    assert sensitivity_at(positive, scores, 0.9) == 0.5
    assert sensitivity_at(positive[:4], scores[:4], 0.9) is None
    labels = np.array([CLASSES.index(code) for code in ("mel", "nv", "bcc", "nv")])
    shares = np.eye(len(CLASSES))[labels]
    assert cancer_sensitivity(labels, shares) == 1.0
    held = set_figures(labels, [("mel", "nv"), ("nv",), ("nv",), ("nv",)])
    assert held["coverage"] == 0.75
    assert held["mean_size"] == 1.25
