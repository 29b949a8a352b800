"""What every run's process would make anew, made when this is imported: `tests.nightly.exactness` forks its runs
behind it."""

import torch

from dermiq.knowledge import Graph
from dermiq.knowledge.language.link import index_of
from dermiq.knowledge.retrieve.index import warm
from train.cases.sources import specialist

torch.set_num_threads(1)  # a process that has computed with several cannot be forked
GRAPH = Graph.load()
index_of(GRAPH)
warm(GRAPH)
specialist()
