"""Pairs for `train.embedded.prefer`: what Nano writes to questions of written conversations, told apart by judges.

    python -m train.embedded.draft_pairs --out runs/prefer/pairs.jsonl --conversations 60

Each question is answered four times, side by side, behind the turns that were written by hand. What a draft is worth is
the probability that its weakest sentence stands on what was given, times that it answers, times the share of its
sentences that it says once (`dermiq.answering`: the facts are the graph's, so that the graph stands for the expert).
The best and the worst make a pair where they lie far enough apart; where even the best is poor, the answer written by
hand takes its place, in the words of its facts. One line is written a pair, so that a stopped run loses nothing;
`--skip` goes on behind.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dermiq.answering.asked import answering
from dermiq.answering.grounded import Given, grounded
from dermiq.knowledge import Graph
from dermiq.specialist import lesion_window
from dermiq.specialist.reader import Specialist
from dermiq.types import Json
from dermiq.vlm.load import VLM, load_vlm
from dermiq.vlm.prompts import Message
from train.cases.conversations import Conversation, LaterTurn, read_conversations, shuffled
from train.cases.data import data_folder, lesion_of, read_table
from train.cases.quoted import quoted
from train.embedded.grounding import KEPT_OUT, given_of
from train.runs.log import append

DRAFTS, NEW_TOKENS = 4, 100
APART = 0.25  # difference in worth from which on two drafts make a pair
GOOD = 0.35  # worth from which on a draft may be the chosen one


@dataclass(frozen=True)
class Pair:
    messages: Sequence[Message]
    chosen: str
    rejected: str
    lead: str
    source: str  # "drafts", "written" (against a draft)

    def as_json(self) -> Json:
        return dict(vars(self))


def worth(graph: Graph, given: Given, text: str) -> float:
    heard = grounded(graph, given, text)
    once = len({one.text for one in heard}) / max(1, len(heard))
    return once * min((one.share for one in heard), default=0.0) * answering(given, text)


def pairs_of(
    graph: Graph, vlm: VLM, conversation: Conversation, image: Path, specialist: Specialist, *, seed: int
) -> Iterator[Pair]:
    lesion = lesion_of(str(image))
    reading, calibration = specialist.read(lesion), specialist.calibration
    window = lesion_window(
        lesion.pixels, reading.outline, extents=calibration.window, smallest=calibration.smallest_window
    )
    session = vlm.session([window])
    messages = conversation.messages(graph, say=quoted)
    for place, turn in enumerate(conversation.turns):
        asked = messages[: 4 + 2 * place]
        if turn.kind == "out":
            continue
        drafts = session.drafts(asked, DRAFTS, max_new_tokens=NEW_TOKENS, temperature=0.7, seed=seed + place)
        yield from pairs_of_turn(graph, turn, asked, drafts, conversation.lead)


def pairs_of_turn(
    graph: Graph, turn: LaterTurn, asked: Sequence[Message], drafts: Sequence[str], lead: str
) -> Iterator[Pair]:
    given = given_of(graph, turn)
    ranked = sorted({draft.strip() for draft in drafts}, key=lambda text: worth(graph, given, text))
    if not ranked:
        return
    worst, best = ranked[0], ranked[-1]
    low, high = worth(graph, given, worst), worth(graph, given, best)
    if high >= GOOD and high - low >= APART:
        yield Pair(asked, best, worst, lead, "drafts")
    elif high < GOOD and worst != turn.answer:
        yield Pair(asked, quoted(graph, turn), worst, lead, "written")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--conversations", type=int, default=60)
    parser.add_argument("--skip", type=int, default=0)
    parser.add_argument("--data", default="")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    graph, specialist, vlm = Graph.load(), Specialist.load(), load_vlm("nano", device="cpu")
    table = read_table(data_folder(options.data or None), "ham10000", ["train"])
    images = {label: sorted(part["image"]) for label, part in table.groupby("label")}
    asked_in_a_row = [
        one
        for one in read_conversations()
        if not one.id.startswith("t") and not {turn.writer for turn in one.turns} & KEPT_OUT
    ]
    order = list(shuffled(asked_in_a_row, 1, options.seed))[options.skip : options.conversations]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(order, start=options.skip):
        image = random.Random(f"{options.seed}:{one.id}").choice(images[one.lead])
        for pair in pairs_of(graph, vlm, one, Path(image), specialist, seed=1000 * number):
            append(options.out, pair.as_json())
        print(json.dumps({"conversations": number + 1}), flush=True)


if __name__ == "__main__":
    main()
