"""How the training tab says numbers, times and names. Knows no run and no gradio."""

from __future__ import annotations

import time
from collections.abc import Mapping

from markupsafe import Markup

from dermiq.language import _, ngettext
from dermiq.types import CLASS_NAMES
from dermiq.ui.markup import THIN, fill

MINUTE, HOUR, DAY = 60, 3600, 86400

STAGES: Mapping[str, str] = {"sft": "SFT", "grpo": "GRPO++", "dpo": "DPO"}
SHARES = ("accuracy", "balanced_accuracy", "macro_f1")  # told in percent
JUDGED: Mapping[str, tuple[str, str]] = {  # of an evaluation: what it is called, what it means
    "balanced_accuracy": ("Balanced accuracy", "mean of the recall of each class; higher is better"),
    "accuracy": ("Accuracy", "share of images answered rightly; higher is better"),
    "macro_f1": ("Macro F1", "mean of the F1 of each class; higher is better"),
    "melanoma_auroc": ("Melanoma AUROC", "how well melanoma is ranked above the rest: 1 is perfect, 0.5 is chance"),
    "cancer_sensitivity": (
        "Skin cancers found",
        "share of melanomas, basal cell carcinomas and actinic keratoses that stand above 90 % of all other lesions",
    ),
    "expected_calibration_error": (
        "Calibration error",
        "mean gap between claimed probability and share that is right; lower is better",
    ),
    "brier": ("Brier score", "mean squared error of the probabilities; lower is better"),
}


def stage_name(stage: str) -> str:
    return STAGES.get(stage, stage)


def class_name(code: str | None) -> str:
    return CLASS_NAMES.get(code or "", code or _("not stated"))


def judged_name(name: str) -> str:
    return JUDGED[name][0] if name in JUDGED else name.replace("_", " ").capitalize()


def figure(value: float) -> str:
    """Three significant digits; the very small with an exponent: 0.0634, 1.58, 307, 1.0e-4."""
    size = abs(value)
    if value == 0:
        return "0"
    if size >= 100:
        return f"{value:,.0f}".replace(",", THIN).replace("-", "−")
    return (f"{value:.3g}" if size >= 1e-3 else f"{value:.1e}".replace("e-0", "e-")).replace("-", "−", value < 0)


def signed(value: float) -> str:
    """ "+0.26", "−0.40", "0.00"."""
    return f"{value:+.2f}".replace("-", "−") if round(value, 2) else "0.00"


def judged(name: str, value: float) -> str:
    """A figure of an evaluation: 71.3 %, or 0.912."""
    return f"{100 * value:.1f}{THIN}%" if name in SHARES else f"{value:.3f}"


def gigabytes(count: float) -> str:
    return f"{count / 1e9:.1f}{THIN}GB" if count >= 1e9 else f"{count / 1e6:.0f}{THIN}MB"


def counted(count: int, one: str) -> str:
    """ "1 step", "12 steps"."""
    form = {
        "step": lambda: ngettext("{n} step", "{n} steps", count),
        "run": lambda: ngettext("{n} run", "{n} runs", count),
        "image": lambda: ngettext("{n} image", "{n} images", count),
        "line": lambda: ngettext("{n} line", "{n} lines", count),
        "day": lambda: ngettext("{n} day", "{n} days", count),
    }.get(one)
    return form().format(n=count) if form else f"{count} {one if count == 1 else one + 's'}"


def duration(seconds: float) -> str:
    """Rounded as one would say it: 40 s, 12 min, 1 h 20 min, 3 days."""
    if seconds < 1.5 * MINUTE:
        return f"{max(round(seconds), 1)}{THIN}s"
    if seconds < HOUR - MINUTE / 2:
        return f"{round(seconds / MINUTE)}{THIN}min"
    if seconds < 2 * DAY:
        minutes = round(seconds / MINUTE / 5) * 5 if seconds < 10 * HOUR else round(seconds / HOUR) * 60
        rest = f" {minutes % 60}{THIN}min" if minutes % 60 else ""
        return f"{minutes // 60}{THIN}h{rest}"
    return counted(round(seconds / DAY), "day")


def ago(then: float, now: float) -> Markup:
    """Of a time in seconds since 1970; the time itself is in the title."""
    passed = now - then
    told = _("just now") if passed < MINUTE else _("{time} ago").format(time=duration(passed // MINUTE * MINUTE))
    local = time.localtime(then)
    return fill(
        '<time datetime="{iso}" title="{full}">{told}</time>',
        iso=time.strftime("%Y-%m-%dT%H:%M:%S%z", local),
        full=time.strftime("%d %b %Y %H:%M", local),
        told=told,
    )
