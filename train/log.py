"""One line of JSON a logged step, so that a killed process leaves every line whole but perhaps the last."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path


def append(path: Path, line: Mapping[str, float | None]) -> None:
    """Adds one line, floats to four decimals; None for what could not be judged."""
    rounded = {key: value if value is None else round(value, 4) for key, value in line.items()}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(rounded) + "\n")
