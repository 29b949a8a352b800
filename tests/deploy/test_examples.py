"""`dermiq examples`, the container and a Space's start: who answers the drawn examples ahead, and what is said."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dermiq import consultant, examples
from dermiq.__main__ import main
from dermiq.consultant import LocalConsultant
from dermiq.settings import Settings
from dermiq.types import Case
from dermiq.ui import launch
from tests.deploy.test_container import told, variables

CASES = list(examples.cases())


def kept(*outcomes: bool) -> Iterator[tuple[str, Case, bool]]:
    yield from ((title, case, is_kept) for (title, case), is_kept in zip(CASES, outcomes, strict=False))


def test_the_command_says_what_is_kept_and_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DERMIQ_CACHE", "")
    monkeypatch.setattr(LocalConsultant, "load", lambda self: None)
    monkeypatch.setattr(LocalConsultant, "answer_examples", lambda self: kept(True, False))
    assert main(["examples", "--cache", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert said.splitlines()[0] == f"kept      {CASES[0][0]}. {CASES[0][1].question}"
    assert said.splitlines()[1].startswith("NOT kept  ")
    assert f"1 of 2 answers are kept in {tmp_path / examples.FOLDER}." in said
    monkeypatch.setattr(LocalConsultant, "answer_examples", lambda self: kept(True, True))
    assert main(["examples"]) == 0


def test_the_container_answers_them_as_it_is_built_where_its_page_looks() -> None:
    (built,) = [rest for rest in told("RUN") if "dermiq examples" in rest]
    assert built.index("dermiq.vlm.base") < built.index("dermiq examples")
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
