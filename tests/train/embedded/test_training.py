"""The two trainings that ship weights, at a size of seconds: they run end to end and move what they should."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dermiq.answering.judge import follow_up_matches_answer
from dermiq.errors import ModelError
from dermiq.knowledge import Graph, retrieve
from dermiq.lesion import default_reference, measure_findings
from dermiq.lesion.drawn import drawn_examples
from dermiq.specialist import Specialist
from dermiq.specialist.model import SpecialistNet
from dermiq.specialist.reader import mirrored, squash
from dermiq.types import CLASSES, Evidence, Lesion, PatientContext
from dermiq.vlm.nano import assemble
from dermiq.vlm.parse import parse
from dermiq.vlm.prompts import (
    ANSWER_PREFILL,
    answer_candidates,
    assistant_message,
    differential_messages,
    follow_up_message,
    system_message,
)
from tests.tiny import save_tiny_base
from train.cases import texts
from train.cases.data import read_table
from train.embedded import nano, specialist
from train.embedded.nano_examples import Teacher, towers_of


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, real_data: Path) -> Path:
    """Random weights in place of the pretrained ones: no download in a test."""
    monkeypatch.setattr(specialist, "pretrained_tower", lambda tower: None)
    return real_data


def test_specialist_trains_stops_and_goes_on(quick: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "out": str(tmp_path),
        "data": str(quick),
        "batch": 8,
        "small_size": 64,
        "large_size": 64,
        "limit": 24,
        "threads": 1,
        "eval_every": 2,
    }
    torch.manual_seed(1)
    start = SpecialistNet().state_dict()
    specialist.train(specialist.Config(steps=2, **options))
    first = torch.load(tmp_path / "average.pt", weights_only=True)
    frozen = [name for name in first if name.startswith(("tower.stem", "tower.blocks.0."))]
    moved = [name for name in first if name.startswith(("classifier", "decoder.out", "tower.head"))]
    assert frozen
    assert all(torch.equal(first[name], start[name]) for name in frozen)
    assert not any(torch.equal(first[name], start[name]) for name in moved if first[name].dtype.is_floating_point)
    specialist.train(specialist.Config(steps=4, **options), resume=True)
    logged = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in logged if "dice" in line] == [2, 4]


def test_nano_trains_projector_and_lora_alone(
    quick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base = save_tiny_base(tmp_path / "base")
    monkeypatch.setattr(nano, "ensure_base", lambda: base)
    whole = read_table(quick, "ham10000", ["train"]).groupby("label").head(2).reset_index(drop=True)
    monkeypatch.setattr(nano, "read_table", lambda folder, name, splits: whole.copy())
    config = nano.Config(
        out=str(tmp_path / "run"),
        data=str(quick),
        weights=str(tmp_path / "weights"),
        images=12,
        views=2,
        align_steps=3,
        differential_steps=2,
        mixed_steps=2,
        differential_batch=2,
        reasoning_batch=1,
        mixed_differential_batch=1,
        val_images=4,
        save_every=2,
        threads=1,
    )
    nano.train(config)
    assert "val: temperature" in capsys.readouterr().out
    logged = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [("reasoning_loss" in line) for line in logged] == [False, False, True, True]
    assert {"projector.safetensors", "adapter_model.safetensors", "config.json"} <= {
        path.name for path in (tmp_path / "weights").iterdir()
    }
    settings = json.loads((tmp_path / "weights" / "config.json").read_text())
    assert settings["temperature"] > 0
    assert str(tmp_path) not in json.dumps(settings)
    second = replace(config, out=str(tmp_path / "second"), init=config.weights, mixed_steps=0, differential_steps=1)
    shipped = load_file(tmp_path / "weights" / "adapter_model.safetensors")
    nano.train(second)
    moved = load_file(tmp_path / "weights" / "adapter_model.safetensors")
    assert shipped.keys() == moved.keys()
    for key, value in shipped.items():  # one step from where the first run ended, not from new random LoRA
        assert (moved[key] - value).abs().max() < 1e-3
    with pytest.raises(ModelError, match="no Nano parts"):
        nano.train(replace(second, init=str(tmp_path), out=str(tmp_path / "third")))


def test_a_doubted_answer_is_kept() -> None:
    """A question about another diagnosis ends with the first answer, whatever the facts at hand are about."""
    rng = random.Random(0)
    for other in ("melanocytic nevus", "basal cell carcinoma"):
        for form in texts.WHY_NOT:
            text = texts.follow_up_text(form.format(other=other), "mel", Evidence(), rng)
            assert follow_up_matches_answer(text, "mel").passed


def test_only_answers_are_learned(tmp_path: Path) -> None:
    """The learned tokens decode to the assistant's turns and their ends, nothing of user or image."""
    _, processor = assemble(save_tiny_base(tmp_path), tower=None, image_size=64)
    tokens = nano.Tokens(processor, 4)
    messages = [
        system_message(),
        *differential_messages(PatientContext())[1:],
        assistant_message("<answer>melanoma</answer>"),
        follow_up_message(Evidence(), "Why?"),
        assistant_message("Because."),
    ]
    sequence = tokens.sequence(messages)
    learned = tokens.tokenizer.decode([i for i, yes in zip(sequence.ids, sequence.learned, strict=True) if yes])
    assert learned == "<answer>melanoma</answer><|im_end|>Because.<|im_end|>"
    assert sequence.ids.count(tokens.image_id) == 4


def candidate_rows(folder: Path) -> tuple[nano.Trainee, list[Any]]:
    """A tiny model in evaluation mode, and one sequence for each answer that it can give."""
    model, processor = assemble(save_tiny_base(folder), tower=None, image_size=64)
    trainee = nano.Trainee(model, nano.Tokens(processor, 4))
    trainee.renew_prefix()
    model.eval()
    messages = differential_messages(PatientContext())
    answers = [ANSWER_PREFILL + candidate for candidate in answer_candidates().values()]
    return trainee, [trainee.tokens.sequence([*messages, assistant_message(answer)]) for answer in answers]


def test_scores_equal_the_plain_forward(tmp_path: Path) -> None:
    """What candidates share is read once; their likelihoods are those of whole sequences."""
    trainee, rows = candidate_rows(tmp_path)
    features = torch.randn(1, 4, 2560)
    with torch.no_grad():
        logits, targets, owner = trainee.learned(rows, features.expand(len(rows), -1, -1))
    chosen = logits.log_softmax(-1).gather(1, targets[:, None])[:, 0]
    whole = torch.zeros(len(rows)).index_add_(0, owner, chosen)
    torch.testing.assert_close(whole - whole[0], trainee.scores(rows, features) - trainee.scores(rows, features)[0])


def test_distillation_is_the_kl_between_answers(tmp_path: Path) -> None:
    """Over answers drawn as they are taught, the token-wise loss is the KL between distributions over answers."""
    trainee, rows = candidate_rows(tmp_path)
    features, taught = torch.randn(1, 4, 2560), torch.tensor([[0.3, 0.1, 0.05, 0.05, 0.2, 0.25, 0.05]])
    with torch.no_grad():
        losses = torch.stack([trainee.distillation_loss([rows], [drawn], taught, features) for drawn in range(7)])
        logits, targets, owner = trainee.learned(rows, features.expand(len(rows), -1, -1))
    chosen = logits.log_softmax(-1).gather(1, targets[:, None])[:, 0]
    whole = torch.zeros(len(rows)).index_add_(0, owner, chosen)
    torch.testing.assert_close((taught[0] * losses).sum(), (taught[0] * (taught[0].log() - whole)).sum())


def test_the_teacher_is_the_specialist_on_the_window() -> None:
    """Its probabilities for cells over mirrored copies are the calibrated mean of both networks' logits."""
    reader = Specialist.load()
    window = squash(drawn_examples()[1][1], reader.calibration.image_size)
    copies = mirrored(window)
    with torch.no_grad():
        cells = towers_of(reader)(window[None]).last_hidden_state
        logits = (reader.net.classify(copies).mean(0) + reader.near_net.classify(copies).mean(0)) / 2
    logits = (logits + torch.tensor(reader.calibration.offsets)) / reader.calibration.temperature
    torch.testing.assert_close(Teacher(reader)(cells)[0], logits.softmax(0), atol=1e-4, rtol=1e-3)


def test_sequence_equals_the_whole_template(tmp_path: Path) -> None:
    """Cut in pieces for the mask, the tokens are still those of the template in one go."""
    _, processor = assemble(save_tiny_base(tmp_path), tower=None, image_size=64)
    tokens = nano.Tokens(processor, 4)
    messages = [
        *differential_messages(PatientContext(age=50)),
        assistant_message("<answer>nevus</answer>"),
    ]
    text = processor.apply_chat_template(messages, tokenize=False).removesuffix("\n").replace("<image>", "<image>" * 4)
    assert tokens.system_ids + tokens.sequence(messages).ids == tokens._ids(text)


@pytest.mark.parametrize("label", CLASSES)
def test_target_texts_parse_and_claim_only_what_is_given(label: str) -> None:
    """Every target is in the agreed form, concludes its label, and cites numbers that exist."""
    rng = random.Random(CLASSES.index(label))
    graph, specialist_ = Graph.load(), Specialist.load()
    pixels = drawn_examples()[1][1]
    outline = specialist_.read(Lesion(pixels)).outline
    findings = measure_findings(pixels, outline, reference=default_reference())
    for _ in range(12):
        order = texts.soft_order(dict.fromkeys(CLASSES, 1 / 7), label, rng)
        evidence = retrieve(graph, "What is this?", differential=[label, order[0]], context=PatientContext(), k=4)
        text = texts.reasoning_text(findings, label, order, evidence, rng)
        parsed = parse(text)
        assert parsed.problems == ()
        assert parsed.answer_code == parsed.conclusion_code == label, text
        assert set(parsed.citations) <= {item.number for item in evidence.items}
        assert "asymmetric" in parsed.findings or "symmetric" in parsed.findings
