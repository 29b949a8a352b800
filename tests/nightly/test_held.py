"""Nobody holds a question whose case was closed: the page, a visitor of it, and every object that Python knows."""

from __future__ import annotations

import subprocess
import sys

from tests.page import ROOT


def test_nothing_holds_a_question_whose_case_is_closed() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.nightly.held"], cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
    )
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["Nothing holds it."]), done.stdout + done.stderr
