"""The two commands: exactly the agreed JSON, one text or a file of them."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from dermiq.knowledge.cli import add_parsers


def run_cli(*words: str) -> int:
    """What `python -m dermiq` does with these words; gives the exit status."""
    parser = argparse.ArgumentParser()
    add_parsers(parser.add_subparsers(required=True))
    args = parser.parse_args(words)
    code: int = args.run(args)
    return code


def _printed(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_knowledge_prints_the_agreed_fields(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli("knowledge", "Is it a BCC?", "--json", "--no-embeddings") == 0
    (row,) = _printed(capsys)
    assert set(row) == {"entities", "facts"}
    assert row["entities"] == [
        {"mention": "BCC", "id": "MONDO:0005341", "name": "basal cell carcinoma", "negated": False}
    ]
    assert set(row["facts"][0]) == {"id", "subject", "relation", "object", "text", "source", "url", "score"}


def test_check_prints_the_agreed_fields(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli("check", "It is malignant. It is benign. Rain is wet.", "--diagnosis", "mel", "--json") == 0
    (row,) = _printed(capsys)
    assert set(row) == {"claims", "accuracy", "relevance", "completeness"}
    assert [claim["verdict"] for claim in row["claims"]] == ["supported", "contradicted", "not_covered"]
    assert set(row["claims"][0]) == {"text", "verdict", "facts"}
    assert row["accuracy"] == 0.5


@pytest.mark.parametrize(("command", "field"), [("knowledge", "facts"), ("check", "claims")])
def test_a_file_gives_one_line_a_row(
    command: str, field: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{"id": 7, "text": "Melanoma is malignant.", "diagnosis": "mel"}, {"text": "Is a nevus benign?"}]
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n", encoding="utf-8")
    extra = ["--no-embeddings"] if command == "knowledge" else []
    assert run_cli(command, "--file", str(path), *extra) == 0
    first, second = _printed(capsys)
    assert first["id"] == 7
    assert "id" not in second
    assert first[field]
    assert second[field]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["check"], "Give a text"),
        (["check", "x", "--diagnosis", "toothache"], "no condition 'toothache'"),
        (["check", "x", "--diagnosis", "PG"], "Did you mean"),
        (["knowledge", "x", "--no-embeddings", "--differential", "mel,HZZ"], "no condition 'HZZ'"),
        (["knowledge", "--compare", "mel", "syringoma"], "has no card"),
        (["knowledge", "--compare", "Efudix", "mel"], "no condition but a treatment (5-fluorouracil)"),
        (["check", "--file", "nowhere.jsonl"], "cannot be read"),
        (["knowledge", "x", "--no-embeddings", "--kg", "nowhere"], "is missing"),
        (["knowledge", "--compare", "mel", "purple elephants"], "no condition 'purple elephants'"),
        (["knowledge", "--compare", "mel", "MM"], "Both names mean melanoma"),
        (["knowledge", "x", "--compare", "mel", "nv"], "leave out the question"),
    ],
)
def test_what_is_wrong_is_one_sentence(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(*words) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("line", ["{", '{"question": "x"}', "[]"])
def test_a_bad_row_is_named(line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(line, encoding="utf-8")
    assert run_cli("check", "--file", str(path)) == 2
    assert "line 1" in capsys.readouterr().err


def test_two_conditions_are_compared_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli("knowledge", "--compare", "mel", "mole", "--json") == 0
    (row,) = _printed(capsys)
    assert set(row) == {"left", "right", "points", "look_alikes", "silent"}
    assert (row["left"]["name"], row["right"]["name"]) == ("melanoma", "melanocytic nevus")
    first = row["points"][0]
    assert set(first) == {"relation", "feature", "kind", "left", "right"}
    assert first["kind"] == "opposite"
    assert set(first["left"][0]) == {"id", "text", "source", "url", "polarity", "standing", "holder"}
    assert all(point["left"] == [] for point in row["points"] if point["kind"] == "right_only")


def test_a_comparison_can_be_read_with_what_separates_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli("knowledge", "--compare", "melanoma", "melanocytic nevus") == 0
    said = capsys.readouterr().out
    assert said.startswith("melanoma against melanocytic nevus\n\nThey contradict each other: ")
    assert said.index("Melanoma is malignant.") < said.index("Only melanoma") < said.index("They share")


def test_people_can_read_it_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli("knowledge", "How is a dermatofibroma treated?", "--no-embeddings") == 0
    assert "[1]" in capsys.readouterr().out
    assert run_cli("check", "Melanoma is benign.") == 0
    assert capsys.readouterr().out.startswith("! Melanoma is benign.")


def test_a_name_that_is_not_known_is_a_question_in_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli("knowledge", "--compare", "VZV", "melenoma", "--json") == 2
    (row,) = _printed(capsys)
    first, second = row["asked"]
    assert first["typed"] == "VZV"
    assert {"herpes zoster", "chickenpox"} <= {hit["name"] for hit in first["suggestions"]}
    assert first["without_card"]
    assert second["suggestions"][0]["name"] == "melanoma"
    assert set(second) == {"typed", "question", "suggestions", "without_card"}
