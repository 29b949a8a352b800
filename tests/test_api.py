"""The public face: what `import dermiq` offers, and the README's example of it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import dermiq
from dermiq import api
from dermiq.lesion.drawn import drawn_examples

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def lesion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A drawn one, in the current folder."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(drawn_examples()[1][1]).save(tmp_path / "lesion.jpg", quality=95)
    return tmp_path / "lesion.jpg"


@pytest.mark.embedded
def test_the_readme_s_example_runs_as_it_stands(lesion: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (snippet,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    assert snippet.startswith("import dermiq\n")
    assert len([line for line in snippet.splitlines() if line]) == 5
    names: dict[str, object] = {}
    exec(snippet, names)
    answer = names["answer"]
    assert isinstance(answer, dermiq.Answer)
    said = capsys.readouterr().out
    assert answer.text in said
    assert all(item.fact.source.url in said for item in answer.evidence.items)
    assert api.consultant_for.cache_info().currsize == 1
    assert not api.consultant_for(api.settings_of(None, None, False, None), 1)._threads, "no case is kept"


def test_importing_it_loads_nothing_heavy() -> None:
    heavy = "import sys, dermiq; print([m for m in ('numpy', 'torch', 'gradio', 'networkx') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", heavy], cwd=ROOT, text=True).strip() == "[]"


def test_every_public_name_is_there_and_explained() -> None:
    assert dermiq.__all__ == sorted(dermiq.__all__)
    assert [name for name in dermiq.__all__ if not getattr(dermiq, name).__doc__] == []
    with pytest.raises(AttributeError, match="nonesuch"):
        dermiq.nonesuch  # noqa: B018


def test_facts_and_verdicts_need_no_model() -> None:
    evidence = dermiq.retrieve("How is it treated?", differential=["lentigo maligna"], k=2)
    assert [item.number for item in evidence.items] == [1, 2]
    assert all(item.fact.source.url for item in evidence.items)
    assert [claim.verdict for claim in dermiq.check("It is benign.", diagnosis="mel")] == ["contradicted"]
    for call in (dermiq.retrieve, dermiq.check):
        with pytest.raises(dermiq.KnowledgeError, match="licence class"):
            call("Melanoma is malignant.", licence="any")


@pytest.mark.parametrize(
    ("images", "more", "words"),
    [
        ((), {}, "no image"),
        (("missing.jpg",), {}, "missing.jpg"),
        ((b"text",), {}, "image"),
        ((np.zeros((4, 4), np.uint8),), {}, r"\(4, 4\)"),
        ((np.zeros((4, 4, 3)),), {}, "float64"),
        ((np.zeros((300, 300, 3), np.uint8),), {"sex": "of course"}, "of course"),
        ((np.zeros((300, 300, 3), np.uint8),), {"skin_type": 9}, "9"),
    ],
)
def test_what_cannot_be_used_is_said_before_models_are_loaded(
    images: tuple[Any, ...], more: dict[str, Any], words: str
) -> None:
    with pytest.raises(dermiq.InputError, match=words):
        dermiq.assess(*images, **more)


def test_paths_bytes_and_pixels_are_one_lesion(lesion: Path) -> None:
    pixels = api.lesion_of(lesion).pixels
    for image in (str(lesion), lesion.read_bytes(), pixels):
        assert np.array_equal(api.lesion_of(image).pixels, pixels)
    assert api.lesion_of(pixels).quality == api.lesion_of(lesion).quality
