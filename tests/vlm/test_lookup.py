"""Guesses from what was read: they are what followed, and a wrong one changes nothing that is written."""

from __future__ import annotations

import pytest

from dermiq.vlm.load import VLM
from dermiq.vlm.lookup import guessed
from tests.tiny import picture, tiny


@pytest.mark.parametrize(
    ("ids", "most", "found"),
    [
        ([1, 2, 3, 4, 5, 1, 2, 3], 7, (4, 5, 1, 2, 3)),
        ([1, 2, 3, 4, 5, 1, 2, 3], 2, (4, 5)),
        ([9, 2, 3, 4, 5, 6, 7, 1, 2, 3], 7, (4, 5, 6)),
        ([1, 2, 3, 8, 1, 2, 3, 9, 1, 2, 3], 1, (9,)),
        ([1, 2, 3], 7, ()),
        ([], 7, ()),
    ],
)
def test_what_followed_is_guessed(ids: list[int], most: int, found: tuple[int, ...]) -> None:
    assert guessed(ids, most=most) == found


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_guessing_ahead_writes_the_same_text(temperature: float, monkeypatch: pytest.MonkeyPatch) -> None:
    messages = [{"role": "user", "content": "one two three one two three one two three, and why?"}]

    def written(guesses: int) -> tuple[str, str, dict[str, float]]:
        monkeypatch.setattr("dermiq.vlm.compact.CompactBackend.guesses", guesses)
        vlm = VLM(*tiny("nano"), name="tiny", revision="test")
        assert vlm.is_fast
        session = vlm.session([picture()])
        first = session.generate(messages, max_new_tokens=40, temperature=temperature, seed=3)
        scores = session.score(messages, {"a": "melanoma", "b": "nevus"})
        later = [*messages, {"role": "assistant", "content": first}, {"role": "user", "content": "one two three"}]
        return first, session.generate(later, max_new_tokens=30, temperature=temperature, seed=4), scores

    plain, ahead = written(0), written(7)
    assert plain[:2] == ahead[:2]
    assert plain[2] == pytest.approx(ahead[2], abs=1e-3)
