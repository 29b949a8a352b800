"""What a good answer speaks of, said plainly, and whether a text says it. Knows the graph, no model and no page."""

from dermiq.answering.answered import Answered, answers
from dermiq.answering.grounded import Given
from dermiq.answering.opening import is_lay
from dermiq.answering.plan import plan
from dermiq.answering.points import Known, Plan, Point
from dermiq.answering.say import plainly
from dermiq.answering.settle import Settled, as_written, best_of, refused, settle_first, settle_follow_up, with_facts

__all__ = [
    "Answered",
    "Given",
    "Known",
    "Plan",
    "Point",
    "Settled",
    "answers",
    "as_written",
    "best_of",
    "is_lay",
    "plainly",
    "plan",
    "refused",
    "settle_first",
    "settle_follow_up",
    "with_facts",
]
