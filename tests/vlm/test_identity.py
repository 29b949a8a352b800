"""Which weights a model has is told by all of their bytes, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from dermiq.vlm.identity import Origin, identity, origin_of
from dermiq.vlm.load import load_vlm
from tests.tiny import save_tiny


def test_one_byte_in_the_middle_makes_another_model(tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    content = bytearray(3 << 20)
    weights.write_bytes(content)
    before = identity(origin_of((), tmp_path))
    content[len(content) // 2] = 1
    weights.write_bytes(content)
    assert before
    assert identity(origin_of((), tmp_path)) not in (None, before)


def test_files_that_changed_after_they_were_loaded_tell_nothing(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"a")
    origin = origin_of((), tmp_path)
    assert identity(origin)
    os.utime(tmp_path / "model.safetensors", ns=(1, 1))
    assert identity(origin) is None
    (tmp_path / "model.safetensors").unlink()
    assert identity(origin) is None


def test_a_part_without_a_name_tells_nothing() -> None:
    assert identity(None) is None
    assert identity(Origin()) is None
    assert identity(Origin(("commit", ""))) is None
    assert identity(Origin(("commit",))) == "commit"


def test_a_folder_is_told_by_its_files(tmp_path: Path) -> None:
    told = {identity(load_vlm(str(save_tiny("llava", tmp_path / str(seed), seed=seed))).origin) for seed in (0, 1)}
    assert len(told) == 2
    assert None not in told
