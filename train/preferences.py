"""Preferences for DPO, with the knowledge graph in the expert's place: a model's own answers in pairs.

    python -m train.preferences --model nano --data ham10000 --images 60 --out pairs.jsonl
    python -m train.preferences --model runs/NAME --data mine.csv --answers 8 --out pairs.jsonl --json
    python -m train.preferences --model runs/NAME --against nano --out pairs.jsonl     # each pair of both models

Each image is asked about as in a consultation, some are asked a second question; several answers are drawn to each,
scored and paired as `train.scoring.proxy` says. The file has TRL's columns for DPO (images, prompt, chosen, rejected),
and margin, decided_by, reasons, scores, group, split, diagnosis, case, made (model, graph, settings), and models where
there are two; `train.cases.sources` reads it, and `python -m dermiq review import` puts it before reviewers. `boxes`
says which part of an image the model saw: images stay where they are. Beside it lie every answer that was drawn
(`.cases.jsonl`) and what was measured of the images (the folder `.measured`). A command that was stopped goes on from
there when it is given again, and ends with the same files.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dermiq.data_sets import DEFAULT, NAMED
from dermiq.errors import DataError, DermIQError, InputError
from dermiq.files.paths import folder_for
from dermiq.knowledge import Graph, retrieve
from dermiq.knowledge.graph import FOLDER
from dermiq.knowledge.score import digest
from dermiq.types import CLASS_NAMES, Evidence, Fact, Fields, Json
from dermiq.vlm.prompts import assistant_message, follow_up_message
from dermiq.writing import write_whole, writing
from train import options
from train.cases.examples import ChatOptions, Turns
from train.cases.sources import Box, Case, Item, Measured, Row, choose, labelled, lesion_image, read_source
from train.cases.texts import TELL, TREATED, URGENT, WHY_NOT, Asked, first_question
from train.config import resolved_model
from train.options import option
from train.runs.estimate import tokens_of
from train.scoring.proxy import PARTS, Choice, Pair, ProxySettings, Question, Scored, choose_pairs, score

if TYPE_CHECKING:
    from dermiq.vlm.load import VLM

FACTS_LATER = 3  # shown with a second question, as in a consultation
Line = Json


# --- asking -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Answered:
    """One question with all its answers and the pairs among them."""

    text: str  # of the question
    messages: Sequence[Fields]
    answers: tuple[Scored, ...]
    choice: Choice


class Proxy:
    """Asks a model, and lets the graph prefer. The same row always gets the same answers."""

    def __init__(
        self,
        vlm: VLM,
        measured: Measured,
        settings: ProxySettings,
        chat: ChatOptions,
        *,
        seed: int,
        graph: Graph,
        against: VLM | None = None,
    ) -> None:
        self.measured, self.graph = measured, graph
        self.settings, self.chat, self.seed = settings, chat, seed
        self._writers = [_Writer(one, settings) for one in (vlm, against) if one is not None]

    def image(self, row: Row) -> np.ndarray:
        """What the model sees of it: (H, W, 3) uint8."""
        return np.asarray(lesion_image(row.image, self.box(row)))

    def box(self, row: Row) -> Box | None:
        return self.measured.of(row.image).window if self.chat.window else None

    def ask(self, row: Row) -> list[Answered]:
        """The first question, and perhaps a second one behind a right answer to it."""
        name = Path(row.image).name  # the same wherever the data lies
        case, asked, rng = opening(row, self.measured, self.chat, seed=self.seed, graph=self.graph)
        later, goes_on = _later_question(asked.order, rng), rng.random() < self.settings.follow_up_share
        image = self.image(row)
        question = Question(row.label, case.findings, _numbered(asked.evidence))
        first = self._answered(asked.messages, question, image, seed=f"{self.seed}:{name}:first")
        right = _to_go_on_from(first)
        if not goes_on or right is None:
            return [first]
        return [first, self._second(case, asked, later, right, image, seed=f"{self.seed}:{name}:second")]

    def _second(
        self, case: Case, asked: Asked, later: str, before: Scored, image: np.ndarray, *, seed: str
    ) -> Answered:
        messages, new = going_on(self.graph, case, asked, later, before.text)
        question = Question(
            case.label,
            case.findings,
            {**_numbered(asked.evidence), **_numbered(new)},
            text=later,
            given=tuple(item.fact for item in new.items),
            is_follow_up=True,
            earlier=(before.text,),
        )
        return self._answered(messages, question, image, seed=seed)

    def _answered(
        self, messages: Sequence[Mapping[str, object]], question: Question, image: np.ndarray, *, seed: str
    ) -> Answered:
        answers = tuple(
            replace(score(self.graph, text, question, ended=ended), model=number)
            for number, writer in enumerate(self._writers)
            for text, ended in writer(messages, image, f"{seed}:against" if number else seed)
        )
        return Answered(_asked_text(messages), messages, answers, choose_pairs(answers, self.settings))


class _Writer:
    """Draws a model's answers."""

    def __init__(self, vlm: VLM, settings: ProxySettings) -> None:
        from dermiq.vlm.drafts import SamplingSettings
        from train.rl.rollout import Sampler  # PyTorch takes seconds to load

        self._vlm, self._count, self._sampler = vlm, settings.answers, Sampler(vlm.model)
        self._sampling = SamplingSettings.of(
            vlm, new_tokens=settings.new_tokens, temperature=settings.temperature, top_p=settings.top_p
        )

    def __call__(self, messages: Sequence[Fields], image: np.ndarray, seed: str) -> list[tuple[str, bool]]:
        """Texts, and whether each ended by itself."""
        prompt = self._vlm.encoder.encode(messages, [image])
        number = random.Random(seed).getrandbits(48)
        rollout = self._sampler.sample(prompt.inputs, self._count, self._sampling, seed=number)
        texts = rollout.texts(self._vlm.processor.tokenizer)
        return list(zip(texts, rollout.finished.tolist(), strict=True))


def opening(
    row: Row, measured: Measured, chat: ChatOptions, *, seed: int, graph: Graph
) -> tuple[Case, Asked, random.Random]:
    """The first question about a row, and what else about it is drawn with."""
    rng = random.Random(f"{seed}:{Path(row.image).name}")
    case = Case(row, measured.of(row.image))
    asked = first_question(case, graph, rng, told=chat.told_share, facts=chat.facts, question=row.question)
    return case, asked, rng


def going_on(graph: Graph, case: Case, asked: Asked, later: str, answer: str) -> tuple[list[Json], Evidence]:
    """A second question behind an answer to the first, and the facts that are shown with it."""
    from dermiq.consultation import renumbered  # PyTorch takes seconds to load

    found = retrieve(
        graph,
        later,
        differential=[case.label, asked.order[0]],
        context=asked.context,
        findings=case.findings,
        k=FACTS_LATER,
    )
    new = renumbered(found, after=len(asked.evidence.items))
    return [*asked.messages, assistant_message(answer), follow_up_message(new, later)], new


def longest_question(
    vlm: VLM, rows: Iterable[Row], measured: Measured, settings: ProxySettings, chat: ChatOptions, *, seed: int
) -> int:
    """Tokens of what is asked about any of the rows, image and a first answer of full length included."""
    graph, turns, longest = Graph.load(), Turns(vlm), 0
    for row in rows:
        case, asked, rng = opening(row, measured, chat, seed=seed, graph=graph)
        messages, before = asked.messages, 0
        if settings.follow_up_share:
            messages, _ = going_on(graph, case, asked, _later_question(asked.order, rng), "")
            before = settings.new_tokens
        image = lesion_image(row.image, measured.of(row.image).window if chat.window else None)
        longest = max(longest, before + tokens_of(vlm, turns(messages), [image]))
    return longest


def _later_question(order: Sequence[str], rng: random.Random) -> str:
    return rng.choice(rng.choice((WHY_NOT, TELL, URGENT, TREATED))).format(other=CLASS_NAMES[rng.choice(order[:3])])


def _numbered(evidence: Evidence) -> dict[int, Fact]:
    return {item.number: item.fact for item in evidence.items}


def _asked_text(messages: Sequence[Fields]) -> str:
    text = str(messages[-1]["content"][-1]["text"])
    return next((line for line in text.splitlines() if line.startswith("Question: ")), text).removeprefix("Question: ")


def _to_go_on_from(first: Answered) -> Scored | None:
    """The preferred answer; without a pair the first that is right and whole."""
    if first.choice.pairs:
        return first.choice.pairs[0].chosen
    return next((answer for answer in first.answers if answer.ended and answer.parts["correctness"] == 1.0), None)


# --- the files --------------------------------------------------------------------------


def cases_file(file: Path) -> Path:
    return file.with_name(f"{file.stem}.cases.jsonl")


class Pairs:
    """The two files: a case's pairs are on the disk before the line that says that the case is done."""

    def __init__(self, file: Path, made: Fields) -> None:
        """Opens them, begun or not. DataError where they are of another model, graph or setting."""
        self.file, self.cases = file, cases_file(file)
        self.made = json.loads(json.dumps(made))
        folder_for(file)
        if file.exists() and not self.cases.exists():
            raise DataError(f"{file} exists, but {self.cases.name} beside it does not: name another file.")
        lines = _whole_lines(self.cases)
        if not lines:
            lines = [_dumped({"made": self.made})]
        self._refuse_other(json.loads(lines[0]).get("made", {}))
        write_whole(self.cases, "".join(lines))
        self.done = {json.loads(line)["case"] for line in lines[1:]}
        kept = [line for line in _whole_lines(file) if json.loads(line).get("case") in self.done]
        write_whole(file, "".join(kept))

    def _refuse_other(self, begun: Mapping[str, object]) -> None:
        ours, theirs = _flat(self.made), _flat(begun)
        other = sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))
        if other:
            name = other[0]
            raise DataError(
                f"{self.file} was begun with another {name} ({theirs.get(name)}, now {ours.get(name)}): name another "
                f"file, or delete it and {self.cases.name}."
            )

    def add(self, case: Line, pairs: Sequence[Line]) -> None:
        with writing(self.file, "Free some space there: the same command goes on."):
            _append(self.file, pairs)
            _append(self.cases, [case])
        self.done.add(case["case"])

    def lines(self) -> list[Line]:
        """Of all cases that are done."""
        return [json.loads(line) for line in _whole_lines(self.cases)[1:]]


def _whole_lines(path: Path) -> list[str]:
    """Without a last line that was being written, and without one that a power loss tore."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="\n") as file:  # some characters of a text end a line for `splitlines`
        return [line for line in file if _is_whole(line)]


def _is_whole(line: str) -> bool:
    try:
        return line.endswith("\n") and isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _append(path: Path, lines: Sequence[Line]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(map(_dumped, lines)))
        file.flush()
        os.fsync(file.fileno())


def _dumped(line: Line) -> str:
    return json.dumps(line) + "\n"  # in ASCII: some characters of a text would end a line for some readers


def _flat(values: Mapping[str, object], prefix: str = "") -> Json:
    flat: Json = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def provenance(vlm: VLM, settings: ProxySettings, chat: ChatOptions, *, seed: int, against: VLM | None = None) -> Line:
    """What the pairs depend on besides the images. Folders are named without their path."""
    own = {entry.name: getattr(settings, entry.name) for entry in fields(ProxySettings) if entry.name != "weights"}
    return {
        **_named(vlm),
        **({"against": _named(against)} if against else {}),
        "graph": digest(FOLDER / f"{table}.tsv" for table in ("nodes", "edges", "sources")),
        "settings": {
            **own,
            "weights": asdict(settings.weights),
            **{entry.name: getattr(chat, entry.name) for entry in fields(ChatOptions)},
            "seed": seed,
        },
    }


def _named(vlm: VLM) -> Line:
    names = [Path(part).name if Path(part).exists() else part for part in vlm.name.split(" + ")]
    return {"model": " + ".join(names), "revision": vlm.revision}


def write_pairs(
    rows: Sequence[Item],
    vlm: VLM,
    measured: Measured,
    settings: ProxySettings,
    chat: ChatOptions,
    *,
    file: Path,
    seed: int,
    split: str = "train",
    against: VLM | None = None,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Summary:
    """Adds the pairs of all rows that the file does not have yet, case by case, until `stop()`.

    With `against`, a second model, both answer, and each pair is of one's answer and the other's. `progress` is told
    how many of the rows are done. Rows of several splits may go into one file, split by split.
    DataError for rows without one of the seven labels, and for a file that was begun otherwise.
    """
    asked = labelled(rows)
    pairs = Pairs(file, provenance(vlm, settings, chat, seed=seed, against=against))
    names = {_file_name(row.image, file): row for row in asked}
    left = {name: row for name, row in names.items() if name not in pairs.done}
    progress(len(names) - len(left), len(names))
    if left and not stop():
        proxy = Proxy(vlm, measured, settings, chat, seed=seed, graph=Graph.load(), against=against)
        turns = Turns(vlm)
        for number, (name, row) in enumerate(left.items(), 1):
            asked_of = proxy.ask(row)
            shared = {"case": name, "split": split, "group": row.group, "diagnosis": row.label}
            shown = {"images": [name], **({"boxes": [list(box)]} if (box := proxy.box(row)) else {})}
            lines = [{**shown, **line, **shared} for line in _pair_lines(asked_of, turns, pairs.made)]
            pairs.add({**shared, "questions": [_question_line(answered) for answered in asked_of]}, lines)
            progress(len(names) - len(left) + number, len(names))
            if stop():
                break
    return summarised(pairs.lines(), left=sum(name not in pairs.done for name in names))


def _file_name(image: str, file: Path) -> str:
    """Relative where it lies beside or below the file, so that both can be moved together."""
    path, folder = Path(image).resolve(), file.resolve().parent
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


def _pair_lines(asked: Sequence[Answered], turns: Turns, made: Line) -> Iterator[Line]:
    for answered in asked:
        for pair in answered.choice.pairs:
            yield {
                "prompt": turns(answered.messages),
                "chosen": turns([assistant_message(pair.chosen.text)]),
                "rejected": turns([assistant_message(pair.rejected.text)]),
                "margin": pair.margin,
                "decided_by": pair.decided_by,
                "reasons": list(pair.reasons),
                "scores": {"chosen": dict(pair.chosen.parts), "rejected": dict(pair.rejected.parts)},
                **_models(pair, made),
                "question": answered.text,
                "made": made,
            }


def _models(pair: Pair, made: Line) -> Line:
    """Whose the two answers are, where two models answered."""
    if "against" not in made:
        return {}
    both = ({"model": made["model"], "revision": made["revision"]}, made["against"])
    return {"models": {"chosen": both[pair.chosen.model], "rejected": both[pair.rejected.model]}}


def _question_line(answered: Answered) -> Line:
    answers = answered.answers
    return {
        "question": answered.text,
        "answers": [_answer_line(answer) for answer in answers],
        "pairs": [
            {
                "chosen": answers.index(pair.chosen),
                "rejected": answers.index(pair.rejected),
                "margin": pair.margin,
                "decided_by": pair.decided_by,
            }
            for pair in answered.choice.pairs
        ],
        "dropped": dict(answered.choice.dropped),
    }


def _answer_line(answer: Scored) -> Line:
    told = {"text": answer.text, "ended": answer.ended, "words": answer.words, "parts": dict(answer.parts)}
    return {**told, "against": True} if answer.model else told


# --- summary ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Summary:
    """What a file holds. Shares are of 1; None where there is nothing to count."""

    cases: int
    left: int  # that were asked for and are not done
    cases_with_pair: int
    questions: int
    follow_ups: int
    answers: int
    cut_off: int
    right: float | None  # share of first answers with the label's diagnosis
    pairs: int
    dropped: Mapping[str, int]  # any two answers that are no pair, by reason
    margin: float | None  # mean
    decided_by: Mapping[str, int]
    judged: Mapping[str, float | None]  # by part: share of answers
    chosen: Mapping[str, float | None]  # by part: mean over the pairs where it could be judged
    rejected: Mapping[str, float | None]
    words_chosen: float | None
    words_rejected: float | None
    chosen_longer: float | None  # share of pairs
    chosen_against: float | None  # share of pairs whose chosen answer is the second model's; None without one


def summarised(lines: Sequence[Line], *, left: int = 0) -> Summary:
    """Of the lines of `.cases.jsonl`."""
    questions = [question for line in lines for question in line["questions"]]
    answers = [answer for question in questions for answer in question["answers"]]
    pairs = [(question, pair) for question in questions for pair in question["pairs"]]
    sides = {side: [question["answers"][pair[side]] for question, pair in pairs] for side in ("chosen", "rejected")}
    first = [answer for line in lines for answer in line["questions"][0]["answers"]]
    return Summary(
        cases=len(lines),
        left=left,
        cases_with_pair=sum(any(question["pairs"] for question in line["questions"]) for line in lines),
        questions=len(questions),
        follow_ups=len(questions) - len(lines),
        answers=len(answers),
        cut_off=sum(not answer["ended"] for answer in answers),
        right=_mean([answer["parts"]["correctness"] for answer in first]),
        pairs=len(pairs),
        dropped=dict(sum((Counter(question["dropped"]) for question in questions), Counter()).most_common()),
        margin=_mean([pair["margin"] for _, pair in pairs]),
        decided_by=dict(Counter(pair["decided_by"] for _, pair in pairs).most_common()),
        judged={part: _mean([float(answer["parts"][part] is not None) for answer in answers]) for part in PARTS},
        chosen={part: _mean([answer["parts"][part] for answer in sides["chosen"]]) for part in PARTS},
        rejected={part: _mean([answer["parts"][part] for answer in sides["rejected"]]) for part in PARTS},
        words_chosen=_mean([answer["words"] for answer in sides["chosen"]]),
        words_rejected=_mean([answer["words"] for answer in sides["rejected"]]),
        chosen_longer=_mean(
            [float(one["words"] > two["words"]) for one, two in zip(sides["chosen"], sides["rejected"], strict=True)]
        ),
        chosen_against=_mean([float(answer.get("against", False)) for answer in sides["chosen"]])
        if any(answer.get("against") for answer in answers)
        else None,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    judged = [value for value in values if value is not None]
    return round(statistics.fmean(judged), 3) if judged else None


def described(summary: Summary) -> str:
    """The summary as a reader sees it."""
    lines = [
        f"{summary.cases} cases ({summary.left} left), {summary.cases_with_pair} of them with a pair; "
        f"{summary.follow_ups} were asked a second question.",
        f"{summary.answers} answers, {summary.cut_off} cut off; {_shown(summary.right)} of the first are right.",
        f"{summary.pairs} pairs, mean margin {_shown(summary.margin)}; words: chosen {_shown(summary.words_chosen)}, "
        f"rejected {_shown(summary.words_rejected)}, chosen longer in {_shown(summary.chosen_longer)}.",
        "No pair: " + (", ".join(f"{why} {count}" for why, count in summary.dropped.items()) or "none") + ".",
        f"{'part':<14}{'decided':>8}{'judged':>8}{'chosen':>8}{'rejected':>9}",
    ]
    if summary.chosen_against is not None:
        lines.insert(
            3, f"The second model's answer is the chosen one in {_shown(summary.chosen_against)} of the pairs."
        )
    for part in PARTS:
        means = f"{_shown(summary.judged[part]):>8}{_shown(summary.chosen[part]):>8}{_shown(summary.rejected[part]):>9}"
        lines.append(f"{part:<14}{summary.decided_by.get(part, 0):>8}{means}")
    return "\n".join(lines)


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


# --- the command ------------------------------------------------------------------------


@dataclass(frozen=True)
class Options(ChatOptions, ProxySettings):
    model: str = option("nano", "a model of the hub, a folder, a run's name, or nano: DermIQ-Nano")
    against: str = option("", "a second model, which answers the same; each pair is of both. Empty: one model alone")
    load_in_4bit: bool = option(False, "keep the weights in 4 bits")
    device: str = option("", "cpu, cuda, cuda:1, mps; empty: a GPU when there is one")
    threads: int = option(0, "of the CPU; 0: as many as it has", minimum=0)
    data: tuple[str, ...] = option(DEFAULT, f"{NAMED} or CSV (image, label)")
    labels: str = option("classes", "known: leave out rows whose label fits no class", choices=("classes", "known"))
    data_folder: str = option("", f"that holds {NAMED}; empty: DERMIQ_DATA")
    split: str = option("train", "of the data", choices=("train", "val"))
    images: int = option(60, "that are asked about, every class alike while it lasts; 0: all", minimum=0)
    seed: int = option(1, "of everything that is drawn", minimum=0)
    out: str = option("", "the JSONL file of pairs; one that was begun is gone on with")
    json: bool = option(False, "print the summary as JSON")


def run(config: Options) -> Summary:
    """Raises DermIQError for what cannot be done, before the model is loaded where that can be known."""
    from dermiq.vlm.load import load_vlm  # PyTorch takes seconds to load

    file = Path(config.out).expanduser()
    if file.suffix != ".jsonl":
        raise InputError(f"out is {config.out!r}; it must name a .jsonl file, such as --out pairs.jsonl.")
    folder_for(file)
    read = partial(read_source, labels=config.labels, say=partial(print, file=sys.stderr))
    found = [row for source in config.data for row in read(source, config.split, config.data_folder)]
    rows = choose(labelled(found), config.images, config.seed)
    if not rows:
        raise DataError(f"There is nothing to ask about in {', '.join(config.data) or 'no data'} ({config.split}).")
    names = [resolved_model(config.model), *([resolved_model(config.against)] if config.against else [])]
    if len(set(names)) < len(names):
        raise InputError("against names the same model: name another one, or leave it out.")
    if config.threads:
        import torch

        torch.set_num_threads(config.threads)
    vlm, *others = [
        load_vlm(name, load_in_4bit=config.load_in_4bit, device=config.device or None, fast=False) for name in names
    ]
    for one in (vlm, *others):
        one.model.requires_grad_(False)  # nothing trains here: the decoder may share the weights
    measured = Measured(file.with_name(f"{file.stem}.measured"))
    return write_pairs(
        rows,
        vlm,
        measured,
        config,
        config,
        file=file,
        seed=config.seed,
        split=config.split,
        against=others[0] if others else None,
        progress=_Clock(),
    )


class _Clock:
    """After each case a line on standard error, with the time that is left."""

    def __init__(self) -> None:
        self._begun: tuple[float, int] | None = None

    def __call__(self, done: int, total: int) -> None:
        if self._begun is None:
            self._begun = time.perf_counter(), done
            print(f"{done} of {total} cases are done already." if done else f"{total} cases.", file=sys.stderr)
            return
        started, before = self._begun
        each = (time.perf_counter() - started) / (done - before)
        left = each * (total - done)
        print(
            f"{done} of {total} cases, {each:.1f} s each, about {left / 60:.0f} min left", file=sys.stderr, flush=True
        )


def main(argv: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    try:
        config = options.load(Options, arguments, prog="python -m train.preferences", description=__doc__ or "")
        summary = run(config)
    except DermIQError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from here.", file=sys.stderr)
        return 130
    print(json.dumps(asdict(summary), ensure_ascii=False) if config.json else described(summary))
    return 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    sys.exit(main())
