"""How fast a model answers: plain `generate` against a session, in one run, alternating.

    python -m dermiq.vlm.benchmark [--model nano] [--rounds 3] [--tokens 64] [--threads 2]

Prints, as medians over the rounds: time to the first token and tokens a second of both, a follow-up question's time to
the first token against a cold one, and the ratios. Where DermIQ-Nano's trained parts are missing, it measures the same
architecture around the base model with a random tower.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from typing import Any

import numpy as np
import torch

from dermiq.errors import ModelError
from dermiq.vlm.load import VLM, load_vlm

QUESTION = """Patient: 54-year-old male, back. It has grown.
Measured: asymmetric about both axes; border irregular; four colours.
Facts:
[F1] An atypical pigment network is a criterion for melanoma.
[F2] Blue-white veil speaks for melanoma.
[F3] A benign melanocytic nevus is usually symmetric with few colours.
[F4] Milia-like cysts speak for benign keratosis.
Think in four steps, cite facts as [F1], then answer. Question: What is this lesion, and why?"""
FOLLOW_UP = "What should happen next, and how soon?"


def _vlm(name: str) -> VLM:
    try:
        return load_vlm(name)
    except ModelError as error:
        if name != "nano":
            raise
        print(f"{error} Measuring the architecture with a random tower.", file=sys.stderr)
    from dermiq.vlm.base import ensure_base
    from dermiq.vlm.nano import assemble

    torch.manual_seed(0)
    model, processor = assemble(ensure_base(), tower=None, image_size=224)
    return VLM(model, processor, name="nano (untrained)", revision="none")


class _Clock:
    """A streamer that notes when each token came; `generate` hands it the prompt first."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self._prompt_seen = False

    def put(self, value: Any) -> None:
        if self._prompt_seen:
            self.times.append(time.perf_counter())
        self._prompt_seen = True

    def end(self) -> None:
        """Nothing to flush."""


def _plain(vlm: VLM, messages: list[dict[str, Any]], image: np.ndarray, tokens: int) -> tuple[float, float]:
    """(first token in s, tokens/s) of the library's `generate`, prompt rendering included."""
    clock, start = _Clock(), time.perf_counter()
    prompt = vlm.encoder.encode(messages, [image])
    vlm.model.generate(**prompt.inputs, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False, streamer=clock)
    return clock.times[0] - start, (len(clock.times) - 1) / (clock.times[-1] - clock.times[0])


def measure(vlm: VLM, *, rounds: int, tokens: int) -> dict[str, Any]:
    image = np.random.default_rng(0).integers(0, 256, (450, 600, 3), dtype=np.uint8)
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": QUESTION}]}]
    seen: dict[str, list[float]] = {
        key: [] for key in ("plain_first_s", "plain_rate", "first_s", "rate", "follow_up_first_s", "score_s")
    }
    ends, vlm.end_ids = vlm.end_ids, frozenset()  # both write exactly `tokens` tokens
    prompt_tokens = reused = 0
    try:
        for index in range(rounds + 1):  # the first round warms up
            first, rate = _plain(vlm, messages, image, tokens)
            session = vlm.session([image])
            text = session.generate(messages, max_new_tokens=tokens)
            cold = session.last_stats
            later: list[dict[str, Any]] = [
                *messages,
                {"role": "assistant", "content": text},
                {"role": "user", "content": FOLLOW_UP},
            ]
            session.generate(later, max_new_tokens=2)
            follow = session.last_stats
            start = time.perf_counter()
            session.score(messages, {name: f"{name}</answer>" for name in ("melanoma", "nevus", "keratosis")})
            assert cold is not None
            assert follow is not None
            prompt_tokens, reused = cold.prompt_tokens, follow.reused_tokens
            values = (first, rate, cold.first_token_s, cold.tokens_per_s, follow.first_token_s)
            for key, value in zip(seen, (*values, time.perf_counter() - start), strict=True):
                seen[key].extend([value] if index else [])
    finally:
        vlm.end_ids = ends
    medians = {key: statistics.median(values) for key, values in seen.items()}
    return {
        "model": vlm.name,
        "fast_decoder": vlm.is_fast,
        "threads": torch.get_num_threads(),
        "prompt_tokens": prompt_tokens,
        "follow_up_reused_tokens": reused,
        **{key: round(value, 4) for key, value in medians.items()},
        "rate_ratio": round(medians["rate"] / medians["plain_rate"], 2),
        "first_token_ratio": round(medians["first_s"] / medians["plain_first_s"], 2),
        "follow_up_against_cold": round(medians["follow_up_first_s"] / medians["first_s"], 2),
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=0, help="0: PyTorch's own choice")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    print(json.dumps(measure(_vlm(options.model), rounds=options.rounds, tokens=options.tokens), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
