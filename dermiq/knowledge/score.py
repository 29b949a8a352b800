"""How well names are linked, facts retrieved and sentences judged, on the sets in `tests/judged`.

    python -m dermiq.knowledge.score claims|edits|model_text|retrieval|asked|aspects|linking|negation
                                     [--part dev|test|all] [--show-errors] [--out FILE.json]

The sets were written by people who did not see the code. Their part `dev` may be looked at when the code is
improved; `test` is only scored, so --show-errors refuses it. --out adds the figures to a JSON file, under the name of
the set and the part, with the hash of the set and of the graph's tables that they were measured on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from dermiq import places
from dermiq.errors import DermIQError, InputError
from dermiq.knowledge.check.check import check_claims
from dermiq.knowledge.graph import FOLDER, Graph
from dermiq.knowledge.language import cues, embed, questions
from dermiq.knowledge.language.lexical import largest
from dermiq.knowledge.language.link import link
from dermiq.knowledge.retrieve.index import index_of
from dermiq.knowledge.retrieve.retrieve import retrieve, statement
from dermiq.knowledge.retrieve.understand import Understood, understand
from dermiq.knowledge.schema import read_rows
from dermiq.types import Finding, Json, PatientContext

SETS = places.ROOT / "tests" / "judged"
FILES = {
    "claims": ("claims.tsv",),
    "edits": ("edits.tsv",),
    "model_text": ("model_sentences.tsv",),
    "retrieval": ("questions.tsv",),
    "asked": ("asked.tsv",),
    "aspects": ("aspects.tsv",),
    "linking": ("mentions.tsv",),
    "negation": ("negation_dev.tsv", "negation_test.tsv"),
    "negation_blind": ("negation_blind.tsv",),
}
PARTS = ("dev", "test", "all")
VERDICTS = ("supported", "contradicted", "not_covered")
DEPTH = 8  # facts that a question gets
BUDGET = 80 * DEPTH  # tokens, as the command line gives them: the sets ask which facts come first, not how short
RESAMPLES = 2000
SEED = 7
OTHER_SENSE = "other sense of a listed word"
Row = dict[str, str]
Figures = Json
Scored = tuple[Figures, list[str]]
"""The figures, and one line an error."""


def read_set(name: str, part: str, folder: Path = SETS) -> list[Row]:
    """The rows of one set that belong to a part. KnowledgeError where the file is missing."""
    rows = [row for file in FILES[name] for _, row in read_rows(folder / file)]
    return [row for row in rows if part in ("all", row["part"])]


# --- claims -----------------------------------------------------------------------------


def verdict_of(graph: Graph, row: Row) -> str:
    """One verdict for a row; `topic` and `findings` (JSON: code -> [value, words]) are its case, where it has one."""
    claims = check_claims(graph, row["sentence"], findings=findings_of(row), diagnosis=row.get("topic") or None)
    return verdict_among(claim.verdict for claim in claims)


def findings_of(row: Row) -> list[Finding]:
    measured = json.loads(row.get("findings") or "{}")
    return [Finding(code, code, value, "", text, "") for code, (value, text) in measured.items()]


def verdict_among(verdicts: Iterable[str]) -> str:
    """Of several sentences: contradicted where any is, supported where all are.

    The labels ask what is so, not of whom: what is true of another condition than the topic is supported here.
    """
    found = {"supported" if verdict == "another_condition" else verdict for verdict in verdicts}
    if "contradicted" in found:
        return "contradicted"
    return "supported" if found == {"supported"} else "not_covered"


def score_claims(graph: Graph, rows: Sequence[Row]) -> Scored:
    """Precision and recall of two verdicts, overall and by origin, and how often which was taken for which."""
    given = [verdict_of(graph, row) for row in rows]
    figures: Figures = {"all": _verdict_figures(rows, given)}
    for origin in sorted({row["origin"] for row in rows}):
        chosen = [place for place, row in enumerate(rows) if row["origin"] == origin]
        figures[origin] = _verdict_figures([rows[place] for place in chosen], [given[place] for place in chosen])
    errors = [
        f"{row['id']} {row['label']} -> {verdict}: {row['sentence']} [{row['edges']}] {row['note']}"
        for row, verdict in zip(rows, given, strict=True)
        if verdict != row["label"]
    ]
    return figures, errors


def _verdict_figures(rows: Sequence[Row], given: Sequence[str]) -> Figures:
    pairs = Counter((row["label"], verdict) for row, verdict in zip(rows, given, strict=True))
    figures: Figures = {"n": len(rows)}
    for verdict in VERDICTS[:2]:
        hits = pairs[verdict, verdict]
        said = sum(count for (_, other), count in pairs.items() if other == verdict)
        true = sum(count for (label, _), count in pairs.items() if label == verdict)
        figures[verdict] = {"precision": _share(hits, said), "recall": _share(hits, true)}
    figures["confusion"] = {label: {verdict: pairs[label, verdict] for verdict in VERDICTS} for label in VERDICTS}
    return figures


def _share(part: float, whole: float) -> float | None:
    return round(part / whole, 3) if whole else None


# --- retrieval --------------------------------------------------------------------------


def score_retrieval(graph: Graph, rows: Sequence[Row]) -> Scored:
    """recall@8 and nDCG@8 of three searches, with 95 % intervals over questions (bootstrap, percentiles).

    A found fact counts where it says what a marked one says, whoever says it, and once. BM25 and embeddings alone get
    the question and the names of its differential, so that "Is a scan needed?" is not lost on them.
    """
    searches: dict[str, Callable[[Row], list[str]]] = {
        "fused": lambda row: _fused(graph, row),
        "BM25 alone": lambda row: _lexical(graph, row),
    }
    if embed.available():
        searches["embeddings alone"] = lambda row: _semantic(graph, row)
    figures: Figures = {"n": len(rows), "embeddings": embed.available()}
    errors: list[str] = []
    for name, search in searches.items():
        found = [search(row) for row in rows]
        scores = np.array([gains(graph, row["facts"].split("|"), keys) for row, keys in zip(rows, found, strict=True)])
        recall, ndcg = scores[:, 0], scores[:, 1]
        figures[name] = {"recall@8": _with_interval(recall), "nDCG@8": _with_interval(ndcg)}
        if name == "fused":
            errors = [
                _missed(graph, row, keys, score)
                for row, keys, score in zip(rows, found, recall, strict=True)
                if score < 1
            ]
    return figures, errors


def gains(graph: Graph, marked: Sequence[str], found: Sequence[str]) -> tuple[float, float]:
    """(recall, nDCG) of at most `DEPTH` found fact ids; nDCG with a gain of 0 or 1, ideal over the marked facts."""
    wanted = {statement(graph.fact(key)) for key in marked}
    said = [statement(graph.fact(key)) for key in found[:DEPTH]]
    hits = [key in wanted and key not in said[:place] for place, key in enumerate(said)]
    gain = sum(hit / math.log2(place + 2) for place, hit in enumerate(hits))
    ideal = sum(1 / math.log2(place + 2) for place in range(min(len(wanted), DEPTH)))
    return sum(hits) / len(wanted), gain / ideal


def _with_interval(scores: np.ndarray) -> Figures:
    """Mean of (n,) scores and the interval of the mean over resampled questions."""
    chosen = np.random.default_rng(SEED).integers(0, len(scores), (RESAMPLES, len(scores)))
    low, high = np.percentile(scores[chosen].mean(axis=1), (2.5, 97.5))
    return {"mean": round(float(scores.mean()), 3), "low": round(float(low), 3), "high": round(float(high), 3)}


def differential_of(row: Row) -> list[str]:
    return [key for key in row["differential"].split("|") if key]


def context_of(row: Row) -> PatientContext | None:
    """Ages in months are told as parts of a year; a `PatientContext` holds whole years."""
    if not row["context"]:
        return None
    told = json.loads(row["context"])
    age = told.get("age")
    return PatientContext(
        age=None if age is None else int(age),
        sex=told.get("sex"),
        site=told.get("site"),
        symptoms=tuple(told.get("symptoms", ())),
    )


def _fused(graph: Graph, row: Row) -> list[str]:
    evidence = retrieve(
        graph,
        row["question"],
        differential=differential_of(row),
        context=context_of(row),
        k=DEPTH,
        token_budget=BUDGET,
        earlier=earlier_of(row),
    )
    return [item.fact.id for item in evidence.items]


def _asked(graph: Graph, row: Row) -> str:
    known = [graph.diagnosis(key) for key in differential_of(row)]
    return " ".join([row["question"], *(found.name for found in known if found)])


def _lexical(graph: Graph, row: Row) -> list[str]:
    index = index_of(graph)
    return [index.facts[number].id for number in index.words.best(_asked(graph, row), DEPTH)]


def _semantic(graph: Graph, row: Row) -> list[str]:
    index = index_of(graph)
    cosines = index.vectors @ questions.encode([_asked(graph, row)])[0]
    return [index.facts[number].id for number in largest(cosines, DEPTH)]


def _missed(graph: Graph, row: Row, keys: Sequence[str], score: float) -> str:
    wanted = {statement(graph.fact(key)): graph.fact(key) for key in row["facts"].split("|")}
    lines = [f"{row['id']} {score:.2f} {row['question']} [{row['differential']}] {row['note']}"]
    for key in keys:
        fact = graph.fact(key)
        hit = wanted.pop(statement(fact), None)
        lines.append(f"    {'+' if hit else ' '} {fact.id} {fact.relation}: {fact.text}")
    lines += [f"    - {fact.id} {fact.relation}: {fact.text}" for fact in wanted.values()]
    return "\n".join(lines)


# --- what is asked ----------------------------------------------------------------------------


def score_asked(graph: Graph, rows: Sequence[Row]) -> Scored:
    """Questions as they come in a case, with those before: the facts, whose they are, the intent, and the scope.

    `facts` are counted as in `score_retrieval`, on the rows that have marks and are not noted odd. "named first": the
    first fact is of the condition that the question names, or of its family.
    """
    found = [_fused(graph, row) for row in rows]
    read = [_understood(graph, row) for row in rows]
    marked = [place for place, row in enumerate(rows) if row["facts"] and row["note"] != "odd"]
    scores = np.array([gains(graph, rows[place]["facts"].split("|"), found[place]) for place in marked])
    named = [place for place in marked if rows[place]["named"]]
    first = [bool(found[place]) and _is_of(graph, found[place][0], rows[place]["named"]) for place in named]
    out = [one.in_scope for one, row in zip(read, rows, strict=True) if row["intent"] == "out"]
    within = [one.in_scope for one, row in zip(read, rows, strict=True) if row["intent"] != "out"]
    meant = [read[place].intent == rows[place]["intent"] for place in marked]
    figures: Figures = {
        "n": len(rows),
        "fused": {"recall@8": _with_interval(scores[:, 0]), "nDCG@8": _with_interval(scores[:, 1])},
        "named first": _share(sum(first), len(first)),
        "intent": _share(sum(meant), len(meant)),
        "out of scope seen": _share(out.count(False), len(out)),
        "in scope refused": _share(within.count(False), len(within)),
    }
    return figures, [_missed(graph, rows[p], found[p], s) for p, s in zip(marked, scores[:, 0], strict=True) if s < 1]


def earlier_of(row: Row) -> list[str]:
    return [question for question in row.get("earlier", "").split(" || ") if question]


def _understood(graph: Graph, row: Row) -> Understood:
    return understand(
        graph,
        row["question"],
        earlier=earlier_of(row),
        differential=differential_of(row),
        context=context_of(row),
    )


def _is_of(graph: Graph, fact_id: str, condition: str) -> bool:
    fact, own = graph.fact(fact_id), {condition, *graph.family(condition), *graph.ancestors(condition)}
    return bool({fact.subject, fact.object} & own)


# --- aspects ----------------------------------------------------------------------------


def score_aspects(graph: Graph, rows: Sequence[Row]) -> Scored:
    """Which aspect is heard first. "right" and "wrong" of the questions that are about one, where the others are heard
    as about none; "heard" of those that are about none.
    """
    heard = [next(iter(understand(graph, row["question"]).aspects), "") for row in rows]
    pairs = [(row["aspect"], found) for row, found in zip(rows, heard, strict=True)]
    about = [pair for pair in pairs if pair[0]]
    none = [found for marked, found in pairs if not marked]
    figures: Figures = {
        "n": len(rows),
        "right": _share(sum(marked == found for marked, found in about), len(about)),
        "wrong": _share(sum(found not in (marked, "") for marked, found in about), len(about)),
        "none, heard": _share(len(none) - none.count(""), len(none)),
    }
    wrong = zip(rows, heard, strict=True)
    return figures, [
        f"{row['aspect']} {found or '-'}: {row['question']}" for row, found in wrong if found != row["aspect"]
    ]


# --- linking ----------------------------------------------------------------------------


def score_linking(graph: Graph, rows: Sequence[Row]) -> Scored:
    """Span and id together; negation among the links that are right; false links on texts that name nothing."""
    hits = found_in_all = marked_in_all = right_negation = 0
    silent: dict[str, Counter[str]] = defaultdict(Counter)
    errors = []
    for row in rows:
        marked = spans_of(row)
        found = {(mention.start, mention.end): mention for mention in link(graph, row["text"])}
        right = {span for span, (ids, _) in marked.items() if span in found and found[span].id in ids}
        hits += len(right)
        found_in_all += len(found)
        marked_in_all += len(marked)
        right_negation += sum(found[span].negated == marked[span][1] for span in right)
        if not marked:
            kind = "other sense" if OTHER_SENSE in row["note"] else "names nothing"
            silent[kind] += Counter(texts=1, texts_with_false_links=bool(found), false_links=len(found))
        wrong = [f"+{row['text'][m.start : m.end]}={m.id}" for s, m in sorted(found.items()) if s not in right]
        wrong += [f"-{row['text'][s[0] : s[1]]}={'/'.join(ids)}" for s, (ids, _) in marked.items() if s not in right]
        wrong += [f"not {found[s].text}: {found[s].negated}" for s in right if found[s].negated != marked[s][1]]
        if wrong:
            errors.append(f"{row['id']} {row['text']}  ==> {' '.join(wrong)}")
    figures: Figures = {
        "n": len(rows),
        "mentions": marked_in_all,
        "precision": _share(hits, found_in_all),
        "recall": _share(hits, marked_in_all),
        "F1": _share(2 * hits, found_in_all + marked_in_all),
        "negation": _share(right_negation, hits),
    }
    figures |= {kind: dict(counts) for kind, counts in sorted(silent.items())}
    return figures, errors


def spans_of(row: Row) -> dict[tuple[int, int], tuple[set[str], bool]]:
    """(start, end) -> the ids that are right there, and whether the name is negated.

    Marks follow the text's order, so a word that is there twice is looked for behind the mark before it.
    InputError for a mark that the text does not hold.
    """
    others: dict[str, set[str]] = defaultdict(set)
    for text, key in re.findall(r"also right: ([^;]+?) = ([^;\s]+)", row["note"]):
        others[text].add(key)
    spans: dict[tuple[int, int], tuple[set[str], bool]] = {}
    after = 0
    for mark in json.loads(row["mentions"]):
        start = row["text"].find(mark["text"], after)
        if start < 0:
            raise InputError(f"{row['id']}: {mark['text']!r} is not in the text behind the mark before it.")
        after = start + len(mark["text"])
        spans[start, after] = ({mark["id"], *others[mark["text"]]}, mark["negated"])
    return spans


# --- negation -----------------------------------------------------------------------------


def score_negation(graph: Graph, rows: Sequence[Row]) -> Scored:
    """How often a name is rightly called affirmed, denied, uncertain or seldom, and which was taken for which.

    `graph` plays no part: the names are given, so that words alone decide. Where two readings are fair, a row has both.
    """
    names: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for row in rows:
        names[row["text"]].append((int(row["start"]), int(row["start"]) + len(row["mention"])))
    confusion: dict[str, Counter[str]] = defaultdict(Counter)
    errors = []
    for row in rows:
        start = int(row["start"])
        said = cues.hear(row["text"]).said(start, start + len(row["mention"]), names=names[row["text"]])
        marked = row["status"].split("|")
        confusion[said.status if said.status in marked else marked[0]][said.status] += 1
        if said.status not in marked:
            errors.append(f"{row['id']} {row['text']}  ==> {row['mention']}: {row['status']}, heard {said.status}")
    denied = sum((row == "denied") == (heard == "denied") for row, heard in _pairs(confusion))
    figures: Figures = {
        "n": len(rows),
        "right of four": _share(sum(confusion[status][status] for status in confusion), len(rows)),
        "denied or not": _share(denied, len(rows)),
        "confusion": {status: dict(counts) for status, counts in sorted(confusion.items())},
    }
    return figures, errors


def score_blind_negation(graph: Graph, rows: Sequence[Row]) -> Scored:
    """The same, and for sentences about a diagnosis the verdict: right, silent where one was due, or wrong."""
    figures, errors = score_negation(graph, [row for row in rows if row["mention"]])
    judged: Counter[str] = Counter()
    for row in rows:
        if row["verdict"]:
            given = verdict_of(graph, row | {"sentence": row["text"]})
            how = "right" if given in row["verdict"].split("|") else "silent" if given == "not_covered" else "wrong"
            judged[how] += 1
            errors += [] if how == "right" else [f"{row['id']} {row['text']}  ==> {row['verdict']}, got {given}"]
    return figures | {"verdicts": dict(judged)}, errors


def _pairs(confusion: Mapping[str, Counter[str]]) -> Iterator[tuple[str, str]]:
    for marked, counts in confusion.items():
        yield from ((marked, heard) for heard in counts.elements())


# --- the command ------------------------------------------------------------------------

SCORERS: dict[str, Callable[[Graph, Sequence[Row]], Scored]] = {
    "claims": score_claims,
    "edits": score_claims,
    "model_text": score_claims,
    "retrieval": score_retrieval,
    "asked": score_asked,
    "aspects": score_aspects,
    "linking": score_linking,
    "negation": score_negation,
    "negation_blind": score_blind_negation,
}


def digest(paths: Iterable[Path]) -> str:
    """One hash of several files' contents."""
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in paths)).hexdigest()[:16]


def measured_on(name: str) -> dict[str, str]:
    """Which set and which tables figures are of."""
    tables = (FOLDER / f"{table}.tsv" for table in ("nodes", "edges", "sources", "names"))
    return {"set": digest(SETS / file for file in FILES[name]), "tables": digest(tables)}


def lines_of(figures: Mapping[str, object], *, indent: str = "") -> list[str]:
    """Figures as a reader sees them, one group a line."""
    lines = []
    for name, value in figures.items():
        if isinstance(value, Mapping) and any(isinstance(inner, Mapping) for inner in value.values()):
            lines += [f"{indent}{name}", *lines_of(value, indent=indent + "  ")]
        elif isinstance(value, Mapping):
            lines.append(f"{indent}{name:<17}" + "  ".join(f"{key} {number}" for key, number in value.items()))
        else:
            lines.append(f"{indent}{name:<17}{value}")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Score the graph's code on the labelled sets.")
    parser.add_argument("set", choices=tuple(SCORERS), help="which set")
    parser.add_argument("--part", choices=PARTS, default="all", help="which rows")
    parser.add_argument("--show-errors", action="store_true", help="print every row that went wrong; dev only")
    parser.add_argument("--out", type=Path, default=None, help="JSON that the figures are added to")
    options = parser.parse_args(arguments)
    if options.show_errors and options.part != "dev":
        print("Errors are shown of the part dev alone: the part test is never looked at.", file=sys.stderr)
        return 2
    try:
        figures, errors = SCORERS[options.set](Graph.load(), read_set(options.set, options.part))
    except DermIQError as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join([*(errors if options.show_errors else []), *lines_of(figures)]))
    if options.out is not None:
        _add_to(options.out, options.set, options.part, figures)
    return 0


def _add_to(path: Path, name: str, part: str, figures: Figures) -> None:
    held = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    held.setdefault(name, {})[part] = {**figures, "measured on": measured_on(name)}
    path.write_text(json.dumps(held, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
