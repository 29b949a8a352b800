"""`dermiq examples`, the container and a Space's start: who answers the drawn examples ahead, and what is said."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from dermiq import consultant, examples
from dermiq.__main__ import main
from dermiq.consultant import LocalConsultant
from dermiq.settings import Settings
from dermiq.types import Case
from dermiq.ui import launch
from dermiq.vlm.identity import Origin
from tests.deploy.test_container import told, variables

CASES = list(examples.cases())


def kept(*outcomes: bool) -> Iterator[tuple[str, Case, bool]]:
    yield from ((title, case, is_kept) for (title, case), is_kept in zip(CASES, outcomes, strict=False))


def test_the_command_says_what_is_kept_and_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DERMIQ_CACHE", "")
    loaded(monkeypatch, Origin(("a commit",)))
    monkeypatch.setattr(LocalConsultant, "answer_examples", lambda self: kept(True, False))
    assert main(["examples", "--cache", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert said.splitlines()[1] == f"kept      {CASES[0][0]}. {CASES[0][1].question}"
    assert said.splitlines()[2].startswith("NOT kept  ")
    assert f"1 of 2 answers are kept in {tmp_path / examples.FOLDER}." in said
    monkeypatch.setattr(LocalConsultant, "answer_examples", lambda self: kept(True, True))
    assert main(["examples"]) == 0


def test_the_command_says_at_once_why_nothing_can_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(LocalConsultant, "answer_examples", lambda self: pytest.fail("minutes for nothing"))
    loaded(monkeypatch, Origin(("a commit", "")))
    monkeypatch.setenv("DERMIQ_CACHE", str(tmp_path / "cache"))
    assert main(["examples"]) == 2
    assert "Nothing names the weights of some/model + an/adapter for sure" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(LocalConsultant, "load", lambda self: pytest.fail("seconds for nothing"))
    monkeypatch.setenv("DERMIQ_CACHE", str(tmp_path / "file"))
    assert main(["examples"]) == 2
    assert "cannot be written" in capsys.readouterr().err


def loaded(monkeypatch: pytest.MonkeyPatch, origin: Origin) -> None:
    """A model that is loaded at once."""
    vlm = SimpleNamespace(origin=origin, name="some/model + an/adapter")

    def load(self: LocalConsultant) -> None:
        self._readers = SimpleNamespace(vlm=vlm)  # type: ignore[assignment]
        self._loaded.set()

    monkeypatch.setattr(LocalConsultant, "load", load)


def test_the_container_answers_them_as_it_is_built_where_its_page_looks() -> None:
    made = told("RUN")
    assert made.index("python -m dermiq.vlm.base") < made.index("python -m dermiq examples")
    assert variables()["DERMIQ_CACHE"], "the page, of the same image, looks there"


@pytest.mark.parametrize(("space", "ahead"), [("ada/derm", True), ("", False)])
def test_a_space_answers_them_behind_its_page_and_no_other_machine_does(
    space: str, ahead: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = threading.Event()

    def answer(_: LocalConsultant) -> Iterator[tuple[str, Case, bool]]:
        asked.set()
        return kept()

    monkeypatch.setenv("SPACE_ID", space)
    monkeypatch.setattr(LocalConsultant, "start", lambda self: None)
    monkeypatch.setattr(LocalConsultant, "answer_examples", answer)
    made = launch.local_consultant(Settings())
    assert isinstance(made, consultant.LocalConsultant)
    assert made.examples is not None
    assert asked.wait(5 if ahead else 0.2) == ahead
