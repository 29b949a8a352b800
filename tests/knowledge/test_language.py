"""Language has one room: one list of each kind of cue, one stemmer, and libraries that nobody else imports."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from dermiq.knowledge.language.lexicon import pattern
from dermiq.knowledge.language.numbers import in_digits, is_number, numbers
from dermiq.knowledge.language.spelling import alike, meant
from dermiq.knowledge.language.stem import stem

ROOT = Path(__file__).resolve().parents[2]
ROOM = ROOT / "dermiq" / "knowledge" / "language"
LIBRARIES = {"bm25s", "negspacy", "rank_bm25", "rapidfuzz", "snowballstemmer", "spacy", "text_to_num", "word2number"}
CUES = {
    "negation": r"not|never|no|none|nobody|nothing|neither|nor|nowhere|cannot|n't|without|lack\S*|absent",
    "doubt and rarity": r"may|might|could|possibl[ey]|perhaps|maybe|rarely|seldom|hardly|scarcely|unlikely|sometimes",
    "strength": r"always|usually|usual\S*|mostly|often|frequently|mainly|invariably|exclusively|typically|routinely",
    "number": r"two|three|four|five|six|seven|eight|nine|ten|twenty|thirty",
}
MANY = 3  # words of one kind from which on a pattern or collection is a list of them
PROSE = {"coverage.py"}  # a stop list of three hundred words, some of which are cues
ENDINGS = {"ing", "ed", "ly", "ation", "ness", "ment", "able"}


def modules() -> list[Path]:
    return [path for room in ("dermiq", "train") for path in (ROOT / room).rglob("*.py") if ROOM not in path.parents]


def texts(tree: ast.AST) -> Iterator[list[str]]:
    """The words that stand side by side: of each pattern its alternatives, of each collection its items."""
    for node in ast.walk(tree):
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            yield [item.value for item in node.elts if isinstance(item, ast.Constant) and isinstance(item.value, str)]
        elif isinstance(node, ast.Dict):
            yield [key.value for key in node.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]
        elif isinstance(node, ast.Constant | ast.JoinedStr):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            whole = "".join(str(part.value) if isinstance(part, ast.Constant) else "" for part in parts)
            yield re.split(r"[|()]", whole) if "|" in whole else []


def lists(tree: ast.AST) -> Iterator[str]:
    for side_by_side in texts(tree):
        for kind, cues in CUES.items():
            found = {word.lower() for word in side_by_side if re.fullmatch(cues, word, re.IGNORECASE)}
            if len(found) >= MANY:
                yield f"{kind}: {', '.join(sorted(found))}"
        if len(ENDINGS & set(side_by_side)) >= MANY:
            yield f"endings: {side_by_side}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_nobody_else_lists_cues_or_imports_a_library_for_language(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not LIBRARIES & {name.partition(".")[0] for name in imported}, "ask dermiq.knowledge.language for it"
    assert not list(lists(tree)), "such words belong to dermiq/knowledge/language/cues.txt"
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert not {name for name in defined if re.fullmatch(r"_?(?:stem|root|levenshtein|edit_distance)", name)}
