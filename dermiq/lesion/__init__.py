"""A file becomes a `Lesion`; its quality and, under an outline, its findings are measured.

Knows no model, no graph and no page.
"""

from dermiq.decoder import ACCEPTED, IMAGE_SUFFIXES, MAX_BYTES, MAX_PIXELS
from dermiq.lesion.drawn import drawn_examples
from dermiq.lesion.findings import FINDING_CODES, measure_findings
from dermiq.lesion.frame import Box, lesion_box
from dermiq.lesion.intake import read_lesion, read_told
from dermiq.lesion.quality import assess_quality
from dermiq.lesion.reference import FindingsReference, default_reference

__all__ = [
    "ACCEPTED",
    "FINDING_CODES",
    "IMAGE_SUFFIXES",
    "MAX_BYTES",
    "MAX_PIXELS",
    "Box",
    "FindingsReference",
    "assess_quality",
    "default_reference",
    "drawn_examples",
    "lesion_box",
    "measure_findings",
    "read_lesion",
    "read_told",
]
