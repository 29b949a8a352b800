"""What a call takes, read off its signature and docstring: to check what a program sent, and to describe it.

    takes = arguments(Calls.compare)
    checked(takes, {"first": "melanoma", "second": "nevus"})     # or InputError with a sentence

Knows no gradio but its way to read a docstring.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, get_type_hints

from gradio.utils import get_function_description
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from dermiq.errors import InputError

Call = Callable[..., Any]


@lru_cache
def arguments(call: Call) -> type[BaseModel]:
    """A model with a field for each parameter but `self`, its default, its limits, and what the docstring says."""
    hints = get_type_hints(call, include_extras=True)
    told = get_function_description(call)[1]
    fields: dict[str, Any] = {
        name: (hints[name], Field(... if one.default is one.empty else one.default, description=told[name]))
        for name, one in inspect.signature(call).parameters.items()
        if name != "self"
    }
    return create_model(call.__name__, __config__=ConfigDict(extra="forbid", hide_input_in_errors=True), **fields)


def description(call: Call) -> str:
    return get_function_description(call)[0]


def checked(takes: type[BaseModel], given: Mapping[str, object]) -> dict[str, Any]:
    """The arguments by name, converted. InputError names each that cannot be used, and never repeats what was sent."""
    try:
        made = takes.model_validate(dict(given))
    except ValidationError as error:
        raise InputError("\n".join(_sentence(one) for one in error.errors(include_input=False))) from None
    return {name: getattr(made, name) for name in takes.model_fields}


def _sentence(error: Any) -> str:
    """ "images, 2: Input should be a valid string." """
    where = ", ".join(str(part) for part in error["loc"])
    return f"{where}: {error['msg']}."
