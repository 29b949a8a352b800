"""A visitor's file becomes pixels. Knows no lesion, no model and no page, and imports nothing heavy."""

from dermiq.decoder.formats import ACCEPTED, IMAGE_SUFFIXES

__all__ = ["ACCEPTED", "IMAGE_SUFFIXES"]
