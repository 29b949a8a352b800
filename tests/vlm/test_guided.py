"""Answers put together from given sentences: which one comes next, and when it is enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from dermiq.vlm.guided import guided
from dermiq.vlm.session import Session

SENTENCES = ("Melanoma is malignant [F1].", "It is excised [F2].", "Nothing is known.")


class Prefers:
    """A session that likes sentences by their place in an order, and ends with a probability."""

    def __init__(self, *order: str, ends: float = 0.0) -> None:
        self.order, self.ends = order, ends
        self.prefills: list[str] = []

    def score(self, messages: Sequence[Any], candidates: Mapping[str, str], *, prefill: str = "") -> dict[str, float]:
        self.prefills.append(prefill)
        assert all(text.startswith(" ") == bool(prefill) for text in candidates.values())
        return {one: -5.0 * self.order.index(one) for one in candidates}

    def ending(self, messages: Sequence[Any], *, prefill: str) -> float:
        return self.ends


def drafts(session: Prefers, sentences: Sequence[str] = SENTENCES, **options: Any) -> list[str]:
    return list(guided(cast(Session, session), [], sentences, **options))


def test_the_likeliest_beginning_comes_first_and_no_sentence_twice() -> None:
    found = drafts(Prefers(SENTENCES[1], SENTENCES[0], SENTENCES[2]), drafts=2)
    assert found == [
        "It is excised [F2]. Melanoma is malignant [F1].",
        "Melanoma is malignant [F1]. It is excised [F2].",
    ]


def test_it_ends_where_the_model_would_end() -> None:
    assert drafts(Prefers(*SENTENCES, ends=0.9), drafts=1) == [SENTENCES[0]]


@pytest.mark.parametrize("most", [1, 2, 3, 9])
def test_it_never_says_more_than_it_was_given(most: int) -> None:
    (found,) = drafts(Prefers(*SENTENCES), drafts=1, most=most)
    assert found.count(".") == min(most, 3)


def test_without_sentences_there_is_no_draft() -> None:
    assert drafts(Prefers(), ()) == []
