"""Whether the model hub answers, found out in seconds: its own library tries for minutes before it gives up.

with hub_or_cache():        # where the hub does not answer, only what was fetched before is looked for
    AutoConfig.from_pretrained(name)
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from huggingface_hub import constants

ANSWER_S = 5.0  # that the hub has for its first answer


@contextlib.contextmanager
def hub_or_cache() -> Iterator[None]:
    """While it lasts the hub's library asks no server that does not answer."""
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not answers(constants.ENDPOINT)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def answers(address: str) -> bool:
    """Whether anything comes back, be it a refusal: through the proxy that the environment names, if any."""
    import httpx

    found = threading.Event()

    def ask() -> None:
        with contextlib.suppress(httpx.HTTPError, OSError):
            httpx.head(address, timeout=ANSWER_S)
            found.set()

    asking = threading.Thread(target=ask, daemon=True)  # a name server that is silent knows no time limit
    asking.start()
    asking.join(ANSWER_S)
    return found.is_set()
