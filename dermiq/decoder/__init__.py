"""A visitor's file becomes pixels. Knows no lesion, no model and no page.

`pool` is what others call; `worker` and `decode` run in its processes, and import neither torch nor numpy.
"""

from dermiq.decoder.formats import ACCEPTED, IMAGE_SUFFIXES, MAX_BYTES, MAX_PIXELS, MAX_SIDE

__all__ = ["ACCEPTED", "IMAGE_SUFFIXES", "MAX_BYTES", "MAX_PIXELS", "MAX_SIDE"]
