"""The C library's heap, kept small: what is freed goes back to the system. Does nothing where that is not glibc.

glibc gives every thread a heap of its own, and each keeps what was once freed in it. A page whose answers are written
by whichever thread is free grew by 250 MB in fourteen consultations, of which nothing was in use.
"""

from __future__ import annotations

import ctypes
from functools import cache

M_ARENA_MAX = -8  # of mallopt(3)
M_MMAP_THRESHOLD = -3
ARENAS = 2
MAPPED_BYTES = 4 * 2**20


@cache
def _glibc() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL("libc.so.6")
    except OSError:
        return None
    return library if hasattr(library, "malloc_trim") and hasattr(library, "mallopt") else None


def few_heaps() -> None:
    """At most `ARENAS` heaps for all threads that are started from now on."""
    library = _glibc()
    if library is not None:
        library.mallopt(M_ARENA_MAX, ARENAS)


def map_large_blocks() -> None:
    """Lets the system hold blocks of several megabytes (tiles of logits) by themselves for the rest of this process.

    glibc raises the size from which it does so to 32 MB as such blocks are freed, and they then tear holes between
    the activations of a training: a fifth more at the peak.
    """
    library = _glibc()
    if library is not None:
        library.mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES)


def trim() -> None:
    """Gives back what is free: some milliseconds, in which other threads go on."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)
