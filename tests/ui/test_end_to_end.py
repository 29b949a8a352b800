"""The command for real, with the shipped specialist. With the language model, and in a browser: `make nightly`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.page import ROOT

pytestmark = [pytest.mark.embedded]


def test_not_an_image_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "notes.jpg").write_text("not an image")
    command = [sys.executable, "-m", "dermiq", "assess", str(tmp_path / "notes.jpg"), "--reader", "specialist"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("dermiq: ")
    assert "Traceback" not in done.stderr


def test_specialist_alone_needs_no_language_model(tmp_path: Path) -> None:
    shutil.copy(ROOT / "README.md", tmp_path)  # an unrelated file beside the image changes nothing
    Image.fromarray(np.full((200, 200, 3), 180, np.uint8)).save(tmp_path / "skin.png")
    command = [sys.executable, "-m", "dermiq", "assess", str(tmp_path / "skin.png"), "--reader", "specialist", "--json"]
    environment = {**os.environ, "DERMIQ_CACHE": str(tmp_path / "empty")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["abstention"]
    assert not (tmp_path / "empty").exists()
