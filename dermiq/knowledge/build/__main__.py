"""Build `kg_data/` from the sources folder and the curated tables, judge it and print what it holds.

    python -m dermiq.knowledge.build --sources ../shared/kg_sources --out kg_data
    python -m dermiq.knowledge.build --licence open --out FOLDER    # only what may be used freely

The sources folder may also be named by the environment variable DERMIQ_KG_SOURCES.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from dermiq.errors import KnowledgeError
from dermiq.knowledge.build.build import build, report, sources_folder
from dermiq.knowledge.schema import LICENCE_CLASSES, write_tables
from dermiq.places import graph_tables


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Build the knowledge graph's tables.")
    parser.add_argument("--sources", type=Path, default=None, help="folder of source extracts")
    parser.add_argument("--out", type=Path, default=graph_tables(), help="where nodes, edges and sources go")
    parser.add_argument("--curated", type=Path, default=graph_tables() / "curated", help="tables read by hand")
    parser.add_argument("--derived", type=Path, default=graph_tables() / "derived", help="tables counted by us")
    parser.add_argument(
        "--licence", choices=LICENCE_CLASSES, default=LICENCE_CLASSES[-1], help="the least free class to let in"
    )
    options = parser.parse_args(arguments)
    try:
        tables = build(
            options.sources or sources_folder(),
            curated=options.curated,
            derived=options.derived,
            licence=options.licence,
        )
    except KnowledgeError as error:
        print(f"{error}\n{error.detail}".rstrip(), file=sys.stderr)
        return 1
    write_tables(tables, options.out)
    print(report(tables, options.curated))
    return 0


if __name__ == "__main__":
    sys.exit(main())
