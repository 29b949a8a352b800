"""Nobody holds a question whose case was closed: the page, a visitor of it, and every object that Python knows."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.page import ROOT


@pytest.mark.parametrize("who", [[], ["--program"]], ids=["a visitor", "a program"])
def test_nothing_holds_a_question_whose_case_is_closed(who: list[str]) -> None:
    command = [sys.executable, "-m", "tests.nightly.held", *who]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["Nothing holds it."]), done.stdout + done.stderr
