"""Conversations as the evaluation holds them: read from a file, and what is counted of their answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dermiq.errors import DataError
from tests import judged
from train.scoring.conversing import read_scripts, summary

SCRIPTS = Path(judged.__file__).with_name("conversations.jsonl")


def test_the_judged_conversations_have_all_intents_and_two_parts() -> None:
    dev, test = read_scripts(SCRIPTS, "dev"), read_scripts(SCRIPTS, "test")
    assert len(dev) + len(test) == len(read_scripts(SCRIPTS))
    for part in (dev, test):
        asked = [turn for script in part for turn in script.turns]
        assert len({turn.intent for turn in asked}) == 17, "sixteen intents, and what is out of scope"
        assert any(turn.premise for turn in asked)
    assert not {turn.question for one in dev for turn in one.turns} & {t.question for one in test for t in one.turns}


@pytest.mark.parametrize(
    "line", ["{", "{}", '{"id": "a", "class": "nv", "patient": {"x": 1}, "first": "?", "turns": []}']
)
def test_a_line_that_is_no_conversation_is_named(line: str, tmp_path: Path) -> None:
    (tmp_path / "some.jsonl").write_text(line + "\n")
    with pytest.raises(DataError, match=r"Line 1 of some\.jsonl"):
        read_scripts(tmp_path / "some.jsonl")
    (tmp_path / "none.jsonl").write_text("")
    with pytest.raises(DataError, match="holds no conversation of part test"):
        read_scripts(tmp_path / "none.jsonl", "test")


def line(
    turn: int, shown: str, *, key: str = "a", by: str = "model", meant: str = "why", understood: str = "why"
) -> Any:
    claims = [{"text": shown, "verdict": "supported", "miscited": []}]
    return {
        "id": key,
        "turn": turn,
        "shown": shown,
        "by": by,
        "meant": meant,
        "understood": understood,
        "claims": claims,
    }


def test_what_is_counted() -> None:
    said = "The colours are placed unevenly in it."
    lines = [
        line(0, "It is a melanoma, most likely."),
        line(1, said),
        line(2, said, by="both"),
        line(3, "This is not about the skin.", by="program", meant="", understood=""),
        line(4, "That is beyond the skin too.", by="program", understood=""),
        line(1, said, key="b", understood="treatment"),
    ]
    found = summary(json.loads(json.dumps(lines)))
    assert found["conversations"] == 2
    assert found["answers"] == 5
    assert found["by_the_model_alone"]["mean"] == pytest.approx(2 / 3, abs=1e-4)
    assert found["refused_rightly"]["mean"] == 1.0
    assert found["refused_wrongly"]["mean"] == 0.25
    assert found["understood"]["mean"] == 0.5
    assert found["repeats_a_sentence"]["mean"] == pytest.approx(1 / 3, abs=1e-4), "of the case, not of another"
    assert found["intents"]["out of scope"]["n"] == 1
    assert found["sentences_contradicted"]["interval_95"] == [0.0, 0.0]
