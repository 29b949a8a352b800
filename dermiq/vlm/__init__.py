"""The vision-language model: loading, prompts, streaming generation, parsing. Knows neither the graph nor the page."""

from dermiq.vlm.session import Ending, Majority, Session, Stats, majority

__all__ = ["Ending", "Majority", "Session", "Stats", "majority"]
