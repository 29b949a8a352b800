"""One line of JSON a logged step, so that a killed process leaves every line whole but perhaps the last."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from dermiq.types import Fields


def append(path: Path, line: Fields) -> None:
    """Adds one line, floats to six digits; None for what could not be judged, or is not a finite number."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({key: _rounded(value) for key, value in line.items()}) + "\n")


def _rounded(value: object) -> Any:
    if not isinstance(value, float):
        return value
    return float(f"{value:.6g}") if math.isfinite(value) else None
