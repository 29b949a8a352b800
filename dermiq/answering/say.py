"""A plan said plainly: short sentences with citations, nothing twice. Knows the points, no graph and no page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dermiq.answering.choose import flat, is_told
from dermiq.answering.points import Plan, Point
from dermiq.types import Claim, Fact


@dataclass(frozen=True)
class Sentence:
    """One sentence as it is shown, and the point that it says. `item`: it stands in a list below the one before."""

    text: str
    point: Point
    facts: tuple[Fact, ...] = ()
    item: bool = False


def said(
    points: Sequence[Point],
    numbers: Mapping[str, int],
    *,
    earlier: Sequence[str] = (),
    short: Callable[[Fact], str] = lambda fact: "",
) -> tuple[Sentence, ...]:
    """The points in sentences. `numbers`: fact id -> the number that it is cited by; `earlier`: texts shown before;
    `short`: a fact in a few words, "" where there are none.

    What an earlier text says word for word is pointed to in short, or left out where nothing short is known.
    """
    told = [flat(text) for text in earlier]
    found: list[Sentence] = []
    quoted: set[str] = set()
    for point in points:
        point = replace(point, facts=tuple(fact for fact in point.facts if fact.id not in quoted))
        quoted |= {fact.id for fact in point.facts}
        if point.kind == "fact" and not point.facts:
            continue
        made = _of_facts(point, numbers, told, short) if point.kind == "fact" else _of_words(point, numbers, told)
        found += made
        told += [flat(sentence.text) for sentence in made]
    return tuple(found)


def _of_words(point: Point, numbers: Mapping[str, int], told: Sequence[str]) -> list[Sentence]:
    """The point's own words, with what they rest on cited at the end."""
    cited = " ".join(f"[F{numbers[fact.id]}]" for fact in point.facts)
    for text in (point.text, point.again):
        if text and not is_told(text, told):
            return [Sentence(f"{text.rstrip('.')} {cited}." if cited else text, point, point.facts)]
    return []


def _of_facts(
    point: Point, numbers: Mapping[str, int], told: Sequence[str], short: Callable[[Fact], str]
) -> list[Sentence]:
    """A lead-in and its facts: one of them in the same line, several as a list; what was quoted before in a word."""
    new = [fact for fact in point.facts if not is_told(fact.text, told)]
    if not new:
        if not point.text or point.once:
            return []
        again = ", ".join(f"{short(fact)} [F{numbers[fact.id]}]".strip() for fact in point.facts)
        return [Sentence(f"{point.text}, as said above: {again}.", point, point.facts)]
    quoted = [(f"{fact.text.rstrip('.')} [F{numbers[fact.id]}].", fact) for fact in new]
    if len(quoted) == 1 or not point.text:
        begins = f"{point.text}: " if point.text else ""
        return [Sentence(begins + text, point, (fact,)) for text, fact in quoted]
    head = Sentence(f"{point.text}:", point)
    return [head, *(Sentence(text, point, (fact,), item=True) for text, fact in quoted)]


OPENS = frozenset({"finding_for", "alternative", "urgency"})
"""Kinds of points that open a paragraph of their own behind other ones."""


def text_of(sentences: Sequence[Sentence]) -> str:
    """Sentences in paragraphs, lists below their lead-in."""
    blocks: list[str] = []
    line: list[str] = []
    for place, sentence in enumerate(sentences):
        after = sentences[place + 1] if place + 1 < len(sentences) else None
        if line and _opens(sentence, sentences[place - 1]):
            blocks.append(" ".join(line))
            line = []
        if sentence.item:
            line.append(f"- {sentence.text}")
        elif after and after.item:  # the lead-in of a list
            blocks += [" ".join(line)] if line else []
            blocks.append(sentence.text)
            line = []
            continue
        else:
            line.append(sentence.text)
        if sentence.item != bool(after and after.item) or after is None:
            blocks.append(("\n" if sentence.item else " ").join(line))
            line = []
    return "\n\n".join(blocks)


def _opens(sentence: Sentence, before: Sentence) -> bool:
    kind = sentence.point.kind
    return sentence.point.opens or (kind in OPENS and before.point.kind not in (kind, "standing"))


def claimed(sentences: Sequence[Sentence]) -> Iterator[tuple[Sentence, Claim]]:
    """What stands behind each sentence: facts, measured findings. Sentences that rest on neither claim nothing."""
    for sentence in sentences:
        measured = sentence.point.findings if not sentence.item else ()
        if sentence.facts or measured:
            note = "measured on the image" if measured else ""
            facts = tuple(fact.id for fact in sentence.facts)
            yield sentence, Claim(sentence.text, "supported", facts, measured, note)


def plainly(
    plan: Plan,
    numbers: Mapping[str, int],
    *,
    earlier: Sequence[str] = (),
    short: Callable[[Fact], str] = lambda fact: "",
) -> str:
    """The whole plan as text; see `said`."""
    return text_of(said(plan.points, numbers, earlier=earlier, short=short))
