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
WRITERS = {"findings.py": "number"}  # write such words and read none
ENDINGS = {"ing", "ed", "ly", "ation", "ness", "ment", "able"}


def modules() -> list[Path]:
    return [path for room in ("dermiq", "train") for path in (ROOT / room).rglob("*.py") if ROOM not in path.parents]


def side_by_side(node: ast.AST) -> list[str]:
    """Of a pattern its alternatives, of a collection or a call of `word_set` its items; of anything else nothing."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "word_set":
        return [word for item in ast.walk(node) if isinstance(item, ast.Constant) for word in str(item.value).split()]
    if isinstance(node, ast.List | ast.Tuple | ast.Set | ast.Dict):
        items = node.keys if isinstance(node, ast.Dict) else node.elts
        return [str(item.value) for item in items if isinstance(item, ast.Constant)]
    if isinstance(node, ast.JoinedStr):
        return [word for part in node.values for word in side_by_side(part)]
    text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
    return re.split(r"\(\?:|[|()]", text) if "|" in text else []


def lists(tree: ast.AST) -> Iterator[tuple[str, set[str]]]:
    """(kind, words) of each list of cues or of endings."""
    for node in ast.walk(tree):
        words = {word.lower() for word in side_by_side(node)}
        for kind, cues in CUES.items():
            yield kind, {word for word in words if re.fullmatch(cues, word)}
        yield "endings", words & ENDINGS if isinstance(node, ast.List | ast.Tuple | ast.Set) else set()


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_nobody_else_lists_cues_or_imports_a_library_for_language(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not LIBRARIES & {name.partition(".")[0] for name in imported}, "ask dermiq.knowledge.language for it"
    listed = [(kind, words) for kind, words in lists(tree) if len(words) >= MANY and kind != WRITERS.get(path.name)]
    assert not listed, "such words belong to dermiq/knowledge/language/cues.txt"
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert not {name for name in defined if re.fullmatch(r"_?(?:stem|stemmed|levenshtein|edit_distance)", name)}


def test_one_stemmer() -> None:
    assert stem("itchiness") == stem("itching") == stem("itch")
    assert stem("treatment") == stem("treated") == "treat"
    assert stem("referral") == stem("refer")
    assert stem("tender") != stem("tend")


def test_numbers_in_words() -> None:
    assert in_digits("A two-week wait, in forty-five of a hundred") == "A 2 week wait, in 45 of a 100"
    assert numbers("for a week, or twenty-four hours") == {"1", "24"}
    assert numbers("nine in ten") == numbers("90 %") == {"90"}
    assert not numbers("no one knows, and the second choice is one of them")
    assert all(map(is_number, ("three", "3", "one", "third", "two out of three")))
    assert not any(map(is_number, ("second", "half", "patch")))
    assert in_digits("\ud800 two") == "? 2"


def test_slips_of_the_pen() -> None:
    assert meant("dermatits", ("dermatitis", "dermatoses")) == "dermatitis"
    assert meant("irregular", ("regular",)) == "irregular"
    assert meant("ptich", ("pitch", "ptach")) == "ptich", "two are as near"
    assert alike("melnoma", ("melasma", "melanoma", "acne"), most=2, cutoff=0.72) == ["melanoma"]


def test_a_list_of_cues_is_found_wherever_it_stands() -> None:
    for line in ('X = r"\\b(?:not|never|no)\\b"', 'X = ["not", "never", "no"]', 'X = word_set("not never no")'):
        assert any(len(words) >= MANY for _, words in lists(ast.parse(line))), line


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("strong", "Every melanoma itches."),
        ("usually", "It is commonest on the trunk."),
        ("weak", "It may itch."),
        ("hedged", "A minority itch."),
        ("seldom", "It is unusually found there."),
        ("against", "This speaks against a nevus."),
        ("always", "All patients itch."),
    ],
)
def test_the_table_has_its_levels(name: str, text: str) -> None:
    assert pattern(name).search(text)
    assert not pattern(name).search("It itches.")
