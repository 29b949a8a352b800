"""What a good answer speaks of, said plainly, and whether a text says it. Knows the graph, no model and no page."""

from dermiq.answering.plan import plan
from dermiq.answering.points import Known, Plan, Point
from dermiq.answering.say import claims_of, plainly, said, text_of

__all__ = ["Known", "Plan", "Point", "claims_of", "plainly", "plan", "said", "text_of"]
