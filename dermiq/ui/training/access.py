"""Who may start and steer runs, and where training is possible at all. Knows no gradio and no run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from dermiq.errors import InputError
from dermiq.places import is_writable
from dermiq.settings import Settings
from dermiq.ui.server.guesses import Guesses, same
from dermiq.ui.server.hosts import is_public


class Access:
    """On this computer's own address everybody who can open the page may train, unless there is a password. On an
    address that others can reach the tab is off without one.
    """

    def __init__(self, settings: Settings) -> None:
        self._password = settings.admin_password or ""
        self._is_public = is_public(settings)
        self._guesses = Guesses()

    @property
    def closed(self) -> str:
        """Why the tab is off, and how it is turned on; "" where it is on."""
        if self._password or not self._is_public:
            return ""
        return (
            "Training is turned off, because this page can be reached from other computers. Whoever runs it turns "
            "training on by setting DERMIQ_ADMIN_PASSWORD."
        )

    @property
    def asks(self) -> bool:
        """Whether a password must be given first."""
        return bool(self._password)

    def refusal(self, password: str) -> str:
        """Why the password does not open the tab; "" where it does."""
        try:
            right = self._guesses.try_out(lambda: same(password, self._password))
        except InputError as error:
            return str(error)
        return "" if right else "This is not the password."


def impossible(environment: Mapping[str, str] = os.environ) -> str:
    """Why no run can be started here, in sentences; "" where one can. Finished runs can be looked at all the same."""
    if environment.get("SPACES_ZERO_GPU"):
        return (
            "This Space has ZeroGPU, which lends a GPU for seconds at a time: too short for a training run. Duplicate "
            "the Space with a GPU of its own, or train on your own computer; runs that are here can be looked at."
        )
    if environment.get("SPACE_ID") and not _has_gpu():
        return (
            "This Space has no GPU, and what is on its disk is lost when it restarts, so nothing can be trained here. "
            "Duplicate it with a GPU, or train on your own computer; runs that are here can be looked at."
        )
    return ""


def unkept(root: Path) -> str:
    """Why no run can be kept in its folder; "" where one can."""
    if is_writable(root):
        return ""
    return (
        "Nothing can be trained here, since the folder of the runs cannot be written. Whoever runs this page names "
        "another one in DERMIQ_RUNS; runs that are here can be looked at."
    )


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()
