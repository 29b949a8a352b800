"""The small vision models that read every image: probabilities, outline, findings, structures, maps, distance."""

from dermiq.specialist.opinion import Opinion, opinion_of
from dermiq.specialist.reader import Calibration, Specialist, fuse_readings, lesion_window, window_box

__all__ = ["Calibration", "Opinion", "Specialist", "fuse_readings", "lesion_window", "opinion_of", "window_box"]
