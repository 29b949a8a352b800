"""Reads what models really write: four steps, an answer, prose with citations. Says what it could not read.

Accepts headings with or without numbers and bold marks, "Final answer: ..." in place of the tag, and an
unclosed block. Knows neither the graph nor the page.
"""

from __future__ import annotations

import re
from pathlib import Path

from dermiq.knowledge.language.citation import cited
from dermiq.knowledge.language.cues import hear
from dermiq.types import ParsedText

_ROWS = (line.split("\t") for line in Path(__file__).with_name("aliases.tsv").read_text("utf-8").splitlines())
ALIASES = {code: tuple(names.split("|")) for code, names in _ROWS}
"""Class code -> what models call it, in small letters."""
_CODE_OF = {alias: code for code, aliases in ALIASES.items() for alias in aliases}
_MENTION = re.compile(r"\b(" + "|".join(sorted(map(re.escape, _CODE_OF), key=len, reverse=True)) + r")\b", re.I)
SECTIONS = ("findings", "differential", "knowledge", "conclusion")
_HEADING = re.compile(
    r"^[ \t#>*\-]{0,16}(?:step[ \t]{0,4})?(?:\d[.):]?[ \t]{0,4})?\*{0,3}[ \t]{0,4}"
    r"(findings|differential(?: diagnosis)?|knowledge|conclusion)\b"
    r"\s*\**\s*[:.\-]*\**\s*",
    re.I | re.M,
)
_THINK = re.compile(r"<think(?:ing)?>(.*?)(</think(?:ing)?>|(?=<answer>)|\Z)", re.I | re.S)
_ANSWER = re.compile(r"<answer>(.*?)(</answer>|\n|\Z)", re.I | re.S)
_PLAIN_ANSWER = re.compile(r"(?:final answer|answer|diagnosis)\s*(?:is|:)\s*\**\s*([^\n.]+)", re.I)

NO_THINK = "no <think> block"
OPEN_THINK = "the <think> block is not closed"
OPEN_ANSWER = "the <answer> tag is not closed"
BARE_ANSWER = "the answer has no <answer> tag"
NO_ANSWER = "no answer"


def class_mentions(text: str) -> list[tuple[int, str]]:
    """(position, class code) of every diagnosis named in `text` and neither denied nor put second, in order."""
    heard = hear(text)
    matches = list(_MENTION.finditer(text))
    places = [match.span() for match in matches]
    said = [heard.said(start, end, names=places) for start, end in places]
    return [
        (match.start(), _CODE_OF[match.group(1).lower()])
        for match, how in zip(matches, said, strict=True)
        if not (how.denied or how.aside)
    ]


def class_of(text: str) -> str | None:
    """The class that a short answer names; None where it names none, or several."""
    codes = {code for _, code in class_mentions(text)}
    return codes.pop() if len(codes) == 1 else None


def parse(text: str) -> ParsedText:
    """The parts of a model's text. Never raises; `problems` lists what is missing, in words."""
    problems: list[str] = []
    think = _THINK.search(text)
    reasoning = think.group(1).strip() if think else ""
    if not think:
        problems.append(NO_THINK)
    elif not think.group(2):
        problems.append(OPEN_THINK)
    sections = _split(reasoning)
    problems += [f"no {name} step" for name in SECTIONS if think and not sections[name]]
    rest = text[think.end() :] if think else text
    answer, prose = _answer(rest, problems)
    code = class_of(answer) if answer else None
    if answer and code is None:
        problems.append(f"the answer {answer[:60]!r} is none of the seven classes")
    conclusion = class_mentions(sections["conclusion"]) or class_mentions(sections["differential"])[:1]
    return ParsedText(
        **sections,
        reasoning=reasoning,
        answer=answer,
        answer_code=code,
        conclusion_code=conclusion[0][1] if conclusion else None,
        prose=prose,
        citations=cited(text),
        problems=tuple(problems),
    )


def _split(reasoning: str) -> dict[str, str]:
    """The four steps by their headings."""
    marks = list(_HEADING.finditer(reasoning))
    sections = dict.fromkeys(SECTIONS, "")
    ends = [mark.start() for mark in marks[1:]] + [len(reasoning)]
    for mark, end in zip(marks, ends, strict=False):  # no marks: one end too many
        name = mark.group(1).lower().split()[0]
        sections[name] = sections[name] or reasoning[mark.end() : end].strip()
    return sections


def _answer(rest: str, problems: list[str]) -> tuple[str, str]:
    """The answer and the prose around it."""
    tagged = _ANSWER.search(rest)
    if tagged:
        if not tagged.group(2).startswith("</"):
            problems.append(OPEN_ANSWER)
        return tagged.group(1).strip(), (rest[: tagged.start()] + rest[tagged.end() :]).strip()
    plain = _PLAIN_ANSWER.search(rest)
    if plain:
        problems.append(BARE_ANSWER)
        return plain.group(1).strip(" *"), rest.strip()
    problems.append(NO_ANSWER)
    return "", rest.strip()
