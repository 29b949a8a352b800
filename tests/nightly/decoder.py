"""Is the text of the decoder on compact weights that of the plain model in fp32, and are its likelihoods?

    python -m tests.nightly.decoder [--images 100] [--tokens 160]

Of HAM10000 `test` images, drawn at random: DermIQ-Nano's differential by either, and its first answer, greedy, by the
decoder on compact weights; the plain model reads that answer in one pass, and has to hold each of its tokens for the
likeliest behind those before it. The figures are committed in `decoder.txt`.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from dermiq.consultation import MAX_NEW_TOKENS
from dermiq.specialist import Specialist, lesion_window
from dermiq.types import CLASSES, Evidence, PatientContext
from dermiq.vlm.load import VLM, load_vlm
from dermiq.vlm.prompts import (
    ANSWER_PREFILL,
    REASONING_PREFILL,
    answer_candidates,
    differential_messages,
    reasoning_messages,
)
from train.cases.data import data_folder, lesion_of, read_table
from train.embedded.metrics import balanced_accuracy


def differential_of(vlm: VLM, image: np.ndarray) -> np.ndarray:
    scored = vlm.session([image]).score(
        differential_messages(PatientContext()), answer_candidates(), prefill=ANSWER_PREFILL
    )
    logs = np.array([scored[code] for code in CLASSES])
    weights = np.exp(logs - logs.max())
    shares: np.ndarray = weights / weights.sum()
    return shares


@torch.inference_mode()
def first_difference(
    plain: VLM, ids: tuple[int, ...], inputs: dict[str, torch.Tensor], written: list[int]
) -> int | None:
    """The first written token that the plain model does not hold for the likeliest; None where there is none."""
    whole = torch.tensor([[*ids, *written]])
    given = {name: value for name, value in inputs.items() if name not in ("input_ids", "attention_mask")}
    logits = plain.model(input_ids=whole, **given, use_cache=False).logits[0, len(ids) - 1 : -1].float()
    logits[:, sorted(plain.banned_ids)] = -torch.inf
    wrong = (logits.argmax(-1) != torch.tensor(written)).nonzero()
    return int(wrong[0]) if len(wrong) else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--tokens", type=int, default=MAX_NEW_TOKENS)
    options = parser.parse_args()
    specialist, quick, plain = Specialist.load(), load_vlm("nano"), load_vlm("nano", fast=False)
    assert quick.is_fast
    table = read_table(data_folder(), "ham10000", ["test"]).sample(options.images, random_state=0)
    ours, theirs, differences, lengths = [], [], [], []
    for row in table.itertuples(index=False):
        lesion = lesion_of(str(row.image))
        reading = specialist.read(lesion)
        image = lesion_window(lesion.pixels, reading.outline)
        ours.append(differential_of(quick, image))
        theirs.append(differential_of(plain, image))
        messages = reasoning_messages(PatientContext(), reading.findings, Evidence(), "What is this lesion, and why?")
        session = quick.session([image])
        session.generate(messages, prefill=REASONING_PREFILL, max_new_tokens=options.tokens)
        prompt = quick.encoder.encode(messages, [image], prefill=REASONING_PREFILL)
        written = list(session.ids[len(prompt.ids) :])
        lengths.append(len(written))
        differences.append(first_difference(plain, prompt.ids, dict(prompt.inputs), written))
    labels = np.array([CLASSES.index(code) for code in table["label"]])
    gap = np.abs(np.array(ours) - np.array(theirs)).max(1)
    same = sum(one is None for one in differences)
    print(f"{options.images} images, {sum(lengths)} tokens of greedy text")
    print(f"answers identical to their end: {same} of {options.images}")
    print(f"largest difference of a probability: {gap.max():.5f}, mean of the largest {gap.mean():.6f}")
    for name, shares in (("compact", np.array(ours)), ("fp32", np.array(theirs))):
        answers = shares.argmax(1)
        print(f"{name}: right {np.mean(answers == labels):.3f}, balanced {balanced_accuracy(labels, answers):.3f}")


if __name__ == "__main__":
    main()
