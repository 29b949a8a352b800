"""Guesses the next tokens by looking the last ones up in what was read: answers copy their facts (prompt look-up
decoding, Saxena 2023; a case of speculative decoding, Leviathan et al. 2023, arXiv 2211.17192). Knows token ids.
"""

from __future__ import annotations

from collections.abc import Sequence

LONGEST, SHORTEST = 3, 2  # tokens that must agree
AFTER_SHORT = 3  # tokens guessed where only the shortest agree: less sure, so less at stake


def guessed(ids: Sequence[int], *, most: int) -> tuple[int, ...]:
    """At most so many tokens that may follow `ids`: those that followed their end where it was last seen before."""
    for agree in range(LONGEST, SHORTEST - 1, -1):
        end = tuple(ids[-agree:])
        for start in range(len(ids) - agree - 1, -1, -1):
            if ids[start] == end[0] and tuple(ids[start : start + agree]) == end:
                count = most if agree == LONGEST else min(most, AFTER_SHORT)
                return tuple(ids[start + agree : start + agree + count])
    return ()
