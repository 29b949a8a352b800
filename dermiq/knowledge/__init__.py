"""The knowledge graph: load it, link names, retrieve evidence, check claims. Knows neither model nor page."""

from dermiq.knowledge.check.check import Scores, check_claims, score_answer
from dermiq.knowledge.graph import Graph
from dermiq.knowledge.language.embed import NOTE as EMBEDDINGS_MISSING
from dermiq.knowledge.language.embed import available as embeddings_available
from dermiq.knowledge.language.link import Mention, link
from dermiq.knowledge.language.remember import forget
from dermiq.knowledge.retrieve.index import warm
from dermiq.knowledge.retrieve.retrieve import retrieve
from dermiq.knowledge.retrieve.understand import Understood, understand
from dermiq.knowledge.urgency import urgency

__all__ = [
    "EMBEDDINGS_MISSING",
    "Graph",
    "Mention",
    "Scores",
    "Understood",
    "check_claims",
    "embeddings_available",
    "forget",
    "link",
    "retrieve",
    "score_answer",
    "understand",
    "urgency",
    "warm",
]
