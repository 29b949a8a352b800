"""What the Training tab costs in a real browser beside a run of 10,000 logged steps, and how soon a death is said.

    python -m tests.nightly.training_tab_study --minutes 10 --out tests/nightly/training_tab_study.txt

The page is the app's own with a consultant that has no models. The run's figures are invented: one line a second.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from dermiq.ui.training.curves import invented
from tests.page import served
from tests.train.tiny_stage import TinyConfig
from tests.ui.test_browser import Page
from train.runs import registry as runs
from train.runs.job import Job

STEPS = 10_000
LONG, KILLED = "long", "killed"
PAGE = ("ScriptDuration", "RecalcStyleDuration", "LayoutDuration")
OPENED = """
    const done = arguments[0], start = performance.now();
    [...document.querySelectorAll('#dq-tabs button[role=tab]')].find((t) => t.textContent.trim() == 'Training').click();
    const look = () => {
        const there = document.querySelector('#dq-curves canvas') &&
            document.querySelector('#dq-head')?.textContent.includes('long');
        there ? done(performance.now() - start) : requestAnimationFrame(look);
    };
    look();
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=10, help="for which the browser's memory is watched")
    parser.add_argument("--times", type=int, default=5, help="openings and deaths that are timed")
    parser.add_argument("--out", type=Path, help="where the report is written; default: printed alone")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        command = " ".join(["python -m tests.nightly.training_tab_study", *sys.argv[1:]])
        report = "\n".join([command, "", *study(Path(name), given)])
    print(report)
    if given.out:
        given.out.write_text(report + "\n", encoding="utf-8")
    return 0


def study(folder: Path, given: argparse.Namespace) -> Iterator[str]:
    os.environ["DERMIQ_RUNS"] = str(folder / "runs")
    with grows(folder / "runs"), served(folder) as address:
        yield _opening(address, folder, given.times)
        page = Page(address, folder)
        try:
            page.open_tab("Training")
            page.one("#dq-curves canvas")
            yield from _watched(page, given.minutes)
            yield _deaths(page, folder / "runs", given.times)
        finally:
            page.driver.quit()


@contextmanager
def grows(root: Path) -> Iterator[None]:
    """A live GRPO run with STEPS logged steps, and one more each second."""
    folder, rng, over = root / LONG, np.random.default_rng(0), threading.Event()
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"stage": "train.grpo", "options": {}}', encoding="utf-8")
    (folder / "status.json").write_text("{}", encoding="utf-8")
    job = Job(folder)
    with (folder / "metrics.jsonl").open("a", encoding="utf-8") as file:

        def log(step: int) -> None:
            file.write(json.dumps({"step": step, **invented(rng)}) + "\n")

        def go_on() -> None:
            step = STEPS
            while not over.wait(1):
                step += 1
                log(step)
                file.flush()
                job.progress(step, 2 * STEPS)

        for step in range(1, STEPS + 1):
            log(step)
        job.update(state="running", started=time.time(), step=STEPS, total=2 * STEPS)
        writer = threading.Thread(target=go_on)
        writer.start()
        try:
            yield
        finally:
            over.set()
            writer.join()


def _opening(address: str, folder: Path, times: int) -> str:
    """Seconds from the click on the tab until the run's head and its plots are drawn, in a new page each time."""
    took = []
    for _ in range(times):
        page = Page(address, folder)
        try:
            page.driver.set_script_timeout(60)
            took.append(page.driver.execute_async_script(OPENED) / 1000)
        finally:
            page.driver.quit()
    return f"The tab opens, seconds: first {took[0]:.2f}, then {', '.join(f'{s:.2f}' for s in took[1:])}."


def _watched(page: Page, minutes: int) -> Iterator[str]:
    page.driver.execute_cdp_cmd("Performance.enable", {})
    time.sleep(10)  # the opening is over
    before, rows = _figures(page), []
    for minute in range(minutes + 1):
        if minute:
            time.sleep(60)
        now = _figures(page)
        rows.append((minute, now["JSHeapUsedSize"] / 1e6, int(now["Nodes"]), int(now["JSEventListeners"])))
    updates = 60 * minutes
    spent = {name: 1000 * (now[name] - before[name]) / updates for name in ("TaskDuration", *PAGE)}
    yield (
        f"The browser's main thread works {spent['TaskDuration']:.0f} ms an update (mean of {updates}, one a second): "
        f"{sum(spent[name] for name in PAGE):.0f} ms are scripts, style and layout, the rest is painting without a GPU."
    )
    yield ""
    yield "| minute | heap MB | nodes | listeners |"
    yield "|---|---|---|---|"
    yield from (f"| {minute} | {heap:.2f} | {nodes} | {listeners} |" for minute, heap, nodes, listeners in rows)
    yield ""


def _figures(page: Page) -> dict[str, float]:
    page.driver.execute_cdp_cmd("HeapProfiler.collectGarbage", {})
    found = page.driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return {metric["name"]: metric["value"] for metric in found}


def _deaths(page: Page, root: Path, times: int) -> str:
    """Seconds from a run's SIGKILL until the page says that it was interrupted."""
    took = []
    for number in range(times):
        name = f"{KILLED}-{number}"
        run = runs.start(TinyConfig(steps=10_000, seconds=0.05), name=name, root=root)
        page.until(lambda: page.all(f'#dq-rows [data-event="select"][data-text="{name}"]'), name)  # noqa: B023
        page.click(f'#dq-rows [data-event="select"][data-text="{name}"]')
        page.until(lambda: "step" in page.text("#dq-head"), "it is shown")
        page.until(lambda: runs.load_run(run.folder).state == "running", "it runs")  # noqa: B023
        time.sleep(2)
        start = time.perf_counter()
        runs.kill(run.folder)
        while "nterrupted" not in page.text("#dq-head"):
            time.sleep(0.02)
        took.append(time.perf_counter() - start)
    middle = statistics.median(took)
    return f"A killed run is said to be interrupted after {middle:.1f} s, at most {max(took):.1f} s of {times}."


if __name__ == "__main__":
    sys.exit(main())
