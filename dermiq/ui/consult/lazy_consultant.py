"""A consultant that is made behind the page: the page answers first, the heavy imports come after.

Until the real one is there, this one says that it is loading; then it hands everything on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

import numpy as np

from dermiq.errors import DermIQError, ModelError
from dermiq.language import N_
from dermiq.types import Case, Events, Lesion, SelfCheck, SpecialistReading
from dermiq.ui.protocol import Consultant

log = logging.getLogger(__name__)


class Behind:
    """Satisfies `Consultant`. `make` imports and builds the real one; it runs in a thread of its own."""

    def __init__(self, make: Callable[[], Consultant], *, name: str) -> None:
        self._make = make
        self._name = name
        self._real: Consultant | None = None
        self._failure: DermIQError | None = None
        self._done = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._run, name="models", daemon=True).start()

    def _run(self) -> None:
        try:
            self._real = self._make()
        except DermIQError as error:
            log.error("the consultant could not be made: %s (%s)", error, error.detail)
            self._failure = error
        except Exception as error:
            log.exception("the consultant could not be made")
            self._failure = ModelError(N_("The models could not be started; the log says why."), detail=repr(error))
        finally:
            self._done.set()

    def real(self) -> Consultant:
        """The real consultant; waits for it. Raises what kept it from being made."""
        self._done.wait()
        if self._real is None:
            raise self._failure or ModelError(N_("The models are not started."))
        return self._real

    @property
    def name(self) -> str:
        return self._real.name if self._real else self._name

    @property
    def device(self) -> str:
        return self._real.device if self._real else ""

    def ready(self) -> bool:
        return self._real is not None and self._real.ready()

    def status(self) -> str:
        if self._real is not None:
            return self._real.status()
        return str(self._failure) if self._failure else N_("loading the libraries")

    def use(self, model: str = "", *, name: str = "") -> None:
        self.real().use(model, name=name)

    def read_image(self, data: bytes, *, view: str, taken: str | None) -> Lesion:
        return self.real().read_image(data, view=view, taken=taken)

    def assess(self, case: Case, *, stop: threading.Event, session_id: str) -> Events:
        return self.real().assess(case, stop=stop, session_id=session_id)

    def heatmap(self, lesion: Lesion, code: str) -> np.ndarray:
        return self.real().heatmap(lesion, code)

    def structures(self, lesion: Lesion, reading: SpecialistReading) -> Mapping[str, np.ndarray]:
        return self.real().structures(lesion, reading)

    def image_check(self, case: Case) -> SelfCheck:
        return self.real().image_check(case)

    def forget(self, session_id: str) -> None:
        if self._real is not None:
            self._real.forget(session_id)
