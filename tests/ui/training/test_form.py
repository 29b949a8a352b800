"""The form that starts a run: every option has its place, whatever is typed gets a sentence, and file, command and
form say the same."""

from __future__ import annotations

import asyncio
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from PIL import Image

from dermiq.errors import DataError, InputError
from dermiq.ui.training import labels
from dermiq.ui.training.form import (
    KINDS,
    MAX_TEXT,
    MAX_YAML,
    Estimate,
    Form,
    presets,
    shown_options,
    split_list,
    text_of,
)
from dermiq.ui.training.form_fields import HEARD, form_fields, listened
from dermiq.ui.training.form_shown import AtHand, Props, elem_id, options_at, part_of, said_by, shown, text_in, value_in
from dermiq.ui.training.labels import ESSENTIALS, HIDDEN, LABELS, SECTIONS, STAGES, bare, section
from train import options
from train.options import Option, options_of
from train.runs.estimate import Part

EACH = [(stage, name) for stage in KINDS for name in shown_options(stage)]
ALL_PRESETS = [(stage, preset.key) for stage in KINDS for preset in presets(stage)]
BAD = ("", "abc", "-1", "1e99", "nan", "x" * 3000, "９９９ منخفض", "<b>1</b>", "1 000")
FREE = ("prefill", "expert_model", "hub_id")
"""Texts that only the run itself can find wrong."""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A data set of four images, so that a check reads something, and is fast."""
    rows = ["image,label,split"]
    for number in range(4):
        Image.new("RGB", (8, 8), (number * 40, 90, 90)).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{('mel', 'nv')[number % 2]},{'train' if number < 3 else 'val'}")
    file = tmp_path / "some images.csv"
    file.write_text("\n".join(rows))
    return file


def form_on(stage: str, table: Path, **changed: str) -> Form:
    form = Form.of(stage, "defaults").given({"data": f'"{table}"', "device": "cpu"})
    return form.given({name.replace("__", "."): text for name, text in changed.items()})


# --- every option has its place ---------------------------------------------------------


@pytest.mark.parametrize(("stage", "name"), EACH)
def test_an_option_has_a_label_a_help_and_one_section(stage: str, name: str) -> None:
    own = bare(name)
    assert labels.label(name) != name, f"Give {own} a label in dermiq/ui/training/labels.py."
    assert shown_options(stage)[name].help, f"Say in a word what {own} is, where it is defined."
    places = [title for title, names in SECTIONS.items() if own in names or own.partition(".")[0] in names]
    assert places == [section(name)], f"{own} stands in {places}: put it into one section."


def test_nothing_is_called_that_is_no_option() -> None:
    known = {bare(option.name) for kind in KINDS.values() for option in options_of(kind)}
    named = {*LABELS, *labels.UNITS, *labels.HINTS, *labels.CHOICES, *HIDDEN}
    assert named <= known
    assert {name for names in ESSENTIALS.values() for name in names} <= known
    for names in SECTIONS.values():
        assert all(name in known or any(k.startswith(f"{name}.") for k in known) for name in names)


@pytest.fixture(scope="module")
def built() -> dict[str, gr.components.Component]:
    return fields(locked=False)


def fields(*, locked: bool) -> dict[str, gr.components.Component]:
    async def made() -> dict[str, gr.components.Component]:  # outside of a loop, gradio makes some and leaves them open
        with gr.Blocks():
            return form_fields(Form.of("sft"), locked=locked)

    return asyncio.run(made())


@pytest.mark.parametrize("stage", KINDS)
def test_every_option_has_one_field_that_is_named_and_heard(
    stage: str, built: dict[str, gr.components.Component]
) -> None:
    page = look(Form.of(stage))
    parts = [part_of(stage, name) for name in shown_options(stage)]
    assert len(set(parts)) == len(parts)
    for part in (*parts, "stage", "preset", "name"):
        assert part in HEARD
        assert (page[part].get("label") or built[part].label) not in (None, "")
        assert built[part].elem_id == elem_id(part)
    assert set(page) <= set(built), "what is shown has its component"
    assert said_by(stage, dict(zip(parts, parts, strict=True))) == dict(zip(shown_options(stage), parts, strict=True))


def _is_open(made: gr.components.Component) -> bool:
    return isinstance(made, gr.Dropdown) and made.allow_custom_value


def test_an_option_becomes_the_component_of_its_kind(built: dict[str, gr.components.Component]) -> None:
    for part, option in options_at().items():
        made = built[part]
        if option.kind is bool:
            assert isinstance(made, gr.Checkbox), part
        elif option.choices:
            assert isinstance(made, gr.Dropdown), part
            assert bool(made.multiselect) is option.is_list
            assert [value for _, value in made.choices] == list(map(str, option.choices))
        else:
            assert isinstance(made, gr.Textbox) or _is_open(made) or bare(option.name) in labels.CHOICES, part
    assert len(listened(built)) >= len(HEARD) - 1


@pytest.mark.parametrize(("stage", "key"), ALL_PRESETS)
def test_what_a_form_shows_comes_back_unchanged(stage: str, key: str) -> None:
    form = Form.of(stage, key)
    page = look(form)
    sent = {part: text_in(page[part]["value"]) for part in HEARD if "value" in page.get(part, {})}
    assert form.given(said_by(stage, {"=": sent.pop("key"), **sent})) == form


def test_every_file_of_options_is_a_preset() -> None:
    files = {path.stem for path in Path(options.__file__).parent.glob("configs/*.yaml")} - {"ablate_embedded_cpu"}
    assert files == {f"{stage}_{key}" for stage, key in ALL_PRESETS if key != "defaults"}
    for stage in KINDS:
        assert presets(stage)[0].key == "embedded_cpu"
        assert all(preset.title and preset.sentence.endswith(".") for preset in presets(stage))


# --- whatever is typed --------------------------------------------------------------------


def is_bad(option: Option, text: str) -> bool | None:
    """Whether a text cannot be the option's value; None where that is for `check` to say."""
    if option.item_kind is str and not option.choices:
        return True if len(text) > MAX_TEXT else None
    if text == "":
        return None if option.is_list else not (option.optional or "" in option.choices)
    return None if option.is_list and text == "1 000" else True


@pytest.mark.parametrize(("stage", "name"), EACH)
def test_a_bad_value_gets_a_sentence_at_its_field(stage: str, name: str) -> None:
    option = shown_options(stage)[name]
    for text in BAD if stage != "pipeline" else BAD[:3]:
        form = Form.of(stage, "defaults").given({name: text})
        wrong = is_bad(option, text)
        assert wrong is None or (name in form.errors) is wrong, (text[:20], form.errors)
        assert set(form.errors) <= {name}
        assert form.text(name) == text  # what was typed stays
        for message in form.errors.values():
            assert message.endswith(".")
            assert len(message) < 500
    if form.errors:  # of the last text
        page = look(form)
        marked = [part for part, props in page.items() if props.get("elem_classes") == ["dq-wrong"]]
        assert marked == [part_of(stage, name)]
        assert page[marked[0]]["label"].endswith(": to correct")
        assert form.errors[name] in page[marked[0]]["info"]
        assert f'href="#{elem_id(marked[0])}"' in page["said"]["value"], "a way to it stands beside Start"


TYPED = {
    "model": ["", " ", "abc", "a/b/c", "/nowhere/at/all", "x" * 300, "\0", "нет"],
    "device": ["abc", "-1", "cuda:x", "gpu 0"],
    "data": ["", "abc", "nowhere.csv", "nowhere.jsonl", '"not closed', "x" * 300],
    "val": ["abc", "nowhere.csv", "not'closed"],
    "lora_targets": ["", "(", "*"],
    "patience": ["3"],
    "eval_every": [],
    "preferences": ["abc", "nowhere.jsonl", "nowhere.csv"],
    "loss": ["", "sft"],
    "loss_weights": ["1 2 3"],
    "label_smoothing": ["0.1"],
    "rewards.correctness": ["0"],
    "advantage.bonus": ["0.5"],
    "advantage.threshold": ["1"],
    "rewards.parent_credit": ["1"],
}


@pytest.mark.parametrize("stage", ["sft", "grpo", "dpo"])
def test_what_only_the_stage_knows_gets_a_sentence_at_its_field(stage: str, table: Path) -> None:
    for name, texts in TYPED.items():
        option = shown_options(stage).get(name)
        for text in texts if option and not (name == "loss" and option.choices and not option.is_list) else ():
            form = form_on(stage, table).given({name: text}).check()
            assert set(form.errors) == {name}, (name, text[:20], form.errors, form.note)
            assert form.errors[name].endswith(".")


@pytest.mark.parametrize("stage", ["sft", "grpo", "dpo"])
def test_no_text_ends_the_check_with_a_traceback(stage: str, table: Path) -> None:
    for name, option in shown_options(stage).items():
        if option.item_kind is str and not option.choices:
            for text in (*BAD, "../..", "~", "a/b.csv", "-x"):
                if text.count("/") == 1 and name in ("data", "val", "preferences", "model"):
                    continue  # could be a name of the hub
                form = form_on(stage, table).given({name: text}).check()
                assert form.is_right or form.errors or form.note


def test_a_right_form_is_right(table: Path) -> None:
    for stage in ("sft", "grpo", "dpo"):
        assert form_on(stage, table).check().is_right


def test_of_a_pipeline_the_field_of_the_stage_is_marked(table: Path) -> None:
    data = {f"{stage}.data": f'"{table}"' for stage in ("grpo", "sft", "dpo")}
    form = Form.of("pipeline", "defaults").given(data)
    assert form.check().is_right
    assert set(form.given({"sft.device": "abc"}).check().errors) == {"sft.device"}
    assert set(form.given({"grpo.data": "nowhere.csv"}).check().errors) == {"grpo.data"}
    assert set(form.given({"grpo.rewards.format": "-1"}).errors) == {"grpo.rewards.format"}
    assert set(form.given({"sft.export": "adapter"}).check().errors) == {"sft.export"}
    assert set(form.given({"model": "abc"}).check().errors) == {"model"}
    assert form.given({"stages": "grpo grpo"}).check().errors["stages"]


def test_a_comma_is_explained() -> None:
    assert Form.of("sft").given({"learning_rate": "0,001"}).errors == {
        "learning_rate": "Learning rate is “0,001”; it must be a number. Write decimals with a point: 0.001."
    }


@pytest.mark.parametrize("name", ["a b", "../x", ".hidden", "x" * 101, "نعم", "-x"])
def test_a_run_cannot_be_called_anything(name: str) -> None:
    form = Form.of("sft").given({"name": name})
    assert set(form.errors) == {"name"}
    assert form.given({"name": "mine-2"}).errors == {}


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("There is already a run 'mine' in /somewhere. Choose another name, or resume it.", "name"),
        ("learning_rate is nan; it must be a number.", "learning_rate"),
        ("Nothing would be trained: 4-bit weights are frozen. Set lora_rank above 0.", "lora_rank"),
        ("3 example(s) are labelled images: preferences must name pairs.", "preferences"),
        ("rewards: Every part has the weight 0: nothing would be rewarded.", None),
        ("odd.csv: 3 image(s) do not exist, such as steps.png.", "data"),
        ("odd.csv: unknown labels: “SCC”. Correct them, or set labels to known (--labels known).", "data"),
        ("The disk is full.", None),
    ],
)
def test_a_sentence_goes_to_the_field_that_it_is_about(message: str, field: str | None) -> None:
    form = replace(Form.of("dpo").given({"data": "odd.csv"}), name="mine").refused(DataError(message))
    assert set(form.errors) == ({field} if field else set())
    assert bool(form.note) is (field is None)
    assert not form.is_right


# --- what the browser sends -----------------------------------------------------------------


def test_chosen_and_typed_data_are_one_list() -> None:
    part = "sft.data"
    assert text_in(["ham10000", "my own.csv"]) == 'ham10000 "my own.csv"'
    form = Form.of("sft", "defaults").given({"data": text_in(["ham10000", "my own.csv"])})
    config: Any = form.config()
    assert config.data == ("ham10000", "my own.csv")
    page = look(form, data={"ham10000": "HAM10000 (dermoscopy)"})
    assert page[part]["value"] == ["ham10000", "my own.csv"]
    assert page[part]["choices"] == [("HAM10000 (dermoscopy)", "ham10000")]
    assert value_in(part, "'not closed") == ["'not closed"]


def test_another_model_is_typed_into_the_same_field() -> None:
    form = Form.of("sft").given({"model": "owner/name"})
    assert form.config().model == "owner/name"
    page = look(form, models=["mine"])["model"]
    assert page["value"] == "owner/name"
    assert ("Run mine", "mine") in page["choices"]


def test_what_is_meant_for_other_fields_changes_nothing() -> None:
    form = Form.of("grpo", "embedded_gpu")
    assert form.given({"=": "grpo/embedded_cpu", "steps": "4"}) == form
    assert form.given({"=": form.key, "steps": "4"}).text("steps") == "4"


def test_stage_and_preset_are_chosen_with_the_fields_as_they_are() -> None:
    form = Form.of("grpo")
    sent = {"=": form.key, "stage": "grpo", "preset": "embedded_gpu", "images": "30"}
    moved = form.given(sent)
    assert (moved.preset, moved.text("images")) == ("embedded_gpu", "30")
    assert moved.given(sent) == moved, "it came late"
    assert form.given({**sent, "stage": "dpo"}).stage == "dpo"


def test_no_preset_changes_what_was_chosen() -> None:
    form = Form.of("sft", name="mine").given({"data": "own.csv", "images": "30", "lora_rank": "4"})
    for preset in presets("sft"):
        moved = form.with_preset(preset.key)
        assert (moved.text("data"), moved.text("images"), moved.text("lora_rank")) == ("own.csv", "30", "4")
        assert moved.name == "mine"
        config: Any = preset.config
        assert moved.text("steps") == str(config.steps), "what was not chosen is the preset's"
    assert "Kept as you chose it: Data, Images, LoRA rank." in look(form.with_preset("defaults"))["preset"]["info"]
    other = form.with_stage("grpo")
    assert (other.text("data"), other.name) == ("own.csv", "mine")
    assert other.text("images") == Form.of("grpo").text("images"), "limits are a stage's own"
    assert other.with_stage("pipeline").text("sft.data") == "own.csv"


def test_pairs_that_are_named_are_learned_whole() -> None:
    short = Form.of("dpo", "embedded_cpu")
    assert "makes pairs of what the model answers about 8 images" in look(short)["dpo.preferences"]["info"]
    named = short.given({"preferences": "mine@1"})
    for form in (named, named.with_preset("defaults"), named.with_preset("defaults").with_preset("embedded_cpu")):
        assert (form.text("steps"), form.text("images"), form.text("preferences")) == ("0", "0", "mine@1")
        page = look(form)
        assert "Every pair is learned once. The graph makes none" in page["dpo.preferences"]["info"]
        assert not page["dpo.data"]["visible"]
        assert not page["dpo.images"]["visible"]
    assert "4 steps take that many batches" in look(named.given({"steps": "4"}))["dpo.preferences"]["info"]
    assert named.given({"preferences": ""}).fields == {}, "without the pairs it is the preset again"


def test_an_unknown_name_is_left_out() -> None:
    assert Form.of("grpo").given({"proxy.answers": "3", "push_to_hub": "true", "": "1"}).fields == {}


def test_a_change_forgets_the_estimate_and_the_question() -> None:
    form = replace(Form.of("grpo"), estimate=RED, asked_again=True)
    assert form.given({"steps": form.text("steps")}) == form
    changed = form.given({"steps": "9"})
    assert changed.estimate is None
    assert not changed.asked_again


# --- file and command -------------------------------------------------------------------


@pytest.mark.parametrize(("stage", "key"), ALL_PRESETS)
def test_file_and_command_give_the_same_options(stage: str, key: str, tmp_path: Path) -> None:
    form = Form.of(stage, key)
    same(form, tmp_path)
    assert form.config() == next(preset.config for preset in presets(stage) if preset.key == key)
    assert form.read_yaml(form.yaml_text()).fields == {}


@pytest.mark.parametrize(
    ("stage", "typed"),
    [
        (
            "grpo",
            {"learning_rate": "2.8e-5", "rewards.format": "0", "advantage.best_reward": "1.25", "window": "false"},
        ),
        ("grpo", {"rewards.prefill": "--x 'y' \"z\" $HOME `a`", "lora_targets": "-a.*|\\(b\\)", "seed": "0"}),
        ("sft", {"data": "'a b.csv' \"it's.jsonl\" c.csv", "val": "", "load_in_4bit": "true", "dtype": ""}),
        ("dpo", {"loss": "sigmoid sft", "loss_weights": "1 0.1", "proxy.weights.form": "0.25", "model": "x/y"}),
        ("pipeline", {"stages": "sft dpo", "sft.texts": "3", "dpo.proxy.weights.form": "0", "grpo.rehearse": "false"}),
    ],
)
def test_what_was_typed_is_in_file_and_command(stage: str, typed: dict[str, str], tmp_path: Path) -> None:
    form = Form.of(stage).given(typed)
    assert form.errors == {}
    assert form.config() != Form.of(stage).config()
    same(form, tmp_path)
    again = Form.of(stage).read_yaml(form.yaml_text())
    assert again.config() == form.config()
    assert again.errors == {}


def same(form: Form, tmp_path: Path) -> None:
    kind = KINDS[form.stage]
    file = tmp_path / "options.yaml"
    file.write_text(form.yaml_text(), encoding="utf-8")
    assert options.load(kind, ["--config", str(file)]) == form.config()
    words = shlex.split(form.command())
    assert words[:3] == ["python", "-m", f"train.{form.stage}"]
    assert options.load(kind, words[3:]) == form.config()


def test_the_command_names_the_run() -> None:
    assert Form.of("sft", "defaults", name="mine").command() == "python -m train.sft --name mine"


def test_options_of_a_run_fill_the_form() -> None:
    config = Form.of("grpo", "embedded_gpu").config()
    form = Form.of_options("grpo", options.as_dict(config), name="again")
    assert form.config() == config
    assert form.name == "again"
    with pytest.raises(InputError, match="no option"):
        Form.of_options("grpo", {"gone": 1})


def test_a_text_leaves_what_it_does_not_name_at_the_default() -> None:
    form = Form.of("grpo", "embedded_cpu").read_yaml("steps: 7\n")
    assert form.config() == options.make(KINDS["grpo"], {"steps": 7})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("steps: [7", "not valid YAML at line 1"),
        ("steps: 7\nlearning_rate: abc\n", "Line 2: learning_rate"),
        ("steps: 7\nrewards:\n  # weights\n  format: -1\n", "Line 4: rewards: The weight of format"),
        ("steps: 7\n\nrewardz:\n  format: 1\n", "Line 3: There is no option 'rewardz'"),
        ("rewards: 3\n", "Line 1: rewards is 3"),
        ("push_to_hub: true\nhub_id: a/b\n", "Line 1: push_to_hub is set"),
        ("- steps\n- 7\n", "one `option: value` a line"),
        ("a: &a [1]\ndata: *a\n", "refers to a part of itself"),
        ("[" * 500, "not valid YAML"),
        ("steps: 2026-13-45\n", ""),
        ("\0", "not valid YAML"),
        ("x" * 200_000, "larger than"),
        ("!!python/object:os.system x", "not valid YAML"),
    ],
)
def test_a_wrong_text_is_kept_with_a_sentence(text: str, said: str) -> None:
    before = Form.of("grpo").given({"group": "6"})
    form = before.read_yaml(text)
    assert said in form.errors["yaml"]
    assert form.errors["yaml"].endswith(".")
    assert form.config() == before.config()
    assert form.check().errors == form.errors, "a form with an unread text is not started"
    page = look(form)
    assert page["yaml"]["value"] == text[:MAX_YAML]
    assert form.errors["yaml"] in page["yaml"]["info"]
    assert page["discard"]["visible"]
    assert form.given({"group": "5"}).errors == {}, "another change takes its place"


# --- texts ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1e-4, "1e-4"),
        (2.8e-5, "2.8e-5"),
        (0.05, "0.05"),
        (1.0, "1"),
        (0.0, "0"),
        (1000.0, "1000"),
        (None, ""),
        (True, "true"),
        (("a", "b c", "it's", 'say "x"', ""), None),
        ((1.0, 0.1), "1 0.1"),
    ],
)
def test_a_value_there_and_back(value: object, text: str | None) -> None:
    made = text_of(value)
    assert text is None or made == text
    if isinstance(value, float):
        assert float(made) == value
    if isinstance(value, tuple):
        assert split_list(made) == tuple(text_of(item) for item in value)


# --- the page -----------------------------------------------------------------------------


PARTS = (
    Part("weights", 500_000_000, "always", "of the model"),
    Part("cache", 4_000_000_000, "sampling", "of 8 answers"),
)
RED = Estimate(
    PARTS, 4_500_000_000, 1_000_000_000, "cpu", 170.0, "As in the last run.", ("Lower group.",), ("3 left out.",)
)


def look(form: Form, **at_hand: object) -> dict[str, Props]:
    return shown(form, AtHand(**at_hand))  # type: ignore[arg-type]


@pytest.mark.parametrize(("free", "word"), [(10, "It fits."), (5, "That may not do."), (1, "That will not do.")])
def test_an_estimate_is_told_in_words(free: int, word: str) -> None:
    made = replace(RED, free=free * 10**9)
    page = look(replace(Form.of("grpo"), estimate=made))
    said = page["estimated"]["value"].replace("\u202f", " ")
    assert all(words in said for words in (word, "4.5 GB", "3 min", "- Lower group.", "- 3 left out."))
    assert f"dq-{made.level}" in page["estimated"]["elem_classes"]
    assert "| Cache | 4.0 GB | Of 8 answers (sampling) |" in page["parts"]["value"].replace("\u202f", " ")


def buttons(form: Form, **at_hand: object) -> set[str]:
    """That can be pressed."""
    page = look(form, **at_hand)
    names = ("start", "startanyway", "estimate", "cancel")
    return {name for name in names if page[name]["visible"] and page[name].get("interactive", True)}


def test_a_red_estimate_asks_again() -> None:
    assert buttons(replace(Form.of("grpo"), estimate=RED)) == {"start", "estimate"}
    asked = replace(Form.of("grpo"), estimate=RED, asked_again=True)
    assert buttons(asked) == {"startanyway", "estimate"}
    assert "needs clearly more memory than is free" in look(asked)["said"]["value"]


def test_started_anyway_a_run_does_not_end_at_once() -> None:
    alone: Any = Form.of("grpo").unchecked().config()
    assert not alone.check_memory
    config: Any = Form.of("pipeline").unchecked().config()
    assert not any((config.grpo.check_memory, config.sft.check_memory, config.dpo.check_memory))


def test_what_is_computed_shows_progress_and_can_be_given_up() -> None:
    form = replace(Form.of("grpo"), doing="Measuring example 3 of 8.", share=0.4)
    said = look(form)["said"]["value"]
    assert "Measuring example 3 of 8." in said
    assert '<progress value="40" max="100"' in said
    assert buttons(form) == {"cancel"}


def test_start_comes_with_the_estimate_in_short() -> None:
    found = replace(RED, low=100.0, high=400.0)
    said = look(replace(Form.of("grpo"), estimate=found))["said"]["value"].replace("\u202f", " ")
    assert "About 4.5 GB of 1.0 GB free, about 3 min (2 min to 7 min)." in said
    wrong = look(replace(Form.of("grpo"), note="No GPU is here."))["said"]["value"]
    assert '<p class="dq-error" role="alert">No GPU is here.</p>' in wrong


def test_a_locked_form_says_why_and_takes_nothing() -> None:
    assert "Training is off here." in look(Form.of("grpo"), locked="Training is off here.")["said"]["value"]
    assert buttons(Form.of("grpo"), locked="Training is off here.") == set()
    made = fields(locked=True)
    assert not any(made[part].interactive for part in (*HEARD[1:], "yaml", "load"))


def test_what_was_typed_is_text_not_markup() -> None:
    page = look(Form.of("grpo").given({"model": "<script>x</script>", "steps": "<b>"}))
    assert page["model"]["value"] == "<script>x</script>"
    assert "<b>" in page["grpo.steps"]["info"], "gradio escapes it"
    assert "<b>" not in page["said"]["value"]
    assert STAGES["grpo"][1] == page["stage"]["info"]
