"""What was worked out of a text is kept for a while, and all of it is let go of at once.

    @remembered(50_000)
    def stem(word: str) -> str: ...

    forget()      # a case was closed: no word of its questions and answers stays here

Checking an answer asks for the same words and sentences hundreds of times; so caches keep them, and with them whatever
a visitor wrote. They fill again within one question.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])

_CLEAR: list[Callable[[], object]] = []


def remembered(most: int) -> Callable[[F], F]:
    """As `functools.lru_cache`, for what depends on somebody's text."""

    def cached(function: F) -> F:
        made = lru_cache(maxsize=most)(function)
        on_forget(made.cache_clear)
        return cast("F", made)

    return cached


def on_forget(clear: F) -> F:
    """What else `forget` calls."""
    _CLEAR.append(clear)
    return clear


def forget() -> None:
    for clear in _CLEAR:
        clear()
