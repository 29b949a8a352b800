"""Rewards on the real graph: right, wrong, hacked, malformed, empty and endless texts."""

from __future__ import annotations

import json
import random
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from dermiq.errors import DataError, ModelError
from dermiq.knowledge import Graph
from dermiq.types import CLASS_NAMES, CLASSES, Finding, ParsedText
from dermiq.vlm.parse import parse
from train.scoring.rewards import (
    PARTS,
    CaseFacts,
    ExpertJudge,
    Reward,
    Rewarder,
    RewardSettings,
    answers_reward,
    completion_text,
    consistency_reward,
    correctness_reward,
    format_reward,
    length_reward,
    read_findings,
    semantic_reward,
)

GRAPH = Graph.load()
FINDINGS = (
    Finding("asymmetry", "asymmetry", 22.0, "", "asymmetric about both axes", ""),
    Finding("border_irregularity", "border", 1.2, "", "irregular border", ""),
    Finding("colour_count", "colours", 4.0, "", "four colours", ""),
)
MELANOMA = CaseFacts("mel", FINDINGS)
SAID = "The lesion is asymmetric about both axes."
TRUE = ("An atypical pigment network is typical of melanoma.", "Melanoma is malignant.", "Melanoma itches.")
GOOD = """<think>
1. Findings: The lesion is asymmetric about both axes, with an irregular border.
2. Differential: Melanoma is most likely; a melanocytic nevus is possible.
3. Knowledge: An atypical pigment network is typical of melanoma [F1]. Melanoma is malignant.
4. Conclusion: The image as a whole fits melanoma best.
</think>
<answer>melanoma</answer>
Most likely melanoma."""


def answer(text: str) -> str:
    return f"<think>\n1. Findings: a\n</think>\n<answer>{text}</answer>"


def thought(text: str, *, answered: str = "melanoma") -> str:
    return f"<think>\n{text}\n</think>\n<answer>{answered}</answer>"


def correctness(text: str, label: str, *, parent: float = 0.0, sibling: float = 0.0) -> float | None:
    return correctness_reward(GRAPH, parse(answer(text)), CaseFacts(label), parent=parent, sibling=sibling)


def semantic(text: str, case: CaseFacts = MELANOMA, *, answered: str = "melanoma") -> float | None:
    return semantic_reward(GRAPH, parse(thought(text, answered=answered)), case)


# --- format -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "met"),
    [
        (GOOD, 6),
        (GOOD.replace("</think>\n", ""), 5),
        (GOOD.replace("</answer>", ""), 5),
        (GOOD.replace("2. Differential: ", ""), 5),
        (GOOD.replace("<answer>melanoma</answer>", "Final answer: melanoma"), 5),
        (GOOD.replace("<answer>melanoma</answer>", "<answer></answer>"), 5),
        (GOOD + GOOD, 4),
        (GOOD + "<answer>nevus</answer>", 5),
        ("<answer>melanoma</answer>", 1),
        ("<think></think><answer>melanoma</answer>", 2),
        ("I cannot say.", 0),
        ("", 0),
    ],
)
def test_format_counts_what_is_met(text: str, met: int) -> None:
    assert format_reward(text, parse(text)) == pytest.approx(met / 6)


def test_an_answer_outside_the_seven_classes_is_no_fault_of_form() -> None:
    text = GOOD.replace("<answer>melanoma<", "<answer>psoriasis, not <think><")
    assert format_reward(GOOD.replace("<answer>melanoma<", "<answer>psoriasis<"), parse(text)) == 1.0


# --- correctness --------------------------------------------------------------------------


@pytest.mark.parametrize("code", CLASSES)
def test_code_name_id_and_every_synonym_of_a_class_count(code: str) -> None:
    node = GRAPH.node(GRAPH.class_node(code))
    own = [name for name in (node.name, *node.synonyms) if GRAPH.diagnosis(name).id == node.id]  # type: ignore[union-attr]
    for name in (code, code.upper(), CLASS_NAMES[code], node.id, *own):
        assert correctness(name, code) == 1.0, name


@pytest.mark.parametrize(
    ("text", "label", "wanted"),
    [
        ("Melanoma.", "mel", 1.0),
        ("**melanomas**", "mel", 1.0),
        ("MM", "mel", 1.0),
        ("lentigo maligna", "mel", 1.0),
        ("not a nevus but a melanoma", "mel", 1.0),
        ("melanoma, superficial spreading melanoma", "superficial spreading melanoma", 1.0),
        ("Seborrhoeic keratosis", "bkl", 1.0),
        ("squamous cell carcinoma in situ", "akiec", 1.0),
        ("mole", "MONDO:0005073", 1.0),
        ("psoriasis vulgaris", "psoriasis", 1.0),
        ("melanoma or nevus", "mel", 0.0),
        ("melanoma, nevus, BCC, dermatofibroma", "mel", 0.0),
        ("no melanoma", "mel", 0.0),
        ("nevus", "mel", 0.0),
        ("melanoma", "superficial spreading melanoma", 0.0),
        ("a skin lesion", "mel", 0.0),
        ("", "mel", 0.0),
        ("melanoma " * 100, "mel", 0.0),
    ],
)
def test_correctness(text: str, label: str, wanted: float) -> None:
    assert correctness(text, label) == wanted


def test_no_answer_is_wrong_and_no_label_is_not_judged() -> None:
    assert correctness_reward(GRAPH, parse("I do not know."), CaseFacts("mel")) == 0.0
    assert correctness_reward(GRAPH, parse(GOOD), CaseFacts(None)) is None
    with pytest.raises(DataError, match="martian pox"):
        correctness("melanoma", "martian pox")


@pytest.mark.parametrize(
    ("text", "label", "wanted"),
    [
        ("melanoma", "superficial spreading melanoma", 0.5),  # one step above
        ("melanocytic skin neoplasm", "mel", 0.5),
        ("nodular melanoma", "superficial spreading melanoma", 0.25),  # beside it
        ("squamous cell carcinoma", "bcc", 0.25),
        ("nevus", "mel", 0.0),  # beside it, but benign
        ("melanoma", "nv", 0.0),
        ("skin neoplasm", "bkl", 0.0),  # above, but nearly everything is
        ("vascular lesion", "bkl", 0.0),
        ("psoriasis", "mel", 0.0),
        ("nodular melanoma or psoriasis", "superficial spreading melanoma", 0.0),
        ("superficial spreading melanoma", "superficial spreading melanoma", 1.0),
    ],
)
def test_partial_credit_for_parent_and_sibling(text: str, label: str, wanted: float) -> None:
    assert correctness(text, label, parent=0.5, sibling=0.25) == wanted


# --- semantic alignment ---------------------------------------------------------------------


def test_true_reasoning_earns_and_false_reasoning_loses() -> None:
    good = semantic("It is asymmetric about both axes, with an irregular border. " + " ".join(TRUE[:2]))
    mixed = semantic("It is asymmetric about both axes, with an irregular border. Melanoma is benign. " + TRUE[0])
    wrong = semantic("The lesion is symmetric. The border is smooth. Melanoma is benign.")
    assert (good, wrong) == (1.0, 0.0)
    assert mixed == pytest.approx(3 / 4 * 3 / 4)


def test_what_is_true_of_another_condition_earns_nothing() -> None:
    done, done_elsewhere = "Excisional biopsy settles melanoma.", "Seborrheic keratosis needs no treatment."
    assert semantic(f"{TRUE[1]} {done_elsewhere}") == semantic(TRUE[1])
    assert (semantic(f"{TRUE[1]} {done}") or 0) > (semantic(TRUE[1]) or 0)
    assert semantic(done_elsewhere) == 0.0


def test_measured_findings_are_evidence() -> None:
    said = "The lesion is asymmetric about both axes."
    assert semantic(said) == 0.25
    assert semantic("The lesion is symmetric.") == 0.0
    assert semantic(said, CaseFacts("mel")) is None


@pytest.mark.parametrize(
    "padded",
    [
        " ".join([SAID] * 30),
        f"{SAID} The lesion is asymmetric about both axes! THE LESION IS ASYMMETRIC ABOUT BOTH AXES",
        f"{SAID} It shows an asymmetric shape about both axes.",
        f"{SAID} Arborizing vessels are characteristic of BCC. Lacunae are seen in haemangioma.",
        f"{SAID} The patient should eat more vegetables. The weather is fine.",
    ],
    ids=["again", "again in capitals", "in other words", "true of other diagnoses", "about nothing"],
)
def test_padding_earns_nothing(padded: str) -> None:
    assert semantic(padded) == semantic(SAID) == 0.25


def test_one_fact_in_two_wordings_counts_once() -> None:
    once = semantic("An atypical pigment network is typical of melanoma.")
    assert semantic("An atypical pigment network is typical of melanoma. Melanoma shows an atypical network.") == once


def test_saying_nothing_is_nothing_and_what_cannot_be_judged_is_none() -> None:
    assert semantic("") == 0.0
    assert semantic_reward(GRAPH, parse(""), MELANOMA) == 0.0
    assert semantic("The weather is fine.") is None
    assert semantic("Arborizing vessels are characteristic of BCC.") == 0.0  # true, but not of this case


def test_without_label_the_answered_diagnosis_is_what_counts() -> None:
    text = " ".join(TRUE[:2])
    assert semantic(text, CaseFacts(None), answered="melanoma") == semantic(text)
    assert semantic(text, CaseFacts(None), answered="psoriasis") == 0.0


def test_every_fact_of_a_class_supports_a_case_of_it() -> None:
    for code in CLASSES:
        facts = [fact.text for fact in GRAPH.facts(GRAPH.class_node(code), family=True) if fact.relation != "is_a"]
        assert semantic("\n".join(facts[:12]), CaseFacts(code)) == 1.0, code


def test_endless_sentences_are_left_unread_and_endless_texts_cost_no_more() -> None:
    assert semantic("melanoma is malignant and " * 500) is None
    assert semantic(f"{SAID}\n" + "melanoma " * 5000) == 0.25
    assert semantic(f"{SAID}\n" + "*" * 20_000 + "\n" * 20_000) == 0.25


# --- consistency and length --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("conclusion", "answered", "wanted"),
    [
        ("this fits melanoma best", "melanoma", 1.0),
        ("this fits melanoma better than a nevus", "MM", 1.0),
        ("this fits melanoma better than melanoma", "melanoma", 0.0),
        ("a melanoma rather than a nevus", "lentigo maligna", 1.0),
        ("no nevus; this is a melanoma", "melanoma", 1.0),
        ("plaque psoriasis", "psoriasis", 1.0),
        ("this fits melanoma best", "melanocytic nevus", 0.0),
        ("psoriasis", "melanoma", 0.0),
        ("unclear", "melanoma", None),
        ("melanoma", "unclear", None),
    ],
)
def test_conclusion_against_answer(conclusion: str, answered: str, wanted: float | None) -> None:
    parsed = parse(f"<think>\n4. Conclusion: {conclusion}\n</think>\n<answer>{answered}</answer>")
    assert consistency_reward(GRAPH, parsed) == wanted


def test_without_conclusion_the_differential_speaks() -> None:
    parsed = parse("<think>\n2. Differential: melanoma, then nevus.\n</think>\n<answer>nevus</answer>")
    assert consistency_reward(GRAPH, parsed) == 0.0


def test_length_rewards() -> None:
    parsed = parse(thought("word " * 30))
    measure = partial(length_reward, parsed, full=120)
    assert measure("none", correctness=1.0) is None
    assert [measure("ecr", correctness=right) for right in (1.0, 0.0, None)] == [0.25, 0.25, 0.25]
    assert [measure("cwr", correctness=right) for right in (1.0, 0.5, 0.0, None)] == [0.25, 0.0, 0.0, None]
    assert length_reward(parse(thought("word " * 900)), "ecr", correctness=0.0, full=120) == 1.0
    assert length_reward(parse(""), "ecr", correctness=0.0, full=120) == 0.0


# --- all parts ------------------------------------------------------------------------------------


def test_a_reward_keeps_its_parts() -> None:
    reward = Rewarder(RewardSettings(length_reward="cwr"), GRAPH).reward(GOOD, MELANOMA)
    assert list(reward.parts) == ["correctness", "format", "semantic", "consistency", "length"]
    assert reward.parts["correctness"] == reward.parts["format"] == reward.parts["consistency"] == 1.0
    weighed = [reward.weights[name] * value for name, value in reward.parts.items() if value is not None]
    assert len(weighed) == len(reward.parts)
    assert reward.total == pytest.approx(sum(weighed))
    wrong = Rewarder(RewardSettings(length_reward="cwr"), GRAPH).reward(GOOD, CaseFacts("nv", FINDINGS))
    assert wrong.parts["correctness"] == wrong.parts["length"] == 0.0
    assert wrong.total < reward.total  # type: ignore[operator]


def test_what_cannot_be_judged_adds_nothing_and_nothing_judged_is_none() -> None:
    assert Reward({"a": None, "b": 0.5}, {"a": 1.0, "b": 2.0}).total == 1.0
    assert Reward({"a": None}, {"a": 1.0}).total is None


def test_no_shaping_makes_up_for_a_wrong_answer_by_default() -> None:
    settings = RewardSettings(length_reward="ecr", expert_model="some/model")
    assert settings.parts == tuple(name for name in PARTS if name != "answers"), "answering is asked for, or left out"
    assert sum(settings.weights[1:]) < settings.correctness


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="length_reward"):
        RewardSettings(length_reward="long")
    with pytest.raises(ValueError, match="format"):
        RewardSettings(format=-1.0)
    with pytest.raises(ValueError, match="parent_credit"):
        RewardSettings(parent_credit=1.0)
    with pytest.raises(ValueError, match="statements"):
        RewardSettings(statements=0)
    with pytest.raises(ValueError, match="nothing would be rewarded"):
        RewardSettings(correctness=0, format=0, semantic=0, consistency=0)


# --- TRL ------------------------------------------------------------------------------------------


def test_one_function_a_part_as_trl_calls_them() -> None:
    settings = RewardSettings(prefill="<think>\n1. Findings:", length_reward="ecr")
    rewarder = Rewarder(settings, GRAPH)
    plain = GOOD.removeprefix(settings.prefill)
    completions = [[{"role": "assistant", "content": text}] for text in (plain, "I do not know.", plain)]
    columns = {
        "diagnosis": ["mel", "mel", None],
        "findings": [[asdict(finding) for finding in FINDINGS], json.dumps([asdict(FINDINGS[0])]), None],
        "age": [50, 60, 70],
    }
    table = {}
    for function in rewarder.functions():
        table[function.__name__] = function(
            prompts=["p"] * 3, completions=completions, completion_ids=[[1]] * 3, trainer_state=None, **columns
        )
    assert tuple(table) == settings.parts
    assert len(settings.weights) == len(table)
    assert table["correctness"] == [1.0, 0.0, None]
    assert table["format"] == [1.0, pytest.approx(1 / 6), 1.0]
    for row, case in enumerate((MELANOMA, CaseFacts("mel", FINDINGS[:1]), CaseFacts(None))):
        text = completions[row][0]["content"]
        assert rewarder.reward(text, case).parts == {name: scores[row] for name, scores in table.items()}


def test_a_missing_column_is_said() -> None:
    with pytest.raises(DataError, match="column 'diagnosis'"):
        Rewarder(RewardSettings(), GRAPH).functions()[0](prompts=["p"], completions=["c"])


def test_completions_and_findings_in_every_shape() -> None:
    blocks = [{"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "image"}]}]
    assert completion_text("a") == completion_text([{"role": "assistant", "content": "a"}]) == completion_text(blocks)
    held = {**asdict(FINDINGS[0]), "percentile": None, "unknown": 3}
    assert read_findings([held, FINDINGS[0]]) == (FINDINGS[0], FINDINGS[0])
    assert read_findings(None) == read_findings("null") == ()
    for wrong in ("{", '{"code": 1}', [{"code": "asymmetry"}], ["asymmetry"]):
        with pytest.raises(DataError):
            read_findings(wrong)


# --- the expert -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def expert_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny real language model with a word tokenizer: " yes" and " no" are words of their own."""
    folder = tmp_path_factory.mktemp("expert")
    vocabulary = {word: at for at, word in enumerate(["<unk>", "yes", "no", "melanoma", "is", "likely"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>").save_pretrained(folder)
    torch.manual_seed(0)
    small: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 16}
    small |= {"num_hidden_layers": 1, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(vocabulary), tie_word_embeddings=False, **small)).save_pretrained(
        folder
    )
    return folder


def test_the_expert_says_yes_where_yes_is_likelier(expert_folder: Path) -> None:
    judge = ExpertJudge(str(expert_folder))
    parsed = parse(thought("melanoma is likely"))
    odds = judge.log_odds(parsed)
    head = judge._load()[1].lm_head.weight
    with torch.no_grad():
        head[[1, 2]] = head[[2, 1]]  # swaps what the model thinks of yes and no
    assert judge.log_odds(parsed) == pytest.approx(-odds)
    assert odds != 0
    assert judge(parsed) == float(odds < 0)


def test_the_expert_is_not_asked_about_nothing_and_not_loaded_for_it() -> None:
    judge = ExpertJudge("no/such-model")
    assert judge(parse("")) == judge(parse("<answer>melanoma</answer>")) == 0.0


def test_an_expert_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="missing-model"):
        ExpertJudge(str(tmp_path / "missing-model"))(parse(GOOD))


# --- any text -----------------------------------------------------------------------------------------

PIECES = (
    *("<think>", "</think>", "<answer>", "</answer>", "<answer", "1. Findings:", "Conclusion:", "**", "[F1]", "[F"),
    *("melanoma", "nevus", "not", "no", "is", "typical of", "asymmetric", "four colours", "5 %", "2 weeks", "C43"),
    *(".", "\n", " ", "\t", "\0", "\ud800", "é", "皮膚", "🩺", "\u202e", "(", "]", "\\", "{}", "%s", "-", "#", "’"),
    "1" * 40,
)


@pytest.mark.parametrize("seed", range(60))
def test_no_text_makes_a_reward_raise(seed: int) -> None:
    draw = random.Random(seed)
    joint = draw.choice(("", " ", "\n"))
    text = joint.join(draw.choices(PIECES, k=draw.randrange(200)))
    settings = RewardSettings(length_reward="cwr", parent_credit=0.5, sibling_credit=0.2)
    case = CaseFacts(draw.choice((None, *CLASSES, "psoriasis")), FINDINGS[: draw.randrange(4)])
    reward = Rewarder(settings, GRAPH).reward(text, case)
    assert tuple(reward.parts) == settings.parts
    assert all(value is None or 0.0 <= value <= 1.0 for value in reward.parts.values())


@pytest.mark.parametrize("seed", range(30))
def test_no_damage_to_a_good_text_makes_a_reward_raise(seed: int) -> None:
    draw = random.Random(seed)
    letters = list(GOOD)
    for _ in range(draw.randrange(1, 60)):
        letters[draw.randrange(len(letters))] = draw.choice(("", "\n", "<", ">", "x"))
    reward = Rewarder(RewardSettings(), GRAPH).reward("".join(letters), MELANOMA)
    assert all(value is None or 0.0 <= value <= 1.0 for value in reward.parts.values())


# --- answering ------------------------------------------------------------------------------------

TREATED = "Operable melanoma is treated by wide surgical excision."
MARGIN = "Melanoma up to 1 mm thick is excised with a margin of 1 cm."
WEIGHED = Finding(
    "colour_asymmetry", "colour asymmetry", 12.0, "Lab units", "colours unevenly placed", "", 95.0, {"mel": 4.6}, 400
)


@pytest.mark.parametrize(
    ("question", "text", "value"),
    [
        ("How is it treated?", f"{TREATED} {MARGIN}", 1.0),
        ("How is it treated?", TREATED, 1.0),
        ("How is it treated?", f"{TREATED} {TREATED}", 1.0),
        ("How is it treated?", f"{TREATED} {MARGIN} Dermoscopy of melanoma typically shows a blue-white veil.", 0.667),
        ("How is it treated?", "Dermoscopy of melanoma typically shows a blue-white veil.", 0.0),
        ("How is it treated?", "Dermatofibroma is benign. " * 20, 0.0),
        ("How is it treated?", "", 0.0),
        ("How is it treated?", "Treatment, treated, excision, margin, therapy, cream, surgery.", 0.0),
        ("", "The colours are unevenly placed.", 1.0),
        ("", "Melanoma is malignant.", 0.0),
        ("What is the capital of France?", "Paris.", None),
    ],
)
def test_answering_is_rewarded_for_the_points_that_are_made(question: str, text: str, value: float | None) -> None:
    case = CaseFacts("mel", (WEIGHED,), question)
    assert answers_reward(GRAPH, ParsedText(prose=text), case) == value


def test_what_was_said_before_earns_nothing() -> None:
    case = CaseFacts("mel", question="How is it treated?", earlier=(f"{TREATED} {MARGIN}",))
    assert answers_reward(GRAPH, ParsedText(prose=f"{TREATED} {MARGIN}"), case) == 0.0


def test_without_a_diagnosis_answering_cannot_be_judged() -> None:
    assert answers_reward(GRAPH, ParsedText(prose=TREATED), CaseFacts(None)) is None
