"""`python -m dermiq knowledge` and `python -m dermiq check`: the JSON that other tools read, and whole exports."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from dermiq.errors import DermIQError, InputError
from dermiq.knowledge.card import Held, topic_of
from dermiq.knowledge.check.check import check_claims, score_answer
from dermiq.knowledge.compare import Comparison, Kind, compare
from dermiq.knowledge.export import FORMATS, export
from dermiq.knowledge.find import Found, asked_back, condition, find, offered
from dermiq.knowledge.graph import Graph
from dermiq.knowledge.language import embed
from dermiq.knowledge.language.link import link
from dermiq.knowledge.retrieve.retrieve import retrieve
from dermiq.knowledge.schema import LICENCE_CLASSES
from dermiq.settings import Subparsers
from dermiq.types import Fact, Json

Row = Json
MARKS = {"supported": "+", "contradicted": "!", "not_covered": "?", "another_condition": "~", "wrong_citation": "#"}


def add_parsers(subparsers: Subparsers) -> None:
    """Add the two commands; each sets `run(args) -> int`."""
    knowledge = subparsers.add_parser(
        "knowledge", help="facts for a question, two conditions compared, or the whole graph as a file"
    )
    knowledge.add_argument("text", nargs="?", metavar="QUESTION", help="the question")
    knowledge.add_argument(
        "--differential", default="", help="class codes, ids or names, best first, with commas between"
    )
    knowledge.add_argument("-k", type=int, default=6, help="how many facts")
    knowledge.add_argument("--no-embeddings", action="store_true", help="search by words and names alone")
    knowledge.add_argument(
        "--compare", nargs=2, metavar=("A", "B"), default=None, help="two conditions side by side, by name, id or code"
    )
    knowledge.add_argument("--export", choices=FORMATS, default=None, help="write the whole graph to --out")
    knowledge.add_argument("--out", type=Path, default=None, help="file of the export; a folder for tsv")
    knowledge.set_defaults(run=run_knowledge)
    check = subparsers.add_parser("check", help="sentences against the graph")
    check.add_argument("text", nargs="?", metavar="TEXT", help="the text")
    check.add_argument(
        "--diagnosis", default=None, help="class code, id, name or ICD-10 code of what the text is about"
    )
    check.set_defaults(run=run_check)
    for parser in (knowledge, check):
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.add_argument("--file", type=Path, default=None, help="JSONL with text and, optionally, diagnosis and id")
        parser.add_argument("--licence", choices=LICENCE_CLASSES, default=None, help="the least free class to let in")
        parser.add_argument("--kg", type=Path, default=None, help="folder of the graph's tables")


def run_knowledge(args: argparse.Namespace) -> int:
    if args.export is not None:
        return _run_export(args)
    if args.compare is not None:
        return _run_compare(args)
    semantic = not args.no_embeddings
    differential = [part.strip() for part in args.differential.split(",") if part.strip()]
    if semantic and not embed.available():
        print(embed.NOTE, file=sys.stderr)

    def answer(graph: Graph, row: Row) -> Row:
        named = [row["diagnosis"]] if row.get("diagnosis") else []
        return knowledge_row(graph, row["text"], differential=[*named, *differential], k=args.k, semantic=semantic)

    return _run(args, answer, _show_knowledge)


def _run_export(args: argparse.Namespace) -> int:
    try:
        if args.out is None:
            raise InputError("Say where the export goes with --out.")
        tables = Graph.load(args.kg, licence=args.licence).tables
        export(tables, args.export, args.out)
    except DermIQError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{len(tables.nodes)} nodes, {len(tables.edges)} edges, {len(tables.sources)} sources -> {args.out}")
    return 0


def _run_compare(args: argparse.Namespace) -> int:
    try:
        if args.text or args.file:
            raise InputError("--compare takes two conditions and nothing else: leave out the question and --file.")
        graph = Graph.load(args.kg, licence=args.licence)
        asked = [(typed, found) for typed in args.compare if (found := find(graph, typed)).condition is None]
        if asked and args.json:
            print(json.dumps({"asked": [question_row(graph, *one) for one in asked]}, ensure_ascii=False))
        if asked:
            raise InputError("\n".join(asked_back(graph, *one) for one in asked))
        left, right = (condition(graph, typed) for typed in args.compare)
        made = compare(graph, left.id, right.id)
    except DermIQError as error:
        print(error, file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps(comparison_row(graph, made), ensure_ascii=False))
    else:
        _show_comparison(graph, made)
    return 0


def question_row(graph: Graph, typed: str, found: Found) -> Row:
    """The question back for a name that is not known whole."""
    return {
        "typed": typed,
        "question": asked_back(graph, typed, found),
        "suggestions": [{"id": node.id, "name": node.name} for node in offered(graph, found)],
        "without_card": list(found.without_card),
    }


def run_check(args: argparse.Namespace) -> int:
    def answer(graph: Graph, row: Row) -> Row:
        return check_row(graph, row["text"], diagnosis=row.get("diagnosis") or args.diagnosis)

    return _run(args, answer, _show_check)


def knowledge_row(graph: Graph, text: str, *, differential: list[str], k: int, semantic: bool) -> Row:
    """Retrieval alone, as agreed: entities and facts. InputError where a diagnosis is not known."""
    named = [condition(graph, key).id for key in differential]
    evidence = retrieve(graph, text, differential=named, k=k, semantic=semantic, token_budget=80 * k)
    return {
        "entities": [
            {"mention": mention.text, "id": mention.id, "name": mention.name, "negated": mention.negated}
            for mention in link(graph, text)
        ],
        "facts": [
            {
                "id": item.fact.id,
                "subject": item.fact.subject,
                "relation": item.fact.relation,
                "object": item.fact.object,
                "text": item.fact.text,
                "source": item.fact.source.title,
                "url": item.fact.source.url,
                "score": item.score,
            }
            for item in evidence.items
        ],
    }


def comparison_row(graph: Graph, made: Comparison) -> Row:
    """What separates two conditions and what they share; an empty side is one of which the graph says nothing."""
    left, right = ({"id": key, "name": graph.node(key).name} for key in (made.left, made.right))
    return {
        "left": left,
        "right": right,
        "points": [
            {
                "relation": point.relation,
                "feature": {"id": point.object, "name": point.name},
                "kind": point.kind,
                "left": [_held_row(h) for h in point.left],
                "right": [_held_row(h) for h in point.right],
            }
            for point in made.points
        ],
        "look_alikes": [_fact_row(fact) for fact in made.confused],
        "silent": {side: [topic for topic, silent in made.silent if silent == side] for side in ("left", "right")},
    }


def _held_row(held: Held) -> Row:
    return {**_fact_row(held.fact), "polarity": held.fact.polarity, "standing": held.standing, "holder": held.holder}


def _fact_row(fact: Fact) -> Row:
    return {"id": fact.id, "text": fact.text, "source": fact.source.title, "url": fact.source.url}


def check_row(graph: Graph, text: str, *, diagnosis: str | None) -> Row:
    """Claims against the graph, as agreed: verdicts and three scores. InputError where a diagnosis is not known."""
    diagnosis = condition(graph, diagnosis).id if diagnosis else None
    claims = check_claims(graph, text, diagnosis=diagnosis)
    scores = score_answer(graph, claims, diagnosis=diagnosis)
    listed = [{"text": claim.text, "verdict": claim.verdict, "facts": list(claim.fact_ids)} for claim in claims]
    return {"claims": listed, **asdict(scores)}


# --- one text or a file of them ---------------------------------------------------------------


def _run(args: argparse.Namespace, answer: Callable[[Graph, Row], Row], show: Callable[[Graph, Row], None]) -> int:
    try:
        graph = Graph.load(args.kg, licence=args.licence)
        if args.file is not None:
            for row in _rows(args.file):
                result = {"id": row["id"], **answer(graph, row)} if "id" in row else answer(graph, row)
                print(json.dumps(result, ensure_ascii=False))
            return 0
        if not args.text:
            raise InputError("Give a text, or a file of texts with --file.")
        result = answer(graph, {"text": args.text})
    except DermIQError as error:
        print(error, file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps(result, ensure_ascii=False))
    else:
        show(graph, result)
    return 0


def _rows(path: Path) -> Iterator[Row]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}.") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}, line {number} is no JSON: {error}.") from error
        if not isinstance(row, dict) or not isinstance(row.get("text"), str):
            raise InputError(f"{path}, line {number} has no field 'text'.")
        yield row


def _show_knowledge(graph: Graph, result: Row) -> None:
    for entity in result["entities"]:
        print(f"{entity['mention']} -> {entity['name']} ({entity['id']}){', negated' if entity['negated'] else ''}")
    for number, fact in enumerate(result["facts"], start=1):
        print(f"[{number}] {fact['text']}\n    {fact['source']} {fact['url']}")
    if not result["facts"]:
        print("The graph has nothing near this question.")


def _show_comparison(graph: Graph, made: Comparison) -> None:
    left, right = (graph.node(key).name for key in (made.left, made.right))
    titles: dict[Kind, str] = {
        "opposite": "They contradict each other",
        "left_only": f"Only {left} (of {right} the graph says nothing here)",
        "right_only": f"Only {right} (of {left} the graph says nothing here)",
        "mixed": "Overlap: sources, subtypes or circumstances differ",
        "shared": "They share",
    }
    print(f"{left} against {right}")
    for kind, title in titles.items():
        points = made.of(kind)
        print(f"\n{title}: {len(points)}")
        for point in points:
            print(f"  {point.name}" + (f" ({topic_of(point.relation).lower()})" if point.object else ""))
            for name, side in ((left, point.left), (right, point.right)):
                for h in side[:1]:
                    whose = "" if h.standing == "own" else f" ({h.standing}: {graph.node(h.holder).name})"
                    more = f" (+{len(side) - 1})" if len(side) > 1 else ""
                    print(f"    {name}: {h.fact.text}{whose} [{h.fact.source.title}]{more}")
    print(f"\nTaken for each other: {len(made.confused)}")
    for fact in made.confused[:1]:
        print(f"  {fact.text} [{fact.source.title}]")


def _show_check(graph: Graph, result: Row) -> None:
    for claim in result["claims"]:
        print(f"{MARKS[claim['verdict']]} {claim['text']}")
        for key in claim["facts"]:
            print(f"    {graph.fact(key).text}")
