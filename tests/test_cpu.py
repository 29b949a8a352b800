"""Processor time of tests, as it is measured and summed up."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cpu import Meter, summed

BUSY = "import time\nwhile time.process_time() < 0.5: pass"


class Named:
    nodeid = "tests/room/test_a.py::test_it[x\ty]"


@contextmanager
def metered(meter: Meter) -> Iterator[None]:
    wrapper = meter.pytest_runtest_protocol(Named())  # type: ignore[arg-type]
    next(wrapper)
    yield
    for _ in wrapper:
        raise AssertionError("it yields once")


def test_a_test_is_charged_with_its_processes_also_while_they_run(tmp_path: Path) -> None:
    meter = Meter(tmp_path / "times.tsv")
    with metered(meter):
        subprocess.run([sys.executable, "-c", BUSY], check=True)
    with metered(meter):
        pass
    with (
        metered(meter),
        subprocess.Popen(
            [sys.executable, "-c", BUSY + "\nprint(1, flush=True); time.sleep(60)"], stdout=subprocess.PIPE
        ) as process,
    ):
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
    ended, idle, running = (float(line.split("\t")[0]) for line in (tmp_path / "times.tsv").read_text().splitlines())
    assert min(ended, running) > 0.4
    assert idle < 0.4


def test_times_are_summed_per_file() -> None:
    lines = ["2.000\tcollection", "0.500\ttests/a/test_b.py::test_c[\t]", "0.250\ttests/a/test_b.py::test_d"]
    assert summed(lines) == {"collection": 2.0, "a/test_b.py": 0.75}
