"""The parser, as tables of what models write."""

import pytest

from dermiq.vlm.parse import class_mentions, class_of, parse

GOOD = """<think>
1. Findings: The lesion is asymmetric.
2. Differential: melanoma is most likely; melanocytic nevus is possible.
3. Knowledge: Irregular streaks speak for melanoma [F1]. [F3]
4. Conclusion: This fits melanoma best rather than a nevus.
</think>
<answer>melanoma</answer>
Most likely melanoma [F1]."""


def test_agreed_form_parses_without_problems() -> None:
    parsed = parse(GOOD)
    assert parsed.problems == ()
    assert (parsed.answer_code, parsed.conclusion_code) == ("mel", "mel")
    assert parsed.citations == (1, 3)
    assert parsed.findings == "The lesion is asymmetric."
    assert parsed.prose == "Most likely melanoma [F1]."


@pytest.mark.parametrize(
    ("text", "code", "problem"),
    [
        ("<answer>nevus</answer>", "nv", "no <think> block"),
        ("**Final answer:** Basal cell carcinoma.", "bcc", "no <answer> tag"),
        ("<think>\n**Findings**: red\n<answer>BCC</answer>", "bcc", "not closed"),
        ("<think>a</think><answer>eczema</answer>", None, "none of the seven"),
        ("<think>a</think><answer>melanoma or nevus</answer>", None, "none of the seven"),
        ("<think>a</think>\n<answer>dermatofibroma", "df", "tag is not closed"),
        ("I cannot say.", None, "no answer"),
        ("", None, "no answer"),
    ],
)
def test_what_models_write(text: str, code: str | None, problem: str) -> None:
    parsed = parse(text)
    assert parsed.answer_code == code
    assert any(problem in said for said in parsed.problems), parsed.problems


HEADINGS = ("1. Findings:", "**Findings:**", "## Findings", "Step 1: Findings -", "1) findings:")


@pytest.mark.parametrize("heading", HEADINGS)
def test_headings(heading: str) -> None:
    text = f"<think>\n{heading} dark spot\n2. Conclusion: nevus</think><answer>mole</answer>"
    assert parse(text).findings == "dark spot"


def test_denied_diagnoses_are_not_conclusions() -> None:
    assert [code for _, code in class_mentions("Not a melanoma; this is a solar lentigo.")] == ["bkl"]
    assert class_of("seborrheic keratosis rather than melanoma") == "bkl"


@pytest.mark.parametrize("stumble", ["*", "# ", "* \n", "1. ", "step "])
def test_a_stumbling_model_costs_no_minutes(stumble: str) -> None:
    """Patterns whose work grows with the square of the text hung here for hours."""
    parsed = parse(f"<think>{stumble * 50_000}\n1. Findings: dark spot</think><answer>mole</answer>")
    assert (parsed.findings, parsed.answer_code) == ("dark spot", "nv")
