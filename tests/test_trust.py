"""The page on trust, the model facts and the table of what is kept say what files and code say today."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from dermiq import model_facts, shipped
from dermiq.data_sets import DATA_SETS
from dermiq.errors import ModelError
from dermiq.places import WEIGHTS
from dermiq.ui import about
from dermiq.ui.consult.controller import MAX_IMAGES
from docs import trust

GENERAL = {"I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X"}


def test_the_page_is_what_the_command_writes() -> None:
    assert trust.PAGE.read_text(encoding="utf-8") == trust.page(), "run python -m docs.trust and commit docs/trust.md"


def test_what_is_kept_is_told_with_the_limits_of_the_code() -> None:
    assert trust.KEPT.read_text(encoding="utf-8") == trust.kept(), "run python -m docs.trust and commit kept.md"
    digits = re.sub(r"\$\{[a-z._]+\}|SHA256", "", trust._template("kept"))
    assert re.findall(r"\d+", digits) == [], "a number that no code holds"


def test_no_figure_of_the_page_is_typed_by_hand() -> None:
    answers = [row.split("|")[3] for row in trust._template("trust").splitlines() if row.startswith("| ")]
    typed = [number for answer in answers for number in re.findall(r"\d+\.\d+|\d+ %", re.sub(r"\$\{.*?\}", "", answer))]
    assert set(typed) <= {"95 %", "90 %", "2.0", "4.0"}, "of intervals, of a specificity, of licences"


def test_every_item_has_one_of_four_answers_and_they_are_counted() -> None:
    template = trust._template("trust")
    section = template.split("\n## DECIDE-AI\n")[1].split("\n## ")[0]
    items = [row.split("|")[1].strip() for row in section.splitlines() if row.startswith("| ")][1:]
    whole = {re.sub(r"[abc]$", "", item) for item in items if item[0].isdigit()}
    assert whole == {str(number) for number in range(1, 18)}
    assert {item for item in items if not item[0].isdigit()} == GENERAL
    counted = trust.counted(template)["counted.decide_ai"]
    assert sum(map(int, re.findall(r"\d+", counted))) == len(items)


def test_a_figure_that_is_not_there_is_an_error() -> None:
    with pytest.raises(KeyError, match=r"no\.such"):
        trust.Page("${no.such}").substitute(trust.limits())


def test_the_label_says_what_the_files_beside_the_weights_say() -> None:
    label = model_facts.label()
    assert shipped.fingerprint() in label
    for one in DATA_SETS.values():
        assert all(said in label for said in (one.title, one.source, one.licence))
        for part in model_facts.READERS:
            if made := model_facts.metrics(part, one):
                assert f"{one.title}, n = {made['n']:,}" in label
                assert model_facts.figure(made, "melanoma_auroc") in label
    assert MAX_IMAGES == 6, "the label says one to six"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    for path in [*WEIGHTS.glob("*/*.json"), *WEIGHTS.glob("*/README.md"), WEIGHTS / shipped.MANIFEST]:
        target = tmp_path / path.relative_to(WEIGHTS)
        target.parent.mkdir(exist_ok=True)
        shutil.copy(path, target)
    return tmp_path


def test_other_figures_give_another_label(weights: Path) -> None:
    assert model_facts.label(weights) == model_facts.label()
    path = weights / "specialist" / "metrics_ham10000_test.json"
    path.write_text(path.read_text().replace('"melanoma_auroc": 0.8', '"melanoma_auroc": 0.1', 1))
    assert model_facts.label(weights) != model_facts.label()


def test_missing_figures_are_said_on_the_page_and_stop_nothing(weights: Path) -> None:
    (weights / "nano" / "metrics_ham10000_test.json").unlink()
    with pytest.raises(ModelError, match=r"nano/metrics_ham10000_test\.json is missing"):
        model_facts.label(weights)
    assert "cannot be read" in about.facts(weights=weights)
