"""What ships is checked by hash; what is damaged, cut or in another encoding ends in a sentence of the error tree."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dermiq import shipped
from dermiq.errors import DermIQError, KnowledgeError, ModelError
from dermiq.knowledge import Graph
from dermiq.knowledge.language import embed, entail, questions
from dermiq.knowledge.retrieve import faq, rank
from dermiq.knowledge.schema import read_tables, write_tables
from dermiq.lesion.reference import FindingsReference
from dermiq.shipped import checked, parts_in, read_json, seal
from dermiq.specialist import Specialist
from dermiq.types import Finding, PatientContext
from dermiq.vlm.nano import load_tensors, load_tower, merge_lora
from train.embedded.nano_examples import Example, read_examples, write_examples

WEIGHTS, TABLES = shipped.PARTS


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shipped parts elsewhere, still taken for shipped."""
    root = tmp_path.resolve()
    shutil.copytree(WEIGHTS, root / "weights", copy_function=copied)
    (root / "kg_data").mkdir()
    for path in [*parts_in(TABLES), TABLES / shipped.MANIFEST]:
        shutil.copy(path, root / "kg_data")
    monkeypatch.setattr(shipped, "PARTS", {root / "weights": ModelError, root / "kg_data": KnowledgeError})
    return root


def copied(source: str, target: str) -> None:
    """Large files are linked: a hundred megabytes a test would be written else. `flip` puts another in their place."""
    if Path(source).stat().st_size > 1_000_000:
        os.link(source, target)
    else:
        shutil.copy2(source, target)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    path.write_bytes(data)


def loaders(root: Path) -> dict[str, Callable[[], object]]:
    nano, specialist = root / "weights" / "nano", root / "weights" / "specialist"
    return {
        "weights/specialist/model.safetensors": lambda: Specialist.load(specialist),
        "weights/specialist/calibration.json": lambda: Specialist.load(specialist),
        "weights/specialist/findings_reference.json": lambda: FindingsReference.load(
            specialist / "findings_reference.json"
        ),
        "weights/specialist/transformer_1.safetensors": lambda: Specialist.load(specialist),
        "weights/specialist/similar.npz": lambda: Specialist.load(specialist),
        "weights/specialist/told.json": lambda: Specialist.load(specialist),
        "weights/specialist/sets.json": lambda: Specialist.load(specialist),
        "weights/nano/config.json": lambda: read_json(nano / "config.json"),
        "weights/nano/adapter_config.json": lambda: merge_lora(torch.nn.Linear(1, 1), nano),
        "weights/nano/adapter_model.safetensors": lambda: merge_lora(torch.nn.Linear(1, 1), nano),
        "weights/nano/projector.safetensors": lambda: load_tensors(nano / "projector.safetensors"),
        "weights/judge/config.json": entail.settings.__wrapped__,
        "weights/judge/model.safetensors": entail._model.__wrapped__,
        "weights/questions/encoder.safetensors": questions._network.__wrapped__,
        "weights/questions/heads.npz": questions._heads.__wrapped__,
        "weights/questions/labels.json": questions.labels.__wrapped__,
        "weights/faq/vectors.npz": faq.vectors.__wrapped__,
        "weights/faq/matcher.json": faq.matcher.__wrapped__,
        "weights/sentences/sentences.npz": embed._shipped.__wrapped__,
        "weights/retrieval/taught.npz": rank.taught.__wrapped__,
        "weights/retrieval/ranker.json": lambda: rank.ranker.__wrapped__(semantic=True),
        "kg_data/nodes.tsv": lambda: Graph.load(root / "kg_data"),
        "kg_data/edges.tsv": lambda: Graph.load(root / "kg_data"),
        "kg_data/sources.tsv": lambda: Graph.load(root / "kg_data"),
    }


@pytest.mark.parametrize("name", loaders(Path()))
def test_a_flipped_bit_in_what_ships_is_a_sentence(name: str, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank, "WEIGHTS", copy / "weights" / "retrieval")
    monkeypatch.setattr(entail, "FOLDER", copy / "weights" / "judge")
    monkeypatch.setattr(questions, "FOLDER", copy / "weights" / "questions")
    monkeypatch.setattr(faq, "FOLDER", copy / "weights" / "faq")
    monkeypatch.setattr(embed, "SHIPPED", copy / "weights" / "sentences" / "sentences.npz")
    flip(copy / name)
    with pytest.raises(DermIQError, match="not the file that was shipped") as caught:
        loaders(copy)[name]()
    assert isinstance(caught.value, KnowledgeError if name.startswith("kg_data") else ModelError)
    assert str(copy) not in str(caught.value), "a path of this computer"


@pytest.mark.parametrize("name", ["specialist/model.safetensors", "nano/projector.safetensors"])
def test_a_cut_file_elsewhere_is_a_sentence(name: str, tmp_path: Path) -> None:
    """Of a training of one's own: no manifest knows it."""
    folder = tmp_path / Path(name).parent
    shutil.copytree((WEIGHTS / name).parent, folder)
    data = (tmp_path / name).read_bytes()
    for size in (0, 7, 5000, len(data) - 1):
        (tmp_path / name).write_bytes(data[:size])
        with pytest.raises(ModelError, match=r"damaged|incomplete"):
            Specialist.load(folder) if "specialist" in name else load_tensors(tmp_path / name)
    save_file({"a": torch.zeros(1)}, tmp_path / name)
    with pytest.raises(ModelError, match="does not hold"):
        load_tower(tmp_path / name, image_size=160)


@pytest.mark.parametrize("table", ["nodes", "edges", "sources"])
def test_a_table_in_another_encoding_is_a_sentence(table: str, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of a graph of one's own, which no manifest knows."""
    monkeypatch.setattr(shipped, "PARTS", {})
    path = copy / "kg_data" / f"{table}.tsv"
    lines = path.read_bytes().split(b"\n")
    lines[4] = lines[4].replace(b"\t", b"\t\xfc", 1)
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(KnowledgeError, match=rf"{table}\.tsv, line 5 is not UTF-8 text \(byte 0xfc\)"):
        Graph.load(path.parent)
    path.write_bytes(b"")
    with pytest.raises(KnowledgeError, match="empty"):
        Graph.load(path.parent)


def test_a_manifest_that_is_missing_or_damaged_is_a_sentence(copy: Path) -> None:
    manifest = copy / "weights" / shipped.MANIFEST
    for text in ("{", "[]", '{"sha256": 3}'):
        manifest.write_text(text)
        with pytest.raises(ModelError, match=r"manifest\.json is missing or damaged"):
            checked(copy / "weights" / "specialist" / "model.safetensors")
    manifest.unlink()
    with pytest.raises(ModelError, match=r"manifest\.json is missing or damaged"):
        checked(copy / "weights" / "specialist" / "model.safetensors")


@pytest.mark.parametrize("folder", [WEIGHTS, TABLES])
def test_the_manifest_and_the_files_agree(folder: Path) -> None:
    """After a part was changed on purpose: python -m dermiq.shipped."""
    told = json.loads((folder / shipped.MANIFEST).read_text(encoding="utf-8"))["sha256"]
    assert set(told) == {path.relative_to(folder).as_posix() for path in parts_in(folder)}
    for name in told:
        checked(folder / name)


def test_what_rewrites_a_part_rewrites_the_manifest(copy: Path) -> None:
    path = copy / "weights" / "specialist" / "calibration.json"
    path.write_text(path.read_text() + "\n")
    assert seal(path.parent) == copy / "weights" / shipped.MANIFEST
    assert read_json(path)["image_size"] > 0
    tables = read_tables(copy / "kg_data")
    write_tables(type(tables)(tables.nodes, tables.edges, tables.sources[::-1]), copy / "kg_data")
    assert Graph.load(copy / "kg_data").sources
    assert seal(copy) is None, "a folder elsewhere has no manifest"


def test_checking_takes_no_time_that_anyone_would_notice() -> None:
    shipped._known_digest.cache_clear()
    began = time.perf_counter()
    for path in parts_in(WEIGHTS):
        checked(path)
    assert time.perf_counter() - began < 2, "140 MB take a sixth of a second on an idle core"


def test_the_cache_of_nanos_training_comes_back_as_it_was(tmp_path: Path) -> None:
    finding = Finding("asymmetry", "asymmetry", 0.5, "", "asymmetric", "by folding", 40.0, {"mel": 2.0}, 10)
    patient = PatientContext(age=60, sex="female", site="back", symptoms=("itch",))
    known = Example(torch.ones(2, 25, 8).half(), "mel", patient, (finding,), {"mel": 0.75})
    bare = Example(torch.zeros(1, 25, 8).half(), "nv", PatientContext(), (), {})
    write_examples([known, bare], tmp_path / "examples.safetensors")
    first, second = read_examples(tmp_path / "examples.safetensors")
    assert (first.label, first.context, first.findings) == ("mel", patient, (finding,))
    assert torch.equal(first.features, known.features)
    assert np.isclose(first.probabilities["mel"], 0.75)
    assert (second.context, second.findings) == (PatientContext(), ())
