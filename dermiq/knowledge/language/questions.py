"""What a question means: a small encoder of questions beside that of sentences, and what is told from its vectors.

    vectors = encode(["will it come back?"])          # (1, 384), each of length 1
    intents(vectors), aspects(vectors), relations(vectors), scope(vectors)
    vectors @ placed("bare", facts).T                 # how near each fact is, a cosine

The encoder is MiniLM (see `embed`) with layers of its own, taught that a question is near to the facts that answer it
(a dual encoder: Karpukhin and others 2020, section 3; the facts' side is only turned by a matrix, so that their vectors
can be made before any question is known). The heads are linear. All of it is made by `python -m
train.embedded.questions` and ships in `dermiq/weights/questions`. Knows no graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from dermiq.knowledge.language import embed
from dermiq.places import WEIGHTS
from dermiq.shipped import checked, read_json

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FOLDER = WEIGHTS / "questions"
LAYERS, HEADS, LABELS = "encoder.safetensors", "heads.npz", "labels.json"
SCALE = 8.0  # by which unit vectors go into the heads
Kind = Literal["bare", "whole"]
"""Of a sentence with "it" for its condition, or as it is written."""


def taught(name: str) -> bool:
    """Whether a tensor is the encoder's own, not the package's."""
    return name.startswith("encoder.layer.")


@lru_cache(maxsize=1)
def _network() -> PreTrainedModel:
    from safetensors.torch import load_file

    made = embed.copied()
    own = {name: tensor.float() for name, tensor in load_file(checked(FOLDER / LAYERS)).items()}
    missing = [name for name in made.load_state_dict(own, strict=False).missing_keys if taught(name)]
    assert not missing, missing
    made.embeddings = embed.model()[1].embeddings  # the same: they are held once
    made.eval()
    return made


@lru_cache(maxsize=1)
def _heads() -> dict[str, np.ndarray]:
    with np.load(checked(FOLDER / HEADS), allow_pickle=False) as held:
        return {name: held[name] for name in held.files}


@lru_cache(maxsize=1)
def labels() -> dict[str, list[str]]:
    """Head -> what it tells apart, in its order."""
    return {name: list(found) for name, found in read_json(FOLDER / LABELS).items()}


def encode(texts: Sequence[str]) -> np.ndarray:
    """(n, 384) float32, each of length 1."""
    return embed.pooled(_network(), texts)


def placed(kind: Kind, sentences: np.ndarray) -> np.ndarray:
    """(n, 384) embedded sentences -> (n, 384) where questions that they answer are looked for, each of length 1."""
    turned = sentences @ _heads()[kind].T
    found: np.ndarray = turned / np.linalg.norm(turned, axis=1, keepdims=True)
    return found


def nearness(question: str, answers: Sequence[str]) -> np.ndarray:
    """(n,) how near in meaning each text lies to an answer of the question, at most 1."""
    found: np.ndarray = placed("whole", embed.encode(answers)) @ encode([question])[0]
    return found


def intents(vectors: np.ndarray) -> np.ndarray:
    """(n, 16): the probability of each intent that is about the skin."""
    return _told("intents", vectors)


def aspects(vectors: np.ndarray) -> np.ndarray:
    """(n, aspects): the probability of each aspect, of questions that are about one."""
    return _told("aspects", vectors)


def relations(vectors: np.ndarray) -> np.ndarray:
    """(n, relations): what share of the answer is of each relation."""
    return _told("relations", vectors)


def scope(vectors: np.ndarray) -> np.ndarray:
    """(n, 6): the probability that it is about the skin, and of each other kind of question."""
    return _told("scope", vectors)


def _told(head: str, vectors: np.ndarray) -> np.ndarray:
    held = _heads()
    logits = SCALE * vectors @ held[f"{head}.weight"].T + held[f"{head}.bias"]
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: np.ndarray = shares / shares.sum(axis=1, keepdims=True)
    return found
