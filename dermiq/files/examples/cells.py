"""Values that a table keeps as text: JSON, and what Python prints of lists, dictionaries and arrays of numpy."""

from __future__ import annotations

import ast
import io
import json
import re
import tokenize
import warnings

LOOKS_LIKE_ONE = re.compile(r"\s*(\[\s*(\{|array\()|\{\s*[\"']|array\()")
"""A list of dictionaries, a dictionary or an array: no text of a person begins so."""

_WORDS = {"nan": "None", "NaN": "None", "NaT": "None", "null": "None", "true": "True", "false": "False"}
_KEPT = (tokenize.NAME, tokenize.NUMBER, tokenize.STRING, tokenize.OP)


def value_of(text: str) -> object:
    """What the text says. ValueError where it is neither JSON nor a value that Python prints."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except ValueError:
        return _of_python(text)


def _of_python(text: str) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's, about the style of what was written
            return _evaluated(ast.parse(" ".join(_tokens(text)), mode="eval").body)
    except (SyntaxError, tokenize.TokenError, MemoryError, RecursionError, TypeError) as error:
        raise ValueError("no value of Python") from error


def _tokens(text: str) -> list[str]:
    """numpy prints no commas between the items of an array: where two values follow each other, one is put there."""
    made: list[str] = []
    for token in tokenize.generate_tokens(io.StringIO(f"({text.strip()}\n)").readline):
        if token.type not in _KEPT:
            continue
        word = _WORDS.get(token.string, token.string)
        if made and _ends(made[-1]) and _begins(word) and (made[-1], word) != ("array", "("):
            made.append(",")
        made.append(word)
    return made


def _ends(token: str) -> bool:
    return token in ("}", "]", ")") or _is_word(token)


def _begins(token: str) -> bool:
    return token in ("{", "[", "(") or _is_word(token)


def _is_word(token: str) -> bool:
    return token[-1] in "'\"" or token.isidentifier() or token[0].isdigit()


def _evaluated(node: ast.expr) -> object:
    """`ast.literal_eval`, and the list in `array([...], dtype=object)`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "array" and node.args:
        return _evaluated(node.args[0])
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_evaluated(item) for item in node.elts]
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return {_evaluated(key): _evaluated(value) for key, value in pairs if key is not None}
    found = ast.literal_eval(node)
    if found is ...:  # numpy leaves out the middle of what is long
        raise ValueError("cut short")
    return found
