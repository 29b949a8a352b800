"""The small vision model that reads every image: probabilities, outline, findings, heatmap, distance."""

from dermiq.specialist.reader import Calibration, Specialist, fuse_readings, lesion_window, window_box

__all__ = ["Calibration", "Specialist", "fuse_readings", "lesion_window", "window_box"]
