"""Does one sentence follow from another? A small cross-encoder, offline, loaded on first use. Knows words, no graph.

It reads both sentences together (a cross-encoder: Reimers and Gurevych 2019, section 1; the three answers are those of
natural language inference, Bowman and others 2015). The network is MiniLM (see `embed`), whose word vectors stay as the
package has them; its layers and the head were trained by `python -m train.embedded.judge` and ship in
`dermiq/weights/judge`. Where package or weights are missing `available()` is false.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from dermiq.knowledge.language import embed
from dermiq.knowledge.language.remember import on_forget
from dermiq.places import WEIGHTS
from dermiq.shipped import checked, read_json
from dermiq.types import Json

if TYPE_CHECKING:
    from torch import Tensor, nn

FOLDER = WEIGHTS / "judge"
MODEL, CONFIG = "model.safetensors", "config.json"
LABELS = ("entails", "contradicts", "neither")
LONGEST = 96  # tokens of a pair; what is longer is cut
BATCH = 16  # pairs of like length that are read together
KEPT = 20_000  # pairs whose answers are remembered: an answer is checked while it grows, and once more when it stands


@lru_cache(maxsize=1)
def available() -> bool:
    """Whether pairs can be judged."""
    return embed.available() and (FOLDER / MODEL).is_file()


@lru_cache(maxsize=1)
def settings() -> Json:
    """`layers`, `temperature`, and the `bars` from which on an answer is believed."""
    return read_json(FOLDER / CONFIG)


def network(layers: int) -> nn.Module:
    """MiniLM's first `layers` layers and a head over the mean of their tokens, three numbers a pair; untrained."""
    import torch

    class Judge(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = cast(Any, embed.copied())  # torch types a module's parts as tensors, too
            self.encoder.encoder.layer = self.encoder.encoder.layer[:layers]
            width = self.encoder.config.hidden_size
            self.head = torch.nn.Sequential(
                torch.nn.Linear(2 * width, width), torch.nn.GELU(), torch.nn.Linear(width, len(LABELS))
            )

        def forward(self, **batch: Tensor) -> Tensor:
            """(n, 3): the first token and the mean of all, side by side, through the head."""
            hidden = self.encoder(**batch).last_hidden_state  # (n, tokens, width)
            mask = batch["attention_mask"].unsqueeze(-1)
            mean = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
            logits: Tensor = self.head(torch.cat([hidden[:, 0], mean], dim=1))
            return logits

    return Judge()


def trained(name: str) -> bool:
    """Whether a tensor is the judge's own, not the package's."""
    return not name.startswith("encoder.embeddings.")


@lru_cache(maxsize=1)
def _model() -> tuple[nn.Module, float]:
    """The network and the temperature that its answers are divided by."""
    from safetensors.torch import load_file

    made = network(settings()["layers"])
    own = {name: tensor.float() for name, tensor in load_file(checked(FOLDER / MODEL)).items()}
    missing = [name for name in made.load_state_dict(own, strict=False).missing_keys if trained(name)]
    assert not missing, missing
    encoder: Any = made.encoder
    encoder.embeddings = embed.model()[1].embeddings  # the same: they are held once
    return made.eval(), float(settings()["temperature"])


def encoded(pairs: Sequence[tuple[str, str]]) -> dict[str, Tensor]:
    tokenizer, _ = embed.model()
    facts, sentences = zip(*pairs, strict=True)
    clean = [[embed.readable(text) for text in texts] for texts in (sentences, facts)]
    found = tokenizer(*clean, padding=True, truncation=True, max_length=LONGEST, return_tensors="pt")
    return dict(found)


def opinions(pairs: Sequence[tuple[str, str]]) -> np.ndarray:
    """(n, 3) float32: the probability of each of `LABELS` for pairs of (what is known, what is said)."""
    held = {pair: row for pair in pairs if (row := _READ.get(pair)) is not None}
    new = list(dict.fromkeys(pair for pair in pairs if pair not in held))
    held |= zip(new, _read(new), strict=True)
    if len(_READ) > KEPT:
        _READ.clear()
    _READ.update(held)  # which another thread may clear at any time
    return np.array([held[pair] for pair in pairs], dtype=np.float32).reshape(len(pairs), len(LABELS))


_READ: dict[tuple[str, str], np.ndarray] = {}
on_forget(_READ.clear)


def _read(pairs: Sequence[tuple[str, str]]) -> np.ndarray:
    import torch

    found = np.zeros((len(pairs), len(LABELS)), dtype=np.float32)
    order = sorted(range(len(pairs)), key=lambda place: len(pairs[place][0]) + len(pairs[place][1]))
    net, temperature = _model()
    for start in range(0, len(order), BATCH):
        places = order[start : start + BATCH]
        with torch.inference_mode():
            logits = net(**encoded([pairs[place] for place in places]))
        found[places] = torch.softmax(logits / temperature, dim=1).numpy()
    return found
