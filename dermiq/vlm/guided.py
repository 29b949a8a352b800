"""Answers put together from given sentences: the model chooses which one comes next, and when it is enough.

    drafts = list(guided(session, messages, sentences))      # the likeliest beginnings, each gone on with

Of each sentence the beginning is scored behind the prompt, all side by side, as the differential scores diagnoses: what
follows a beginning of a dozen words is copied with next to no doubt. Knows neither the graph nor the page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dermiq.vlm.prompt_inputs import Message
from dermiq.vlm.session import Session

BEGINNING = 12  # words of a sentence that are scored
ENOUGH = 0.5  # probability that the text ends, from which on it does


def guided(
    session: Session, messages: Sequence[Message], sentences: Sequence[str], *, drafts: int = 3, most: int = 2
) -> Iterator[str]:
    """`drafts` texts of at most `most` sentences, the likeliest beginning first."""
    if not sentences:
        return
    first = _scores(session, messages, sentences, "")
    for begun in sorted(sentences, key=lambda one: -first[one])[:drafts]:
        said = [begun]
        while len(said) < most:
            text = " ".join(said)
            if session.ending(messages, prefill=text) >= ENOUGH:
                break
            rest = [one for one in sentences if one not in said]
            if not rest:
                break
            scores = _scores(session, messages, rest, text)
            said.append(max(rest, key=lambda one: scores[one]))
        yield " ".join(said)


def _scores(session: Session, messages: Sequence[Message], sentences: Sequence[str], text: str) -> dict[str, float]:
    """Mean log-likelihood a word of each beginning behind the text."""
    begun = {one: one.split(" ")[:BEGINNING] for one in sentences}
    space = " " if text else ""
    found = session.score(messages, {one: space + " ".join(part) for one, part in begun.items()}, prefill=text)
    return {one: found[one] / len(begun[one]) ** 0.5 for one in sentences}
