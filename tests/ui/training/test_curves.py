"""Plots: what is read of a run's figures, how it is thinned, and what the page is given."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markupsafe import Markup
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from dermiq.types import CLASSES
from dermiq.ui.server.serving import CONTENT_POLICY
from dermiq.ui.training import curves
from dermiq.ui.training.curves import CHARTS, Series, payload, thin, update
from train.runs.run_folder import seal


def make_run(root: Path, name: str = "one", *, stage: str = "grpo") -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"stage": f"train.{stage}", "options": {}}))
    return folder


def log(folder: Path, *lines: dict[str, Any], end: str = "\n") -> None:
    with (folder / "metrics.jsonl").open("a") as file:
        file.write("\n".join(json.dumps(line) for line in lines) + end)


def charts(*folders: Path, **options: Any) -> dict[str, dict[str, Any]]:
    return {chart["id"]: chart for chart in payload(folders, **options)["charts"]}


def column(folder: Path, key: str = "loss") -> list[tuple[int, float]]:
    steps, values = curves.series(folder).look().columns[key]
    return list(zip(steps.tolist(), values.tolist(), strict=True))


# --- reading -------------------------------------------------------------------------------


def test_a_run_is_read_on_and_a_torn_last_line_waits(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    log(folder, {"step": 1, "loss": 3.0})
    log(folder, {"step": 2, "loss": 2.0}, end="")
    assert column(folder) == [(1, 3.0)]
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('\n{"step": 3, "lo')
    assert column(folder) == [(1, 3.0), (2, 2.0)]
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('ss": 1.0}\n')
    assert column(folder) == [(1, 3.0), (2, 2.0), (3, 1.0)]


def test_only_what_is_new_is_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_run(tmp_path)
    log(folder, *({"step": n, "loss": 1.0} for n in range(100)))
    reader = Series(folder)
    reader.look()
    parsed: list[bytes] = []
    monkeypatch.setattr(reader, "_add", parsed.append)
    log(folder, {"step": 100, "loss": 0.5})
    reader.look()
    reader.look()
    assert [json.loads(line)["step"] for line in parsed] == [100]


@pytest.mark.parametrize("replaced", [True, False], ids=["replaced", "cut in place"])
def test_a_resumed_run_loses_the_steps_that_it_computes_again(tmp_path: Path, replaced: bool) -> None:
    folder = make_run(tmp_path)
    log(folder, *({"step": n, "loss": float(n)} for n in range(1, 21)))
    assert column(folder)[-1] == (20, 20.0)
    lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)[:10]
    again = [json.dumps({"step": n, "loss": -1.0}) + "\n" for n in range(11, 41)]  # longer than what was read
    if replaced:
        (folder / "new").write_text("".join(lines + again))
        os.replace(folder / "new", folder / "metrics.jsonl")
    else:
        (folder / "metrics.jsonl").write_text("".join(lines + again))
    assert column(folder) == [(n, float(n) if n <= 10 else -1.0) for n in range(1, 41)]


def test_a_replaced_file_is_read_again_although_it_ends_as_before(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    log(folder, {"step": 1, "loss": 1.0}, {"step": 2, "loss": 2.0}, {"step": 3, "loss": 3.0}, {"step": 4, "loss": 4.0})
    assert column(folder)[0] == (1, 1.0)
    (folder / "new").write_text(
        (folder / "metrics.jsonl").read_text().replace("1.0", "7.0") + '{"step": 5, "loss": 5.0}\n'
    )
    os.replace(folder / "new", folder / "metrics.jsonl")
    assert column(folder) == [(1, 7.0), (2, 2.0), (3, 3.0), (4, 4.0), (5, 5.0)]


def test_a_run_whose_figures_went_away_is_empty(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    log(folder, {"step": 1, "loss": 1.0})
    assert charts(folder)
    (folder / "metrics.jsonl").unlink()
    assert charts(folder) == {}


def test_what_is_no_number_is_left_out(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    (folder / "metrics.jsonl").write_text(
        '{"step": 1, "loss": 1.0, "kl": NaN, "entropy": null}\n'
        '{"step": 2, "loss": NaN, "kl": Infinity, "entropy": "high"}\n'
        "not JSON\n[1, 2]\n{}\n"
        '{"loss": 7.0}\n{"step": "four", "loss": 7.0}\n{"step": true, "loss": 7.0}\n'
        '{"step": 5, "loss": 2.0, "entropy": true}\n'
    )
    assert column(folder) == [(1, 1.0), (5, 2.0)]
    assert list(curves.series(folder).look().columns) == ["loss"]
    json.dumps(payload([folder]), allow_nan=False)


def test_of_a_step_that_is_logged_twice_the_later_line_counts(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    log(folder, {"step": 1, "loss": 1.0}, {"step": 2, "loss": 2.0}, {"step": 3, "loss": 3.0}, {"step": 2, "loss": 9.0})
    assert column(folder) == [(1, 1.0), (2, 9.0)]


def test_many_readers_see_whole_columns(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    log(folder, {"step": 0, "loss": 0.0})
    torn: list[tuple[int, int]] = []

    def look() -> None:
        for _ in range(200):
            steps, values = curves.series(folder).look().columns["loss"]
            if len(steps) != len(values) or not np.array_equal(steps, values):
                torn.append((len(steps), len(values)))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for n in range(1, 300):
        log(folder, {"step": n, "loss": float(n)})
    for thread in threads:
        thread.join()
    assert not torn
    assert len(column(folder)) == 300


def test_no_more_than_so_many_runs_are_kept(tmp_path: Path) -> None:
    folders = [make_run(tmp_path, f"run-{n}") for n in range(curves.MAX_RUNS + 3)]
    for folder in folders:
        curves.series(folder)
    assert len(curves._known) == curves.MAX_RUNS
    assert curves.series(folders[-1]) is curves.series(folders[-1])


# --- thinning ------------------------------------------------------------------------------


def test_ten_thousand_points_are_thinned_and_no_extreme_is_lost() -> None:
    rng = np.random.default_rng(0)
    steps, values = np.arange(1, 10_001), rng.normal(size=10_000)
    values[[17, 4321, 9998]] = 50.0, -50.0, 60.0
    thinned = thin(steps, values, points=500)
    assert len(thinned.steps) <= 502
    assert (np.diff(thinned.steps) > 0).all()
    assert np.array_equal(thinned.values, values[thinned.steps - 1]), "points stay at their own steps"
    assert thinned.means is not None
    ends = thinned.means[0]
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        part = values[start:end]
        inside = thinned.values[(thinned.steps > start) & (thinned.steps <= end)]
        assert (inside.min(), inside.max()) == (part.min(), part.max())
    assert thinned.means[1][0] == pytest.approx(values[: ends[0]].mean())
    assert thinned.steps[-1] == 10_000


def test_few_points_are_all_there() -> None:
    thinned = thin(np.arange(500), np.arange(500.0), points=500)
    assert thinned.means is None
    assert len(thinned.steps) == 500


def test_the_picture_of_the_past_stays_while_a_run_goes_on() -> None:
    rng = np.random.default_rng(1)
    steps, values = np.arange(3000), rng.normal(size=3000)
    before, after = thin(steps[:2900], values[:2900]), thin(steps, values)
    kept = after.steps < 2850
    assert np.array_equal(after.steps[kept], before.steps[before.steps < 2850])


@pytest.mark.parametrize(
    ("span", "width"), [(10, 1), (250, 1), (251, 2), (500, 2), (1200, 5), (10_000, 50), (10**7, 50_000)]
)
def test_ranges_are_round(span: int, width: int) -> None:
    assert curves._width(span, 250) == width


def test_evaluations_far_apart_are_thinned_by_steps(tmp_path: Path) -> None:
    steps = np.array([1, 2, 3, 1_000_000, 1_000_001])
    thinned = thin(steps, np.array([5.0, 1.0, 9.0, 2.0, 3.0]), points=4)
    assert thinned.steps.tolist() == [1, 2, 3, 1_000_000, 1_000_001]
    assert thinned.means is not None
    assert thinned.means[1].tolist() == [5.0, 2.5]


def test_a_zoom_has_finer_points_and_reaches_its_edges(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    log(folder, *({"step": n, "reward": math.sin(n)} for n in range(1, 5001)))
    coarse = charts(folder)["reward"]["series"][0]
    fine = charts(folder, steps=(1000, 1100))["reward"]["series"][0]
    assert fine["x"] == list(range(999, 1102))
    assert sum(1000 <= x <= 1100 for x in coarse["x"]) < 30
    assert (fine["count"], fine["first"], fine["last"]) == (
        5000,
        pytest.approx(math.sin(1)),
        pytest.approx(math.sin(5000)),
    )


def test_values_are_sent_to_what_a_plot_can_show(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    log(folder, *({"step": n, "learning_rate": 1e-7 * n / 3, "grad_norm": 123456 + n / 3} for n in range(1, 30)))
    found = charts(folder)
    for name in ("learning-rate", "gradient"):
        line = found[name]["series"][0]
        exact = np.array(
            [value for _, value in column(folder, {"learning-rate": "learning_rate"}.get(name, "grad_norm"))]
        )
        assert np.abs(np.array(line["y"]) - exact).max() <= (exact.max() - exact.min()) / 5000
        assert max(len(repr(y)) for y in line["y"]) <= 12


# --- which plots ---------------------------------------------------------------------------


LOGGED = {
    "grpo": [
        "loss", "grad_norm", "learning_rate", "completions/mean_length", "completions/min_length",
        "completions/max_length",
        "completions/clipped_ratio", "completions/mean_terminated_length", "completions/min_terminated_length",
        "completions/max_terminated_length", "rewards/correctness/mean", "rewards/correctness/std",
        "rewards/format/mean",
        "rewards/format/std", "reward", "reward_std", "frac_reward_zero_std", "advantages/collapse_rate",
        "class/mel/reward", "class/mel/correctness", "entropy", "kl", "clip_ratio/low_mean", "clip_ratio/high_mean",
        "clip_ratio/region_mean", "step_time", "epoch", "seconds_per_step", "tokens_per_second", "peak_memory_gb",
        "gpu_peak_memory_gb", "processor_share",
        "eval_loss", "eval_reward", "eval_reward_std", "eval_rewards/format/mean", "eval_rewards/format/std",
        "eval_class/nv/reward", "eval_class/nv/correctness", "eval_completions/clipped_ratio", "eval_entropy",
        "eval_runtime", "eval_samples_per_second", "eval_steps_per_second",
    ],
    "sft": [
        "loss", "grad_norm", "learning_rate", "entropy", "mean_token_accuracy", "epoch", "seconds_per_step",
        "tokens_per_second", "peak_memory_gb", "eval_loss", "eval_entropy", "eval_mean_token_accuracy", "eval_runtime",
    ],
    "dpo": [
        "loss", "grad_norm", "learning_rate", "entropy", "logits/chosen", "logits/rejected", "mean_token_accuracy",
        "rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins", "logps/chosen", "logps/rejected",
        "epoch", "seconds_per_step", "tokens_per_second", "peak_memory_gb", "eval_loss", "eval_rewards/margins",
    ],
}  # fmt: skip


@pytest.mark.parametrize("stage", LOGGED)
def test_what_a_stage_logs_has_a_plot_with_a_title(tmp_path: Path, stage: str) -> None:
    folder = make_run(tmp_path, stage=stage)
    log(folder, {"step": 1, **dict.fromkeys(LOGGED[stage], 0.5)})
    found = charts(folder)
    assert not [name for name in found if name.startswith("rest-")], "a figure that no chart names: name it in CHARTS"
    shown = sum(len(chart["series"]) for chart in found.values())
    assert shown == sum(not curves.LEFT_OUT.fullmatch(key) for key in LOGGED[stage])
    assert all(chart["title"] for chart in found.values())


def test_charts_are_told_apart() -> None:
    for stage, known in CHARTS.items():
        keys = [line.key for chart in known for line in chart.lines]
        assert len(keys) == len(set(keys)), stage
        assert len({chart.title for chart in known}) == len(known) == len({chart.id for chart in known})


def test_what_no_chart_names_has_a_plot_of_its_own(tmp_path: Path) -> None:
    grpo, other = make_run(tmp_path), make_run(tmp_path, "two", stage="tiny_stage")
    for folder in (grpo, other):
        log(folder, {"step": 1, "loss": 1.0, "brand/new_figure": 2.0, "eval_brand/new_figure": 3.0})
    assert charts(grpo)["rest-brand/new_figure"]["more"], "below the fold where the stage's own come first"
    chart = charts(other)["rest-brand/new_figure"]
    assert (chart["title"], chart["more"]) == ("Brand, new figure", False)
    assert [line["label"] for line in chart["series"]] == ["training", "validation"]


def test_a_plot_keeps_the_order_of_diagnoses_and_names_them(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    log(folder, *({"step": n, f"class/{code}/reward": 1.0} for n, code in enumerate(reversed(CLASSES))))
    lines = charts(folder)["class"]["series"]
    assert [line["short"] for line in lines] == list(CLASSES)
    assert lines[4]["label"] == "melanoma"
    assert [line["colour"] for line in lines] == list(range(7))


def test_several_runs_have_one_figure_a_plot_and_a_colour_each(tmp_path: Path) -> None:
    one, two = make_run(tmp_path, "one"), make_run(tmp_path, "two")
    for folder, value in ((one, 1.0), (two, 2.0)):
        log(folder, {"step": 1, "reward": value, "rewards/format/mean": value, "rewards/semantic/mean": value})
    log(two, {"step": 1, "eval_reward": 3.0})
    found = charts(one, two)
    assert [chart["title"] for chart in found.values()] == [
        "Reward",
        "Reward by part: format",
        "Reward by part: semantic",
    ]
    lines = found["reward"]["series"]
    assert [(line["label"], line["colour"], line["last"], line["twin"]) for line in lines] == [
        ("one", 0, 1.0, False),
        ("two", 1, 2.0, False),
        ("two, validation", 1, 3.0, True),
    ]


def test_losses_of_different_stages_are_not_overlaid(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, stage, stage=stage) for stage in CHARTS]
    for folder in runs:
        log(folder, {"step": 1, "loss": 1.0, "grad_norm": 1.0})
    found = charts(*runs)
    assert [len(chart["series"]) for chart in found.values() if "Loss" in chart["title"]] == [1, 1, 1]
    assert len(found["gradient"]["series"]) == 3


def test_checkpoints_that_are_complete_are_marked(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    log(folder, {"step": 20, "reward": 1.0})
    before = update([folder])
    for step in (10, 20):
        (folder / f"checkpoint-{step}").mkdir()
    seal(folder / "checkpoint-10")
    after = update([folder], known=before.signature)
    assert after.html is not None
    assert data(after.html)["runs"] == [{"name": "one", "stage": "grpo", "checkpoints": [10]}]


# --- for the page --------------------------------------------------------------------------


def data(html: str) -> dict[str, Any]:
    class Reader(HTMLParser):
        found = ""

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.found = self.found or dict(attrs).get("data-curves") or ""

    reader = Reader()
    reader.feed(html)
    found: dict[str, Any] = json.loads(reader.found)
    return found


def test_nothing_is_sent_when_nothing_is_new(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    log(folder, {"step": 1, "reward": 1.0})
    first = update([folder])
    assert first.html is not None
    assert data(first.html)["signature"] == first.signature
    assert update([folder], known=first.signature).html is None
    assert update([folder], known=first.signature, steps=(1, 2)).html is not None
    log(folder, {"step": 2, "reward": 1.0})
    assert update([folder], known=first.signature).html is not None


def test_of_a_long_run_that_goes_on_each_pixel_is_drawn_and_not_each_step(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    log(folder, *({"step": step, "reward": 1.0} for step in range(1, 2001)))
    known = update([folder], live=True, points=100).signature
    drawn = []
    for step in range(2001, 2041):
        log(folder, {"step": step, "reward": 1.0})
        found = update([folder], known=known, live=True, points=100)
        drawn += [step] if found.html is not None else []
        known = found.signature
    assert drawn == [2020, 2040]
    log(folder, {"step": 2041, "reward": 1.0})
    ended = update([folder], known=known, points=100)
    assert ended.html is not None
    assert data(ended.html)["charts"][0]["series"][0]["to"] == 2041
    zoomed = update([folder], steps=(2030, 2040), points=100, live=True)
    log(folder, {"step": 2042, "reward": 1.0})
    assert update([folder], steps=(2030, 2040), known=zoomed.signature, points=100, live=True).html is not None


def test_visitors_of_the_same_run_share_what_was_made(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    log(folder, {"step": 1, "reward": 1.0})
    assert update([folder]).html is update([folder]).html
    for step in range(2, 30):
        log(folder, {"step": step, "reward": 1.0})
        update([folder])
    assert len(curves._made) == curves.MAX_MADE


def test_the_table_says_what_the_plots_show(tmp_path: Path) -> None:
    folder = make_run(tmp_path, "a<b>", stage="dpo")
    log(folder, *({"step": n, "rewards/accuracies": n / 8, "logps/chosen": -n / 2} for n in (1, 6, 3)))
    html = str(update([folder]).html)
    rows = [re.findall(r"<t[hd][^>]*>([^<]*)", row) for row in html.split("<tr>")[2:]]
    assert rows == [
        ["Pairs told apart, training", "12.5\u202f%", "37.5\u202f%", "12.5\u202f%", "37.5\u202f%", "2"],
        ["Log-probability of the two answers, chosen (nats)", "−0.5", "−1.5", "−1.5", "−0.5", "2"],
    ]
    assert "a<b>" not in html


def test_a_run_without_figures_says_so(tmp_path: Path) -> None:
    html = update([make_run(tmp_path)]).html
    assert html is not None
    assert curves.NEW_RUN in html
    assert data(html)["extent"] is None
    assert data(str(update([tmp_path / "none"]).html))["charts"] == []


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (1.5749, "", "1.57"),
        (0.0, "", "0"),
        (-0.0, "", "0"),
        (-12.931, "", "−12.9"),
        (0.000133, "", "0.000133"),
        (7.5e-05, "", "7.5e-5"),
        (-1.33386e-07, "", "−1.33e-7"),
        (12345.6, "", "12,346"),
        (999.6, "", "1,000"),
        (2e12, "", "2e12"),
        (0.9677, "%", "96.8\u202f%"),
        (1.0, "%", "100\u202f%"),
    ],
)
def test_figures_have_three_digits(value: float, unit: str, said: str) -> None:
    assert curves.figure(value, unit) == said


@pytest.mark.parametrize(
    ("text", "steps"),
    [("3,9", (3, 9)), ("7,7", (7, 7)), ("", None), ("9,3", None), ("-1,3", None), ("1,2,3", None), ("a,b", None)],
)
def test_a_zoom_is_read(text: str, steps: tuple[int, int] | None) -> None:
    assert curves.zoomed(text) == steps


def test_the_component_carries_its_scripts_and_nothing_from_elsewhere() -> None:
    args = curves.component_args()
    assert args["head"].count("<script>") == args["head"].count("</script>") == 2, "no script may end early"
    assert "uPlot" in args["head"]
    assert "dermiqCurves" in args["head"]
    assert "'range'" in args["js_on_load"]
    for text in (args["head"], curves.css()):
        assert not re.search(r"(src|href|url)\s*[=(]\s*[\"']?(https?:)?//", text)
    licence = (curves.STATIC / "vendor" / "uPlot.LICENSE").read_text()
    assert "Leon Sorokin" in licence
    for name in ("uPlot.iife.min.js", "uPlot.min.css"):
        first = (curves.STATIC / "vendor" / name).read_text().splitlines()[0]
        assert "MIT" in first
        assert "Leon Sorokin" in first


def test_the_benchmark_says_what_it_measured() -> None:
    assert re.fullmatch(
        r"600 steps of \d+ figures: \d+ kB are sent\. First look .* ms\.", curves.benchmark(600, looks=3)
    )


# --- in a browser --------------------------------------------------------------------------

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
PAGE = """<!doctype html><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">
<style>{css}</style>{head}<div id="part">{html_template}</div><script>
let given, events = [];
const element = document.getElementById("part"), props = {{ value: "" }};
const watch = (name, update) => (given = update), trigger = (name, detail) => events.push([name, detail.value]);
const give = (value) => ((props.value = value), given());
{js_on_load}
</script>"""


class Plots:
    """The component alone in a page with the content policy of the app."""

    def __init__(self, folder: Path) -> None:
        args = curves.component_args()
        policy = CONTENT_POLICY.replace("'self'", "'self' file:")
        page = PAGE.format(
            policy=policy, css=curves.css(), **{k: v for k, v in args.items() if k != "apply_default_css"}
        )
        (folder / "page.html").write_text(page, encoding="utf-8")
        options = webdriver.ChromeOptions()
        options.binary_location = str(CHROMIUM)
        for flag in FLAGS:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
        self.driver.get((folder / "page.html").as_uri())

    def give(self, *values: Markup | None) -> None:
        """New values, one a frame."""
        code = """const [values, done] = arguments, next = () => {
            if (!values.length) return done();
            give(values.shift());
            requestAnimationFrame(next);
        };
        next();"""
        self.driver.execute_async_script(code, [str(value) for value in values])

    def js(self, code: str) -> Any:
        return self.driver.execute_script("return " + code)

    def until(self, code: str) -> None:
        WebDriverWait(self.driver, 60, 0.1).until(lambda _: self.js(code), code)

    def held(self) -> tuple[float, int]:
        """Megabytes of the heap after a forced collection, and nodes."""
        for _ in range(3):
            self.driver.execute_cdp_cmd("HeapProfiler.collectGarbage", {})
        bytes_used = self.driver.execute_cdp_cmd("Runtime.getHeapUsage", {})["usedSize"]
        return bytes_used / 1e6, self.js("document.getElementsByTagName('*').length")

    def errors(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]


@pytest.fixture
def plots(tmp_path: Path) -> Iterator[Plots]:
    page = Plots(tmp_path)
    yield page
    errors = page.errors()
    page.driver.quit()
    assert not errors


in_browser = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not ((CHROMIUM and DRIVER) or os.environ.get("CI")), reason="chromium and chromium-driver are not installed"
    ),
]


class TestInABrowser:
    pytestmark = in_browser

    def test_a_run_is_drawn_followed_and_zoomed(self, plots: Plots, tmp_path: Path) -> None:
        folder = make_run(tmp_path)
        plots.give(update([folder]).html)
        assert plots.js("document.querySelector('.dq-curves').hidden")
        assert curves.NEW_RUN in plots.js("document.body.innerText")
        log(folder, *({"step": n, "reward": n / 100, "loss": -n} for n in range(1, 101)))
        plots.give(update([folder]).html)
        plots.until("document.querySelectorAll('.dq-curve canvas').length === 1")  # the loss lies below the fold
        assert "Last: training 1" in plots.js("document.querySelector('.dq-curve-plot').ariaLabel")
        plots.js("window.canvas = document.querySelector('canvas')")
        log(folder, {"step": 101, "reward": 2.0, "loss": -1})
        plots.give(update([folder]).html)
        assert "Last: training 2" in plots.js("document.querySelector('.dq-curve-plot').ariaLabel")
        assert plots.js("window.canvas === document.querySelector('canvas')"), "the plot is kept"
        first, last = plots.driver.find_elements(By.CSS_SELECTOR, ".dq-curves-bar input[type=text]")
        for field, step in ((first, "20"), (last, "40")):
            field.send_keys(Keys.CONTROL + "a")
            field.send_keys(step, Keys.TAB)
        plots.until("events.length && events[events.length - 1].join() === 'range,20,40'")
        plots.driver.find_element(By.CSS_SELECTOR, "[data-do=whole]").click()
        plots.until("events[events.length - 1].join() === 'range,'")

    def test_arrow_keys_read_a_plot(self, plots: Plots, tmp_path: Path) -> None:
        folder = make_run(tmp_path)
        log(folder, *({"step": n, "reward": n / 2} for n in range(1, 11)))
        plots.give(update([folder]).html)
        plots.until("document.querySelector('.dq-curve canvas')")
        plot = plots.driver.find_element(By.CSS_SELECTOR, ".dq-curve-plot")
        plot.send_keys(Keys.END, Keys.ARROW_LEFT)
        plots.until("document.querySelector('[role=status].dq-curve-readout').textContent.includes('step 9')")
        assert "4.5" in plots.js("document.querySelector('.dq-curve-readout').textContent")

    def test_python_and_the_page_write_figures_alike(self, plots: Plots) -> None:
        values = [0, 1, 1.5749, -12.931, 0.000133, 7.5e-5, -1.33386e-7, 999.6, 1000, 12345.6, 2e12, 0.1, 123.4]
        for unit in ("", "%"):
            written = plots.js(f"{json.dumps(values)}.map((v) => dermiqCurves.figure(v, {unit!r}))")
            assert written == [curves.figure(value, unit) for value in values]

    def test_many_updates_leave_nothing_behind(self, plots: Plots, tmp_path: Path) -> None:
        folder, rng = make_run(tmp_path), np.random.default_rng(0)
        log(folder, *({"step": n, "reward": rng.normal(), "kl": rng.random()} for n in range(2000)))
        values = []
        for n in range(2000, 2060):
            log(folder, {"step": n, "reward": rng.normal(), "kl": rng.random()})
            values.append(update([folder]).html)
        plots.give(*values)
        before, nodes = plots.held()
        for _ in range(5):
            plots.give(*values)
        after, nodes_after = plots.held()
        assert nodes_after == nodes
        assert after - before < 1, f"the heap grew from {before:.2f} to {after:.2f} MB in 300 updates"
