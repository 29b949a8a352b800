"""Learning later answers, and to prefer one to another: at a size of seconds, and what they share."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from dermiq.errors import ModelError
from dermiq.knowledge import Graph
from dermiq.knowledge.language.citation import cited
from dermiq.types import CLASSES, PatientContext
from dermiq.vlm.nano import assemble, save_nano_parts
from tests.tiny import save_tiny_base
from train.cases.conversations import Conversation, read_conversations, write_conversations
from train.cases.quoted import quoted
from train.embedded import draft_pairs, prefer, talks
from train.embedded.adapters import load_adapters
from train.embedded.grounding import given_of, spoiled
from train.embedded.nano import Tokens
from train.embedded.nano_examples import Example
from train.runs.log import append

OPTIONS: dict[str, Any] = {"threads": 1, "images": 1, "save_every": 1}


@pytest.fixture(scope="module")
def graph() -> Graph:
    return Graph.load()


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny Nano's projector and LoRA, and in place of images one example of each class."""
    base = save_tiny_base(tmp_path / "base")
    monkeypatch.setattr(talks, "ensure_base", lambda: base)
    monkeypatch.setattr("train.embedded.talks.Specialist.load", Teaching)
    monkeypatch.setattr(talks, "Teacher", lambda specialist: lambda cells: torch.full((len(cells), 7), 1 / 7))
    monkeypatch.setattr(talks, "images_of", lambda *_: beside())
    monkeypatch.setattr(talks, "temperature_of", lambda *_: 1.0)
    monkeypatch.setattr(prefer, "images_of", lambda *_: beside())
    model, _ = assemble(base, tower=None, image_size=64, lora_rank=2)
    save_nano_parts(model, tmp_path / "parts", image_size=64)
    return tmp_path / "parts"


class Teaching:
    """As much of a specialist as the trainings ask for."""

    class calibration:
        image_size = 64


def beside() -> dict[str, list[Example]]:
    torch.manual_seed(0)
    shares = dict.fromkeys(CLASSES, 1 / 7)
    return {code: [Example(torch.randn(2, 4, 2560).half(), code, PatientContext(), (), shares)] for code in CLASSES}


def test_written_conversations_are_whole(graph: Graph, tmp_path: Path) -> None:
    held = read_conversations()
    assert sum(len(one.turns) for one in held) > 3000
    assert len({one.id for one in held}) == len(held)
    for one in held:
        messages = one.messages(graph)
        assert [message["role"] for message in messages[1:]] == ["user", "assistant"] * (1 + len(one.turns))
        for turn in one.turns:
            numbers = {number for number, _ in turn.facts}
            assert set(cited(turn.answer)) <= numbers | earlier_numbers(one), turn
            assert turn.kind in ("answer", "unknown", "premise", "out")
            assert bool(turn.faulty) == bool(turn.fault)
    write_conversations(held[:5], tmp_path / "some.gz")
    assert read_conversations(tmp_path / "some.gz") == held[:5]


def earlier_numbers(conversation: Conversation) -> set[int]:
    told = {number for turn in conversation.turns for number, _ in turn.facts}
    return told | set(cited(conversation.first_user))


def test_later_answers_are_learned_and_a_stopped_run_goes_on(
    parts: Path, tmp_path: Path, graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(talks, "read_conversations", lambda: read_conversations()[:2])
    config = talks.Config(
        out=str(tmp_path / "run"), init=str(parts), weights=str(tmp_path / "made"), batch=1, **OPTIONS
    )
    talks.train(replace(config, passes=0.5))
    talks.train(config, resume=True)
    logged = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in logged] == [1, 2]
    before, after = load_adapters([parts])[0], load_adapters([tmp_path / "made"])[0]
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[key], after[key]) for key in before)


def talker(folder: Path) -> talks.Talker:
    model, processor = assemble(save_tiny_base(folder), tower=None, image_size=64)
    found = talks.Talker(model, Tokens(processor, 4))
    found.renew_prefix()
    model.eval()
    return found


def test_what_goes_before_is_held_constant_and_changes_no_number(tmp_path: Path, graph: Graph) -> None:
    """The loss of the later answers is that of the plain forward pass over the whole conversation."""
    one = talker(tmp_path)
    row = one.tokens.sequence(read_conversations()[0].messages(graph))
    features, first = torch.randn(1, 4, 2560), talks.later_turns(row)
    with torch.no_grad():
        loss, count = one.talk_loss(row, first, features)
        logits, targets, _ = one.learned([row], features)
    logs = logits.log_softmax(-1).gather(1, targets[:, None])[:, 0]
    assert count == sum(row.learned[first:])
    torch.testing.assert_close(loss, -logs[-count:].sum())


def test_adapters_in_a_row_are_one(tmp_path: Path) -> None:
    """Stacked, they change a layer by the sum of what each changes."""
    folders = []
    for number, (rank, alpha) in enumerate(((2, 4), (3, 12))):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "adapter_config.json").write_text(json.dumps({"r": rank, "lora_alpha": alpha}))
        torch.manual_seed(number)
        save_file(
            {"x.lora_A.weight": torch.randn(rank, 5), "x.lora_B.weight": torch.randn(4, rank)},
            folder / "adapter_model.safetensors",
        )
        folders.append(folder)
    whole, rank = load_adapters(folders)
    assert rank == 5
    torch.testing.assert_close(
        2.0 * product(whole),
        2.0 * product(load_adapters(folders[:1])[0]) + 2.0 * product(load_adapters(folders[1:])[0]),
    )
    with pytest.raises(ModelError, match="holds no LoRA"):
        load_adapters([tmp_path])


def product(state: Mapping[str, Tensor]) -> Tensor:
    return state["x.lora_B.weight"] @ state["x.lora_A.weight"]


def test_likelihoods_behind_one_prompt_are_those_of_whole_sequences(tmp_path: Path, graph: Graph) -> None:
    one = talker(tmp_path)
    preferer = prefer.Preferer(one.model, one.tokens)
    preferer.renew_prefix()
    one.model.eval()
    asked = read_conversations()[0].messages(graph)[:4]
    pair = {"messages": asked, "chosen": "Yes, it does.", "rejected": "No."}
    rows, first = prefer.rows_of(one.tokens, pair)
    features = torch.randn(1, 4, 2560)
    with torch.no_grad():
        found = preferer.log_likelihoods(rows, first, features)
        for row, value in zip(rows, found, strict=True):
            logits, targets, _ = one.learned([row], features)
            logs = logits.log_softmax(-1).gather(1, targets[:, None])[:, 0]
            torch.testing.assert_close(value, logs[-sum(row.learned[first:]) :].sum())


def test_the_chosen_answer_becomes_likelier(parts: Path, tmp_path: Path, graph: Graph) -> None:
    asked = read_conversations()[0].messages(graph)[:4]
    for _ in range(2):
        append(tmp_path / "pairs.jsonl", {"messages": asked, "chosen": "Yes.", "rejected": "No.", "lead": "nv"})
    config = prefer.Config(
        pairs=str(tmp_path / "pairs.jsonl"),
        out=str(tmp_path / "run"),
        init=str(parts),
        weights=str(tmp_path / "made"),
        batch=2,
        passes=6.0,
        learning_rate=1e-2,
        **OPTIONS,
    )
    prefer.train(config)
    logged = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert len(logged) == 6
    assert logged[-1]["accuracy"] == 1.0
    assert logged[-1]["loss"] < logged[0]["loss"]


def test_drafts_are_told_apart_by_what_they_stand_on(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    turn = next(turn for one in read_conversations() for turn in one.turns if turn.faulty)
    monkeypatch.setattr(draft_pairs, "worth", lambda graph, given, text: {"good": 0.9, "bad": 0.1}.get(text, 0.0))
    pairs = list(draft_pairs.pairs_of_turn(graph, turn, [], ["bad", "good", "bad"], "nv"))
    assert [(pair.chosen, pair.rejected, pair.source) for pair in pairs] == [("good", "bad", "drafts")]
    pairs = list(draft_pairs.pairs_of_turn(graph, turn, [], ["bad", "worse"], "nv"))
    assert (pairs[0].chosen, pairs[0].rejected) == (quoted(graph, turn), "worse")


def test_an_answer_is_spoiled_in_one_place(graph: Graph) -> None:
    turn = next(
        turn for one in read_conversations() for turn in one.turns if len(turn.facts) == 3 and "[F" in turn.answer
    )
    found = {kind: text for text, kind in spoiled(turn, random.Random(1))}
    assert found["citation"] != turn.answer
    assert given_of(graph, turn).question == turn.question
