"""How fast a model answers: plain `generate` against a session, in one run, alternating.

    python -m dermiq.vlm.benchmark [--model nano] [--rounds 3] [--tokens 128] [--threads 2]

Prints, as medians over the rounds: time to the first token and tokens a second of both, and a follow-up question's time
to the first token, against the same conversation read by a cold session and against the case's first question. The
prompts are a consultation's own. Where DermIQ-Nano's trained parts are missing, it measures the same architecture
around the base model with a random tower.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time

import numpy as np
import torch

from dermiq.errors import ModelError
from dermiq.types import Evidence, EvidenceItem, Fact, Finding, Json, PatientContext, Source
from dermiq.vlm.load import VLM, load_vlm
from dermiq.vlm.prompts import (
    ANSWER_PREFILL,
    Message,
    answer_candidates,
    assistant_message,
    follow_up_message,
    reasoning_messages,
)
from dermiq.vlm.session import Session, Stats

_FACTS = (
    "Melanoma is suggested by an atypical pigment network, irregular streaks and a blue-white veil.",
    "A benign melanocytic nevus is usually symmetric, with one or two colours and an even border.",
    "Milia-like cysts and comedo-like openings speak for a benign keratosis.",
    "A lesion that has grown or changed colour within months is referred urgently.",
    "Arborising vessels and ulceration are dermoscopic criteria of basal cell carcinoma.",
)
_FINDINGS = ("asymmetric about both axes", "irregular border", "four of six ABCD colours")


def _conversation() -> tuple[list[Message], Message]:
    """A consultation's first question and a later one."""
    source = Source(id="s", title="benchmark", url="", licence="", licence_class="open")
    facts = [Fact(id=str(n), subject="", relation="", object="", text=t, source=source) for n, t in enumerate(_FACTS)]
    items = tuple(EvidenceItem(number=n + 1, fact=fact, score=1.0, reason="") for n, fact in enumerate(facts))
    codes = ("asymmetry", "border_irregularity", "colour_count")
    findings = [
        Finding(code=code, name=code, value=1.0, unit="", text=text, definition="")
        for code, text in zip(codes, _FINDINGS, strict=True)
    ]
    context = PatientContext(age=54, sex="male", site="back", symptoms=("grew",))
    first = reasoning_messages(context, findings, Evidence(items), "What is this lesion, and why?")
    return first, follow_up_message(Evidence(items[:3]), "What should happen next, and how soon?")


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

    def put(self, value: object) -> None:
        if self._prompt_seen:
            self.times.append(time.perf_counter())
        self._prompt_seen = True

    def end(self) -> None:
        """Nothing to flush."""


def _plain(vlm: VLM, messages: list[Message], image: np.ndarray, tokens: int) -> tuple[float, float]:
    """(first token in s, tokens/s) of the library's `generate`, prompt rendering included."""
    clock, start = _Clock(), time.perf_counter()
    prompt = vlm.encoder.encode(messages, [image])
    vlm.model.generate(**prompt.inputs, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False, streamer=clock)
    return clock.times[0] - start, (len(clock.times) - 1) / (clock.times[-1] - clock.times[0])


def _read(session: Session, messages: list[Message], tokens: int) -> tuple[str, Stats]:
    text = session.generate(messages, max_new_tokens=tokens)
    assert session.last_stats is not None
    return text, session.last_stats


def measure(vlm: VLM, *, rounds: int, tokens: int) -> Json:
    image = np.random.default_rng(0).integers(0, 256, (450, 600, 3), dtype=np.uint8)
    messages, follow_up = _conversation()
    seen: dict[str, list[float]] = {}
    banned, vlm.banned_ids = vlm.banned_ids, vlm.banned_ids | vlm.end_ids  # both write exactly `tokens` tokens
    try:
        for index in range(rounds + 1):  # the first round warms up
            plain_first, plain_rate = _plain(vlm, messages, image, tokens)
            session = vlm.session([image])
            text, first = _read(session, messages, tokens)
            later = [*messages, assistant_message(text), follow_up]
            _, warm = _read(session, later, 1)
            _, cold = _read(vlm.session([image]), later, 1)
            start = time.perf_counter()
            session.score(messages, answer_candidates(), prefill=ANSWER_PREFILL)
            values = {
                "plain_first_s": plain_first,
                "plain_rate": plain_rate,
                "first_s": first.first_token_s,
                "rate": first.tokens_per_s,
                "follow_up_first_s": warm.first_token_s,
                "follow_up_cold_first_s": cold.first_token_s,
                "differential_s": time.perf_counter() - start,
            }
            for key, value in values.items() if index else ():
                seen.setdefault(key, []).append(value)
    finally:
        vlm.banned_ids = banned
    medians = {key: statistics.median(values) for key, values in seen.items()}
    return {
        "model": vlm.name,
        "fast_decoder": vlm.is_fast,
        "threads": torch.get_num_threads(),
        "prompt_tokens": first.prompt_tokens,
        "follow_up_tokens": warm.prompt_tokens,
        "follow_up_reused_tokens": warm.reused_tokens,
        **{key: round(value, 4) for key, value in medians.items()},
        "rate_ratio": round(medians["rate"] / medians["plain_rate"], 2),
        "first_token_ratio": round(medians["first_s"] / medians["plain_first_s"], 2),
        "follow_up_against_cold": round(medians["follow_up_first_s"] / medians["follow_up_cold_first_s"], 2),
        "follow_up_against_first": round(medians["follow_up_first_s"] / medians["first_s"], 2),
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=128, help="written by each; a real answer has 150 to 300")
    parser.add_argument("--threads", type=int, default=0, help="0: PyTorch's own choice")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    print(json.dumps(measure(_vlm(options.model), rounds=options.rounds, tokens=options.tokens), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
