"""How fast a model answers: plain `generate` against a session, and against llama.cpp, in one run, alternating.

    python -m dermiq.vlm.benchmark [--model nano] [--rounds 3] [--tokens 128] [--threads 2] [--llama FILE.gguf]

Prints, as medians over the rounds: time to the first token, tokens a second of one row (with and without guesses looked
up in the prompt), what four rows behind one prompt take, prompt tokens a second, and a follow-up question's time to the
first token, against the same conversation read by a cold session and against the case's first question. The prompts are
a consultation's own. With `--llama` (needs the package xllamacpp) llama.cpp reads a prompt of as many tokens and writes
as many, with the base language model alone. Where DermIQ-Nano's trained parts are missing, it measures the same
architecture around the base model with a random tower.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

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


def _vlm(name: str, *, fast: bool) -> VLM:
    try:
        return load_vlm(name, fast=fast)
    except ModelError as error:
        if name != "nano":
            raise
        print(f"{error} Measuring the architecture with a random tower.", file=sys.stderr)
    from dermiq.vlm.base import ensure_base
    from dermiq.vlm.nano import assemble

    torch.manual_seed(0)
    model, processor = assemble(ensure_base(), tower=None, image_size=224)
    return VLM(model, processor, name="nano (untrained)", revision="none", fast=fast)


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


class Llama:
    """llama.cpp on a GGUF file, through xllamacpp."""

    def __init__(self, file: Path, *, threads: int) -> None:
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(file)
        params.n_ctx, params.n_parallel, params.warmup = 4096, 1, True
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        self._server = xllamacpp.Server(params)

    def rates(self, prompt: list[int], tokens: int) -> tuple[float, float]:
        """Prompt tokens, and tokens written, a second."""
        asked = {"prompt": prompt, "n_predict": tokens, "ignore_eos": True, "cache_prompt": False, "temperature": 0}
        timings = self._server.handle_completions(asked)["timings"]
        return float(timings["prompt_per_second"]), float(timings["predicted_per_second"])


def _rows(vlm: VLM, messages: list[Message], image: np.ndarray, tokens: int, *, rows: int) -> float:
    """Seconds a step of so many rows behind one prompt."""
    session = vlm.session([image])
    session.generate(messages, max_new_tokens=1)
    decoding = session.rows(rows, room=tokens + 1)
    ids = torch.arange(100, 100 + rows)
    decoding.step(ids)
    start = time.perf_counter()
    for _ in range(tokens):
        decoding.step(ids)
    return (time.perf_counter() - start) / tokens


def measure(vlm: VLM, plain: VLM, *, rounds: int, tokens: int, llama: Llama | None = None) -> Json:
    image = np.random.default_rng(0).integers(0, 256, (450, 600, 3), dtype=np.uint8)
    messages, follow_up = _conversation()
    seen: dict[str, list[float]] = {}
    length = len(vlm.encoder.encode(messages, [image]).ids)
    for one in (vlm, plain):
        one.banned_ids = one.banned_ids | one.end_ids  # all write exactly `tokens` tokens
    for index in range(rounds + 1):  # the first round warms up
        plain_first, plain_rate = _plain(plain, messages, image, tokens)
        session = vlm.session([image])
        text, first = _read(session, messages, tokens)
        single = vlm.session([image])
        single.guesses = 0
        _, one_by_one = _read(single, messages, tokens)
        later = [*messages, assistant_message(text), follow_up]
        _, warm = _read(session, later, 1)
        _, cold = _read(vlm.session([image]), later, 1)
        start = time.perf_counter()
        session.score(messages, answer_candidates(), prefill=ANSWER_PREFILL)
        values = {
            "plain_first_s": plain_first,
            "plain_rate": plain_rate,
            "first_s": first.first_token_s,
            "rate": one_by_one.tokens_per_s,
            "rate_with_guesses": first.tokens_per_s,
            "prompt_rate": length / first.first_token_s,
            "follow_up_first_s": warm.first_token_s,
            "follow_up_cold_first_s": cold.first_token_s,
            "differential_s": time.perf_counter() - start,
        }
        if vlm.is_fast:
            steps = {rows: _rows(vlm, messages, image, 16, rows=rows) for rows in (1, 4, 8)}
            values |= {"four_rows_ratio": steps[4] / steps[1], "eight_rows_ratio": steps[8] / steps[1]}
        if llama is not None:
            values["llama_prompt_rate"], values["llama_rate"] = llama.rates(list(range(1000, 1000 + length)), tokens)
        for key, value in values.items() if index else ():
            seen.setdefault(key, []).append(value)
    medians = {key: statistics.median(values) for key, values in seen.items()}
    ratios = {
        "rate_ratio": medians["rate"] / medians["plain_rate"],
        "rate_with_guesses_ratio": medians["rate_with_guesses"] / medians["plain_rate"],
        "first_token_ratio": medians["first_s"] / medians["plain_first_s"],
        "follow_up_against_cold": medians["follow_up_first_s"] / medians["follow_up_cold_first_s"],
        "follow_up_against_first": medians["follow_up_first_s"] / medians["first_s"],
    }
    if llama is not None:
        ratios |= {
            "rate_against_llama": medians["rate"] / medians["llama_rate"],
            "rate_with_guesses_against_llama": medians["rate_with_guesses"] / medians["llama_rate"],
            "prompt_rate_against_llama": medians["prompt_rate"] / medians["llama_prompt_rate"],
        }
    return {
        "model": vlm.name,
        "fast_decoder": vlm.is_fast,
        "threads": torch.get_num_threads(),
        "prompt_tokens": length,
        "follow_up_tokens": warm.prompt_tokens,
        "follow_up_reused_tokens": warm.reused_tokens,
        **{key: round(value, 4) for key, value in medians.items()},
        **{key: round(value, 2) for key, value in ratios.items()},
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=128, help="written by each; a real answer has 150 to 300")
    parser.add_argument("--threads", type=int, default=0, help="0: PyTorch's own choice")
    parser.add_argument("--llama", type=Path, help="a GGUF file that llama.cpp reads, through the package xllamacpp")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    llama = Llama(options.llama, threads=torch.get_num_threads()) if options.llama else None
    vlm, plain = (_vlm(options.model, fast=fast) for fast in (True, False))
    found = measure(vlm, plain, rounds=options.rounds, tokens=options.tokens, llama=llama)
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
