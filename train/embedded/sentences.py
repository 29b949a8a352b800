"""The vectors of the graph's sentences, which ship so that nobody waits for them.

    python -m train.embedded.sentences      # after each change of the graph's tables

Sentences that do not ship are embedded on the user's machine at the first start, and kept in the cache.
"""

from __future__ import annotations

from dermiq.knowledge.graph import Graph
from dermiq.knowledge.language import embed
from dermiq.knowledge.retrieve.index import index_of


def main() -> None:
    texts = index_of(Graph.load()).sentences()
    embed.ship(texts)
    print(f"{len(set(texts))} sentences: {embed.SHIPPED.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
