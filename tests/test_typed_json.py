"""Typed values come back from JSON as they went in, and what is no such value is refused."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pytest

from dermiq.typed_json import from_json, to_json
from dermiq.types import AnswerDone, Case, Event, Fact, ImagesRead, Lesion, TextDelta
from tests.fakes import FACTS, FakeConsultant, picture


def again(value: Any, hint: Any) -> Any:
    return from_json(json.loads(json.dumps(to_json(value))), hint)


@dataclass(frozen=True, eq=False)
class Seen:
    mask: np.ndarray
    shares: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    level: Literal["low", "high"] | None = None


def test_every_event_of_a_consultation_comes_back_as_it_went() -> None:
    case = Case((Lesion(picture(90, 60)),))
    events = tuple(FakeConsultant().assess(case, stop=threading.Event(), session_id="a"))
    back = again(events, tuple[Event, ...])
    assert [type(event) for event in back] == [type(event) for event in events]
    assert isinstance(events[0], ImagesRead)
    assert (back[0].readings[0].outline == events[0].readings[0].outline).all()
    assert back[0].readings[0].findings == events[0].readings[0].findings
    assert back[1:] == events[1:]


def test_arrays_mappings_and_choices_come_back() -> None:
    seen = Seen(np.eye(5, 7, dtype=bool), {"a": (0.1, 2)}, "high")
    back = again(seen, Seen)
    assert back.mask.dtype == np.bool_
    assert (back.mask == seen.mask).all()
    assert (back.shares, back.level) == (seen.shares, "high")
    assert repr(back.shares) == repr(seen.shares), "2 stays 2, and is not written 2.0"
    assert again(Seen(seen.mask), Seen).level is None


def test_numbers_of_numpy_are_numbers() -> None:
    third = np.float32(1) / np.float32(3)
    assert again((third,), tuple[float, ...]) == (float(third),)


@pytest.mark.parametrize(
    ("told", "hint"),
    [
        ({"is": "TextDelta"}, TextDelta),
        ({"is": "TextDelta", "text": "a", "more": 1}, TextDelta),
        ({"is": "TextDelta", "text": 1}, TextDelta),
        ({"is": "Fact", "text": "a"}, TextDelta),
        ({"is": "os.system", "text": "a"}, Event),
        ({"is": "AnswerDone", "answer": None, "kept": False}, AnswerDone),
        ([{"is": "TextDelta", "text": "a"}], Event),
        ({"is": "TextDelta", "text": "a"}, tuple[Event, ...]),
        ({**to_json(FACTS[0]), "polarity": "perhaps"}, Fact),
        ("low", Literal["high"]),
        (True, int),
        (True, float),
        ("1", float),
        ({"a": "1"}, Mapping[str, float]),
        ({"shape": [2, 2], "bits": "AAAA"}, np.ndarray),
        ({"shape": [1 << 20, 1 << 20], "bits": ""}, np.ndarray),
        ({"shape": [-8], "bits": "AA=="}, np.ndarray),
        ({"shape": [8], "bits": "no base64!"}, np.ndarray),
        (1, object),
    ],
)
def test_what_is_no_such_value_is_refused(told: Any, hint: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_json(told, hint)


@pytest.mark.parametrize("value", [object(), np.zeros(3), {1, 2}])
def test_what_has_no_form_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="no form in JSON"):
        to_json(value)
