"""The process that decodes. Started by `pool`; reads requests from its input and writes answers to its output.

    python -m dermiq.decoder.worker

A request is 8 bytes (length, big-endian) and a file. An answer is a line of JSON, `{"size": [w, h], "told": {}}`
followed by w * h * 3 bytes or `{"refused": sentence, "detail": ...}`; the first line says that the process is ready. It
ends itself with its input, and where a file takes longer than the parent would have waited: it outlives no parent that
was killed.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import signal
import sys
from typing import BinaryIO

from dermiq.decoder.decode import decode
from dermiq.decoder.formats import BUDGET_BYTES, PATIENCE_S
from dermiq.errors import ImageError

TOO_LARGE = f"The image takes more than {BUDGET_BYTES / 1e6:.0f} MB to decode: save it smaller, or as an ordinary JPEG."


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends this process
    replies = os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "wb") as nowhere:  # decoders in C print what they think of a file
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        _limit_memory()
        _tell(replies, {"ready": True})
        while (data := _request(sys.stdin.buffer)) is not None:
            faulthandler.dump_traceback_later(PATIENCE_S + 1, exit=True, file=nowhere)
            _answer(replies, data)
            faulthandler.cancel_dump_traceback_later()


def _request(requests: BinaryIO) -> bytes | None:
    head = requests.read(8)
    return requests.read(int.from_bytes(head, "big")) if len(head) == 8 else None


def _answer(replies: BinaryIO, data: bytes) -> None:
    try:
        decoded = decode(data)
    except ImageError as error:
        _tell(replies, {"refused": str(error), "detail": error.detail})
    except MemoryError:
        _tell(replies, {"refused": TOO_LARGE, "detail": "MemoryError"})
    else:
        image = decoded.image
        _tell(replies, {"size": image.size, "told": dict(decoded.told)}, image.tobytes())


def _tell(replies: BinaryIO, head: dict[str, object], body: bytes = b"") -> None:
    replies.write(json.dumps(head).encode() + b"\n")
    replies.write(body)
    replies.flush()


def _limit_memory() -> None:
    """What may be written to (Linux: RLIMIT_DATA) ends at the budget. Elsewhere the parent's watch alone holds it."""
    if sys.platform != "linux":
        return
    import resource

    with contextlib.suppress(OSError, ValueError, StopIteration):  # no /proc, or a lower limit is set already
        with open("/proc/self/status", encoding="ascii") as status:
            used = next(int(line.split()[1]) for line in status if line.startswith("VmData:"))
        most = used * 1024 + BUDGET_BYTES
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # nothing of an image on the disk


if __name__ == "__main__":
    main()
