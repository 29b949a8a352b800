"""Frozen dataclasses as JSON and back by their types: what is read is what was written, or it is refused.

    text = json.dumps(to_json(events))
    events = from_json(json.loads(text), tuple[Event, ...])      # ValueError where it is anything else

Nothing is made but what the type names, so that no file can bring another class along. Knows no file.
"""

from __future__ import annotations

import base64
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

CLASS = "is"  # the field that names the class
MOST_PIXELS = 1 << 24  # of an array


def to_json(value: Any) -> Any:
    """Of dataclasses, tuples, mappings with names as keys, boolean arrays, and what JSON has itself."""
    if isinstance(value, np.ndarray):
        return _packed(value)
    if isinstance(value, np.generic):
        return value.item()
    if is_dataclass(value) and not isinstance(value, type):
        return {CLASS: type(value).__name__, **{f.name: to_json(getattr(value, f.name)) for f in fields(value)}}
    if isinstance(value, Mapping):
        return {str(key): to_json(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(one) for one in value]
    if value is None or isinstance(value, str | int | float):
        return value
    raise ValueError(f"{type(value).__name__} has no form in JSON here")


def from_json(told: Any, hint: Any) -> Any:
    """A value of the type `hint`. Raises ValueError where `told` is none."""
    origin = get_origin(hint)
    if hint is np.ndarray:
        return _unpacked(told)
    if is_dataclass(hint):
        return _made(told, hint)
    if origin in (Union, types.UnionType):
        return _one_of(told, get_args(hint))
    if origin is Literal:
        return _checked(told, told in get_args(hint))
    if origin is tuple and get_args(hint)[1:] == (...,):
        return tuple(from_json(one, get_args(hint)[0]) for one in _checked(told, isinstance(told, list)))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        held = _checked(told, isinstance(told, dict))
        return {key: from_json(one, get_args(hint)[1]) for key, one in held.items()}
    return _plain(told, hint)


def _plain(told: Any, hint: Any) -> Any:
    if hint is type(None):
        return _checked(told, told is None)
    if hint is float:  # a whole number stays one: it is written without a point
        return _checked(told, isinstance(told, int | float) and not isinstance(told, bool))
    if hint in (str, bool, int):
        return _checked(told, type(told) is hint)
    raise ValueError(f"{hint} is no type that is read here")


def _made(told: Any, hint: Any) -> Any:
    hints = _hints(hint)
    _checked(told, isinstance(told, dict) and told.get(CLASS) == hint.__name__ and told.keys() - {CLASS} == set(hints))
    return hint(**{name: from_json(told[name], one) for name, one in hints.items()})


@lru_cache(maxsize=64)
def _hints(hint: type) -> dict[str, Any]:
    return get_type_hints(hint)


def _one_of(told: Any, options: tuple[Any, ...]) -> Any:
    for option in options:
        if is_dataclass(option) and not (isinstance(told, dict) and told.get(CLASS) == getattr(option, "__name__", "")):
            continue
        try:
            return from_json(told, option)
        except ValueError:
            if is_dataclass(option):  # it is this one, and not whole
                raise
    return _checked(told, False)


def _checked(told: Any, is_so: bool) -> Any:
    if not is_so:
        raise ValueError(f"not what was expected: {str(told)[:60]!r}")
    return told


def _packed(array: np.ndarray) -> dict[str, Any]:
    if array.dtype != np.bool_:
        raise ValueError(f"an array of {array.dtype} has no form in JSON here")
    return {"shape": list(array.shape), "bits": base64.b64encode(np.packbits(array).tobytes()).decode()}


def _unpacked(told: Any) -> np.ndarray:
    _checked(told, isinstance(told, dict) and told.keys() == {"shape", "bits"} and isinstance(told["bits"], str))
    shape = from_json(told["shape"], tuple[int, ...])
    _checked(shape, all(0 < side <= MOST_PIXELS for side in shape) and int(np.prod(shape, dtype=float)) <= MOST_PIXELS)
    bits = np.frombuffer(base64.b64decode(told["bits"], validate=True), np.uint8)
    count = int(np.prod(shape))
    _checked(shape, bits.size == (count + 7) // 8)
    return np.unpackbits(bits, count=count).astype(bool).reshape(shape)
