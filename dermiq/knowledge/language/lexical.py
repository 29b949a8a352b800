"""BM25 over short texts. Knows words only."""

from __future__ import annotations

import logging
from collections.abc import Sequence, Set

import bm25s
import numpy as np

from dermiq.knowledge.language.stem import stem
from dermiq.knowledge.language.text import word_set
from dermiq.knowledge.language.text import words as whole_words

logging.getLogger("bm25s").setLevel(logging.WARNING)  # it sets itself to tell each step

SATURATION = 1.2  # k1: how soon a repeated word stops counting
LENGTH = 0.6  # b: how much a long text is held against it
FREQUENT = word_set(
    "a an the of in on at to for by with and or is are be was were it this that these those what which who how why "
    "when where do does did can could may might should would there here from as than then my me i you we they he she "
    "its has have had not no lesion"
)
PROSE = word_set(
    "about again all almost alone always another any anybody anyone around ask asked back because become been being "
    "belong both called clearly clinical clinically clue code come commonly complain complication condition "
    "consider considered current currently dermatologist dermatoscope dermatoscopist dermoscopic dermoscopy "
    "differential disease disorder doctor doubt easily either ever every examiner expect factor feature few find "
    "finding frequently generally get give given go group hallmark hand hard help her here him his however icd id "
    "include indeed inspect inspection just keep kind know knowledge known leave less let like likely look made "
    "mainly make many matter mean mention might most mostly much name namely need neither nor normally note notice "
    "now often one only option order ordinary other our out own part pathologist patient people person physician "
    "place please point possible possibly primarily primary probably put rather read recognised refer reveal same "
    "say see seem sense several should show side sign similar simply snomed so some somebody someone something "
    "sometimes specialist stand still such suspect symptom take tell tend their them themselves then therapy thing "
    "think through time tiny together too treatment trigger turn two type typical typically under until up us use "
    "used usually variant variety various very warn warning watch way well whether while whole whom whose will "
    "within without would yes yet your"
)
"""Words that join statements and make none."""


def words(text: str) -> tuple[str, ...]:
    return tuple(stem(word) if word not in FREQUENT else word for word in whole_words(text))


class BM25:
    """Scores of a question against fixed texts, by bm25s."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._size = len(texts)
        self._index = bm25s.BM25(k1=SATURATION, b=LENGTH, method="atire", idf_method="lucene", dtype="float64")
        telling = [[word for word in words(text) if word not in FREQUENT] for text in texts]
        self._index.index(telling, create_empty_token=False, show_progress=False)

    def best(self, question: str, count: int) -> list[int]:
        """At most `count` document numbers, best first; documents without a common word are left out."""
        scores = self.scores(question)
        found = np.flatnonzero(scores)
        return [int(found[place]) for place in largest(scores[found], count)]

    def scores(self, question: str) -> np.ndarray:
        """(texts,) how well each fits; 0 without a common word."""
        known = sorted(set(words(question)) & self._index.vocab_dict.keys())
        return self._index.get_scores(known) if known else np.zeros(self._size)

    def known_share(self, question: str) -> float:
        """The share of the question's words that occur in any text; 0 for a question without words."""
        asked = set(words(question)) - FREQUENT
        return len(asked & self._index.vocab_dict.keys()) / len(asked) if asked else 0.0

    def knows_all(self, stems: Set[str]) -> bool:
        """Whether each of these occurs in some text, as `words` gives them."""
        return all(stem in self._index.vocab_dict for stem in stems)


def largest(scores: np.ndarray, count: int) -> list[int]:
    """The places of the `count` largest of (n,) scores, largest first, equal ones in order; without sorting all."""
    if len(scores) > count:
        least = np.partition(scores, -count)[-count]
        places = np.flatnonzero(scores >= least)
    else:
        places = np.arange(len(scores))
    return [int(place) for place in places[np.argsort(-scores[places], kind="stable")][:count]]
