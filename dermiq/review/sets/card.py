"""The data card of a frozen set, as Markdown: what is in it, who decided, how well they agree, what was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dermiq.data_sets import DATA_SETS
from dermiq.review.measures.agreement import Estimate
from dermiq.review.measures.quality import Report
from dermiq.review.types import FrozenSet, SetRule
from dermiq.types import Fields

DECIDED_BY = {
    "majority": "the reviewers' votes",
    "adjudication": "an adjudicator",
    "edit": "a correction: the corrected answer is chosen over the one that it corrects",
    "proxy": "the knowledge graph alone, without any vote",
}
COLUMNS = """\
`images` (paths beside this file), `boxes` (top, left, bottom, right of what the model saw), `prompt`, `chosen`,
`rejected`: as TRL's DPO takes them. `margin`: of whoever decided, the share of votes for the chosen answer less the
share against it; 1 of a correction; the graph's own where it decided. `votes`: for the chosen (or corrected) answer,
against it, tie, both bad. `graph`: whether the knowledge graph agrees, and its margin. `models`: whose answers they
are. `group`: patient or lesion; no group is in two splits unless its source had it so. `pair`: its id in the review."""


@dataclass(frozen=True)
class Contents:
    """What is about to be frozen."""

    name: str
    rule: SetRule
    lines: Sequence[Fields]
    left_out: Mapping[str, int]  # why -> pairs


def card_of(found: Contents, report: Report) -> str:
    """All but the heading, which names the version; see `readme_of`. Reviewers are counted, not named."""
    parts = (
        ("What is in it", _contents(found)),
        ("The rule", _rule(found.rule)),
        ("How each pair was decided", _counted(Counter(str(line["decided_by"]) for line in found.lines), DECIDED_BY)),
        ("Reviewers", _reviewers(report)),
        ("Diagnoses", _counted(Counter(str(line["diagnosis"]) or "not known" for line in found.lines))),
        ("Models that answered", _counted(Counter(model for line in found.lines for model in _models(line)))),
        ("Sources and licences", _sources(found.lines)),
        ("Left out", _counted(found.left_out) if found.left_out else "Nothing."),
        ("Columns", COLUMNS),
    )
    return "\n\n".join(f"## {title}\n\n{text}" for title, text in parts) + "\n"


def readme_of(frozen: FrozenSet, deleted: int = 0) -> str:
    """The card of an exported set, with what `datasets.load_dataset` reads of it. `deleted`: pairs without an image."""
    since = f" {deleted} of its pairs are missing here: their images were deleted since." if deleted else ""
    return (
        "---\nconfigs:\n- config_name: default\n  data_files: pairs.parquet\n---\n\n"
        f"# {frozen.name}@{frozen.version}\n\nFrozen on {frozen.made_at:%Y-%m-%d at %H:%M} UTC by {frozen.made_by}. "
        f"SHA-256 of its lines: `{frozen.digest}`.{since}\n\n{frozen.card}"
    )


# --- its parts --------------------------------------------------------------------------


def _contents(found: Contents) -> str:
    splits = Counter(str(line["split"]) for line in found.lines)
    images = {image for line in found.lines for image in line["images"]}
    groups = len({line["group"] for line in found.lines})
    return (
        f"{len(found.lines)} pairs ({splits['train']} train, {splits['val']} val) about {len(images)} images of "
        f"{groups} patients, lesions or, where neither is known, images."
    )


def _rule(rule: SetRule) -> str:
    taken = {
        "majority": "What more than half of the reviewers said, or an adjudicator.",
        "adjudicated": "What all reviewers said, or an adjudicator.",
    }
    said = [taken[rule.rule], f"At least {rule.min_votes} vote(s)."]
    said += [f"A margin of at least {rule.min_margin:g}."] if rule.min_margin else []
    said += ["Corrections are chosen over what they correct." if rule.with_edits else "Corrections are not used."]
    said += ["Pairs without votes are in it as the knowledge graph decides."] if rule.proxy_only else []
    said += ["Pairs with a known answer are left out."] if rule.exclude_gold else []
    return " ".join(said)


def _reviewers(report: Report) -> str:
    """Of everything that was judged when the set was frozen, pairs that were left out among them."""
    people = sum(reviewer.votes > 0 for reviewer in report.reviewers)
    rows = (
        ("Krippendorff's alpha", report.alpha, "pairs judged twice or more"),
        ("All say the same", report.same, "pairs judged twice or more"),
        ("The majority agrees with the graph", report.graph.agreement, "pairs of which both prefer an answer"),
        ("Cohen's kappa with the graph", report.graph.kappa, "the same pairs"),
        ("A repeat says the same", report.repeats.same, "repeats in the other order"),
        ("The left answer is preferred", report.left, "preferences"),
        ("Known answers found", report.gold, "votes"),
    )
    return "\n".join(
        (
            f"{people} reviewer(s) gave {report.votes} votes on {report.pairs} pairs, those that are left out here "
            "among them. 95 % intervals: bootstrap over pairs for the coefficients, Wilson's for shares.\n",
            "| | value | interval | of |\n|---|---|---|---|",
            *(f"| {name} | {_cells(estimate)} | {estimate.n} {of} |" for name, estimate, of in rows),
        )
    )


def _cells(estimate: Estimate) -> str:
    if estimate.value is None:
        return "- | -"
    return f"{estimate.value:.3f} | " + (
        "-" if estimate.low is None or estimate.high is None else f"{estimate.low:.3f} to {estimate.high:.3f}"
    )


def _counted(counts: Mapping[str, int], words: Mapping[str, str] | None = None) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return "\n".join(f"- {(words or {}).get(name, name)}: {count}" for name, count in ordered)


def _models(line: Fields) -> Iterable[str]:
    for model in line["models"].values():
        yield " ".join(filter(None, (model["model"] or "not known", model["revision"])))


def _sources(lines: Sequence[Mapping[str, object]]) -> str:
    named: Counter[str] = Counter()
    for line in lines:
        data_set = DATA_SETS.get(str(line["group"]).partition(":")[0])  # with whose name its groups begin
        images = f"images of {data_set.name}: {data_set.licence}" if data_set else "images: licence not known"
        named[f"{line['source'] or 'not named'} ({images})"] += 1
    return _counted(named)
