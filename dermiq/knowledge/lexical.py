"""BM25 over short texts. Knows words only."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

from dermiq.knowledge.text import word_set, words

SATURATION = 1.2  # k1: how soon a repeated word stops counting
LENGTH = 0.6  # b: how much a long text is held against it
FREQUENT = word_set(
    "a an the of in on at to for by with and or is are be was were it this that these those what which who how why "
    "when where do does did can could may might should would there here from as than then my me i you we they he she "
    "its has have had not no lesion"
)


class BM25:
    """Scores of a question against fixed texts."""

    def __init__(self, texts: Sequence[str]) -> None:
        counts = [Counter(word for word in words(text) if word not in FREQUENT) for text in texts]
        lengths = [sum(count.values()) for count in counts]
        mean = sum(lengths) / max(len(lengths), 1) or 1.0
        self._postings: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for document, count in enumerate(counts):
            norm = SATURATION * (1 - LENGTH + LENGTH * lengths[document] / mean)
            for word, times in count.items():
                self._postings[word].append((document, times * (SATURATION + 1) / (times + norm)))
        self._idf = {
            word: math.log(1 + (len(texts) - len(found) + 0.5) / (len(found) + 0.5))
            for word, found in self._postings.items()
        }

    def scores(self, question: str) -> dict[int, float]:
        """Document number -> score; documents without a common word are left out."""
        scores: dict[int, float] = defaultdict(float)
        for word in set(words(question)) - FREQUENT:
            for document, weight in self._postings.get(word, ()):
                scores[document] += self._idf[word] * weight
        return dict(scores)

    def known_share(self, question: str) -> float:
        """The share of the question's words that occur in any text; 0 for a question without words."""
        asked = set(words(question)) - FREQUENT
        return len(asked & self._idf.keys()) / len(asked) if asked else 0.0
