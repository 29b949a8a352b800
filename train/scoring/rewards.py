"""What a completion earns, by part: format, correctness, semantic alignment, consistency, length, an expert's word.

Each part is a small function from the completion and the case to a number in [0, 1], or None for "cannot judge".
What the model could have said and did not is 0, not None, so that silence never pays. `Rewarder` weighs the parts
into a `Reward`, which keeps them, and hands them to TRL's `GRPOTrainer` as one reward function a part. To add a part,
add a `part` to `RewardSettings`: options, checks, columns of the metrics and the page follow from it. Knows the graph
and the agreed form, no trainer.

The parts follow "Toward Effective Reinforcement Learning Fine-Tuning for Medical VQA in Vision-Language Models"
(arXiv 2505.13973), whose full text was not at hand: the equations below are this project's own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from dermiq.answering import Known, answers, plan
from dermiq.answering.judge import own_alternative
from dermiq.errors import DataError, ModelError
from dermiq.knowledge import Graph, check_claims, link
from dermiq.knowledge.language.text import split_sentences, words
from dermiq.knowledge.retrieve.understand import Understood, understand
from dermiq.types import CLASSES, Claim, Fields, Finding, ParsedText
from dermiq.vlm.hub import Model, Tokenizer
from dermiq.vlm.parse import BARE_ANSWER, NO_ANSWER, NO_THINK, OPEN_ANSWER, OPEN_THINK, SECTIONS, parse
from train.options import option

LENGTH_REWARDS = ("none", "ecr", "cwr")
LONGEST_ANSWER = 200  # characters; what is longer is no answer
LONGEST_TEXT = 20_000  # characters of a reasoning that are read
LONGEST_SENTENCE = 60  # words; a longer one is not read: a model that stumbles writes them, and they cost seconds
MOST_SENTENCES = 60
NEAR = 40  # diagnoses below a parent at most, for it to be near: "skin neoplasm" is no better than no answer


@dataclass(frozen=True)
class Part:
    """One part of the reward. Its name is that of its weight in `RewardSettings`."""

    judge: Callable[[Completion], float | None]  # 0 to 1; None: cannot be judged
    title: str  # what the page calls it, behind "Weight of"
    help: str
    counts: Callable[[RewardSettings], bool]  # besides a weight above 0


def part(
    weight: float,
    help: str,
    *,
    title: str,
    judge: Callable[[Completion], float | None],
    counts: Callable[[RewardSettings], bool] = lambda settings: True,
) -> Any:
    """A field of `RewardSettings`: the weight of a part, and how it is judged."""
    return field(default=weight, metadata={"help": help, "part": Part(judge, title, help, counts)})


@dataclass(frozen=True)
class RewardSettings:
    """The weights of the parts, and what the parts need to know. A part of weight 0 is left out."""

    correctness: float = part(
        1.0, "the diagnosis is the label's", title="correctness", judge=lambda one: one.correctness
    )
    format: float = part(
        0.2,
        "reasoning and answer in the agreed form",
        title="the form",
        judge=lambda one: format_reward(one.text, one.parsed),
    )
    semantic: float = part(
        0.3,
        "statements that the graph supports",
        title="facts",
        judge=lambda one: semantic_reward(one.graph, one.parsed, one.case, statements=one.settings.statements),
    )
    consistency: float = part(
        0.1,
        "the reasoning leads to the answer",
        title="consistency",
        judge=lambda one: consistency_reward(one.graph, one.parsed),
    )
    length: float = part(
        0.1,
        "reasoning that is long enough; counts only with a length_reward",
        title="length",
        judge=lambda one: length_reward(
            one.parsed, one.settings.length_reward, correctness=one.correctness, full=one.settings.length_words
        ),
        counts=lambda settings: settings.length_reward != "none",
    )
    expert: float = part(
        0.2,
        "what a second model thinks of the reasoning; counts only with an expert_model",
        title="the expert",
        judge=lambda one: one.expert(one.parsed),
        counts=lambda settings: bool(settings.expert_model),
    )
    answers: float = part(
        0.0,
        "the text makes the points that a good answer to the question makes",
        title="answering",
        judge=lambda one: answers_reward(one.graph, one.parsed, one.case),
    )
    parent_credit: float = 0.0  # correctness of an answer that names what the diagnosis is a kind of; below 1
    sibling_credit: float = 0.0  # correctness of an answer that names another kind of the same; below 1
    statements: int = 4  # different supported statements from which the semantic reward is full
    length_reward: str = option(
        "none",
        "ecr: longer reasoning earns more; cwr: the same, of right answers alone; none: it does not count",
        choices=LENGTH_REWARDS,
    )
    length_words: int = 150  # words of reasoning from which the length reward is full
    expert_model: str = ""  # a causal language model of the hub, or a folder: "microsoft/biogpt"
    prefill: str = ""  # what is written for the model at the start of every completion

    def __post_init__(self) -> None:
        for name in PARTS:
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"The weight of {name} is {getattr(self, name)}; it must be 0 or more.")
        for name in ("parent_credit", "sibling_credit"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 0 and less than the truth's 1.")
        if self.length_reward not in LENGTH_REWARDS:
            raise ValueError(f"length_reward is {self.length_reward!r}; known are {', '.join(LENGTH_REWARDS)}.")
        for name in ("statements", "length_words"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        if not self.parts:
            raise ValueError("Every part has the weight 0: nothing would be rewarded.")

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that are computed, in the order of PARTS."""
        return tuple(name for name, part in PARTS.items() if getattr(self, name) > 0 and part.counts(self))

    @property
    def weights(self) -> tuple[float, ...]:
        """The weights of `parts`: what TRL calls `reward_weights`."""
        return tuple(float(getattr(self, part)) for part in self.parts)


PARTS: Mapping[str, Part] = {f.name: f.metadata["part"] for f in fields(RewardSettings) if "part" in f.metadata}


@dataclass(frozen=True)
class CaseFacts:
    """What is known of the case: its diagnosis (class code, graph id or any name; None without label), what was
    measured."""

    diagnosis: str | None
    findings: tuple[Finding, ...] = ()
    question: str = ""  # in words; "": why it is read so
    earlier: tuple[str, ...] = ()  # the answers before it, in the same case


@dataclass(frozen=True)
class Reward:
    """What one completion earned, by part."""

    parts: Mapping[str, float | None]
    weights: Mapping[str, float]

    @property
    def total(self) -> float | None:
        """Weighted sum of the parts that could be judged, as in TRL; None where none could."""
        judged = [self.weights[name] * value for name, value in self.parts.items() if value is not None]
        return sum(judged) if judged else None


# --- format ------------------------------------------------------------------------------


def format_reward(text: str, parsed: ParsedText) -> float:
    """The share met of six demands: one closed <think> block, each of its four steps, one closed <answer>."""
    low = text.lower()
    thinks = low.count("<think") == 1 and not {NO_THINK, OPEN_THINK} & set(parsed.problems)
    answers = low.count("<answer") == 1 and not {NO_ANSWER, BARE_ANSWER, OPEN_ANSWER} & set(parsed.problems)
    steps = sum(bool(getattr(parsed, name)) for name in SECTIONS)
    return (thinks + steps + (answers and bool(parsed.answer))) / (2 + len(SECTIONS))


# --- correctness ---------------------------------------------------------------------------


def diagnosis_id(graph: Graph, label: str) -> str:
    """The graph's id of a label: class code, id, name, synonym or abbreviation. DataError where there is none."""
    found = graph.diagnosis(label)
    if found is None:
        raise DataError(f"The graph has no diagnosis {label!r}: map the label to a class code, an id or a known name.")
    return found.id


def named(graph: Graph, text: str) -> tuple[str, ...]:
    """The ids of the diagnoses that a short text names and does not deny, in order, each once."""
    plain = text.strip(" \n\t.*\"'")
    if len(plain) > LONGEST_ANSWER:
        return ()
    whole = graph.diagnosis(plain) or graph.diagnosis(plain.lower())
    if whole:
        return (whole.id,)
    mentions = [m for m in link(graph, plain) if graph.node(m.id).kind == "Disease" and not m.negated]
    return tuple(dict.fromkeys(mention.id for mention in mentions))


def correctness_reward(
    graph: Graph, parsed: ParsedText, case: CaseFacts, *, parent: float = 0.0, sibling: float = 0.0
) -> float | None:
    """1 where the answer names the case's diagnosis: any name of it, or a subtype; None where the case has no label.

    `parent` is what the diagnosis one step above it earns, `sibling` what one beside it does. Neither is earned
    across the line between benign and malignant. An answer that names several different diagnoses is wrong.
    """
    if case.diagnosis is None:
        return None
    truth = diagnosis_id(graph, case.diagnosis)
    answers = named(graph, parsed.answer)
    if any(_is_truth(graph, answer, truth) for answer in answers):
        above = graph.ancestors(truth)
        return float(all(_is_truth(graph, answer, truth) or answer in above for answer in answers))
    if len(answers) != 1 or _opposed(graph, answers[0], truth):
        return 0.0
    parents = _parents(graph, truth)
    if answers[0] in parents:
        return parent
    return sibling if parents & _parents(graph, answers[0]) else 0.0


def _is_truth(graph: Graph, answer: str, truth: str) -> bool:
    """The diagnosis itself, one of its subtypes, or, where the truth is a whole class, another member of it."""
    code = graph.class_code(truth)
    is_class = code in CLASSES and graph.class_node(str(code)) == truth
    return answer in graph.family(truth) or (is_class and graph.class_code(answer) == code)


def _parents(graph: Graph, node_id: str) -> set[str]:
    above = {fact.object for fact in graph.facts(node_id, "is_a")}
    return {key for key in above if len(graph.family(key)) <= NEAR}


def _opposed(graph: Graph, one: str, other: str) -> bool:
    """Whether one only behaves in ways in which the other never does."""
    ways = [{fact.object for fact in graph.facts(key, "behaves_as", family=True)} for key in (one, other)]
    return bool(ways[0] and ways[1]) and not ways[0] & ways[1]


# --- semantic alignment ------------------------------------------------------------------------


def semantic_reward(graph: Graph, parsed: ParsedText, case: CaseFacts, *, statements: int = 4) -> float | None:
    """Whether the reasoning says true things about this case: s / (s + c) * min(1, s / statements).

    s counts different statements that are supported: measured findings, and facts of the graph about the case's
    diagnosis (the answered one where the case has no label); c counts contradicted sentences. The first factor is
    the accuracy of what was said, the second asks for enough of it. Saying one thing again, in the same words or in
    others, adds nothing; nor do true sentences about other diagnoses. No reasoning is 0; None where nothing that was
    said can be judged.
    """
    text = parsed.reasoning or parsed.prose
    if not text:
        return 0.0
    topic = diagnosis_id(graph, case.diagnosis) if case.diagnosis is not None else None
    topic = topic or next(iter(named(graph, parsed.answer)), None)
    claims = check_claims(graph, distinct_sentences(text), findings=case.findings, diagnosis=topic)
    decided = [claim for claim in claims if claim.verdict != "not_covered"]
    if not decided:
        return None
    supported = _supported(graph, decided, topic)
    contradicted = sum(claim.verdict == "contradicted" for claim in decided)
    if not supported:
        return 0.0
    return supported / (supported + contradicted) * min(1.0, supported / statements)


def distinct_sentences(text: str) -> str:
    """The sentences, each once, without those too long to be read."""
    seen: dict[tuple[str, ...], str] = {}
    for sentence in split_sentences(text[:LONGEST_TEXT]):
        key = words(sentence)
        if len(key) <= LONGEST_SENTENCE:
            seen.setdefault(key, sentence)
    return "\n".join(list(seen.values())[:MOST_SENTENCES])


def _supported(graph: Graph, claims: Sequence[Claim], topic: str | None) -> int:
    """Different measured findings, and sentences that bring a new fact about the topic."""
    family = set(graph.family(topic)) if topic else set()
    findings: set[str] = set()
    told: set[tuple[str, str, str]] = set()
    brought = 0
    for claim in claims:
        if claim.verdict == "supported":
            findings |= set(claim.finding_codes)
            facts = [graph.fact(key) for key in claim.fact_ids]
            new = {(f.subject, f.relation, f.object) for f in facts if {f.subject, f.object} & family} - told
            brought += bool(new)
            told |= new
    return len(findings) + brought


# --- answering ------------------------------------------------------------------------------------


def answers_reward(graph: Graph, parsed: ParsedText, case: CaseFacts) -> float | None:
    """The share of the points that a good answer makes, times that of sentences to the point, none of them said before.

    The points are those of `dermiq.answering`: for a first answer the findings that weigh most for and against the
    diagnosis (the case's, else the answered one), for a later question what it asks for. Nothing said is 0; None where
    there is no diagnosis, or the question is out of scope.
    """
    text = f"{parsed.reasoning}\n{parsed.prose}".strip()
    topic = diagnosis_id(graph, case.diagnosis) if case.diagnosis is not None else None
    lead = graph.diagnosis(topic or next(iter(named(graph, parsed.answer)), ""))
    if lead is None:
        return None
    asked = understand(graph, case.question, differential=[lead.id]) if case.question else _why(lead.id)
    if not asked.in_scope:
        return None
    said = distinct_sentences(text)
    claims = check_claims(graph, said, findings=case.findings, diagnosis=lead.id)
    planned = plan(graph, asked, Known(lead, findings=case.findings, earlier=case.earlier))
    return answers(graph, planned, claims, said, earlier=case.earlier).score


def _why(lead: str) -> Understood:
    return Understood("why", (lead,), None, "", True, "")


# --- consistency and length -----------------------------------------------------------------------


def consistency_reward(graph: Graph, parsed: ParsedText) -> float | None:
    """1 where the conclusion (or, without one, the differential) puts the answered diagnosis first, else 0.

    0, too, where the answer is offered as the alternative to itself ("melanoma fits better than melanoma"). None where
    conclusion or answer names no diagnosis.
    """
    if own_alternative(parsed):
        return 0.0
    concluded = _first(graph, parsed.conclusion) or _first(graph, parsed.differential)
    answered = named(graph, parsed.answer)[:1]
    if not concluded or not answered:
        return None
    one, other = concluded, answered[0]
    same_class = graph.class_code(one) is not None and graph.class_code(one) == graph.class_code(other)
    return float(same_class or one in graph.family(other) or other in graph.family(one))


def _first(graph: Graph, section: str) -> str | None:
    for sentence in split_sentences(section[:LONGEST_TEXT]):
        for mention in link(graph, sentence[: LONGEST_ANSWER * 2]):
            if graph.node(mention.id).kind == "Disease" and not mention.negated:
                return mention.id
    return None


def length_reward(parsed: ParsedText, kind: str, *, correctness: float | None, full: int) -> float | None:
    """ECR: min(1, words of the reasoning / `full`), right or wrong. CWR: the same where the answer is right, else 0.

    arXiv 2505.13973 found both worse than no length reward; they are here to be compared. None for "none", and for
    CWR where correctness cannot be judged.
    """
    if kind == "none" or (kind == "cwr" and correctness is None):
        return None
    share = min(1.0, len(parsed.reasoning.split()) / full)
    return share if kind == "ecr" or correctness == 1.0 else 0.0


# --- an expert language model -----------------------------------------------------------------------

EXPERT_QUESTION = (
    "A reader of skin lesions wrote this reasoning:\n{reasoning}\n\nThe reader concluded: {answer}\n\n"
    "Question: Does the reasoning follow clinical logic and lead to the conclusion? Answer yes or no.\nAnswer:"
)
EXPERT_READS = 2_000  # characters of the reasoning, so that the question stays within a small context


class ExpertJudge:
    """Any causal language model as 0/1 judge: is " yes" likelier than " no" as the next word?

    The semantic-alignment reward of arXiv 2505.13973, there with BioGPT and BioMistral; the prompt is ours. The
    model is loaded when it is first asked.
    """

    def __init__(self, model: str) -> None:
        self.name = model
        self._loaded: tuple[Model, Tokenizer, int, int] | None = None

    def __call__(self, parsed: ParsedText) -> float:
        """1 or 0; 0 where there is no reasoning or no answer."""
        if not parsed.reasoning or not parsed.answer:
            return 0.0
        return float(self.log_odds(parsed) > 0)

    def log_odds(self, parsed: ParsedText) -> float:
        """log p(" yes") - log p(" no") after the question."""
        import torch

        tokenizer, model, yes, no = self._load()
        question = EXPERT_QUESTION.format(
            reasoning=parsed.reasoning[:EXPERT_READS], answer=parsed.answer[:LONGEST_ANSWER]
        )
        ids = tokenizer(question, return_tensors="pt")["input_ids"].to(model.device)
        with torch.inference_mode():
            logits = model(input_ids=ids).logits[0, -1].float()
        return float(logits[yes] - logits[no])

    def _load(self) -> tuple[Model, Tokenizer, int, int]:
        if self._loaded is None:
            import torch
            from transformers import AutoModelForCausalLM, AutoTokenizer

            device = "cuda" if torch.cuda.is_available() else "cpu"
            try:
                tokenizer = AutoTokenizer.from_pretrained(self.name)
                model: Model = AutoModelForCausalLM.from_pretrained(self.name, dtype="auto")
            except (OSError, ValueError) as error:
                raise ModelError(f"The expert model {self.name!r} cannot be loaded.", detail=str(error)) from error
            yes, no = (tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in (" yes", " no"))
            if yes == no:
                raise ModelError(f"The tokenizer of {self.name!r} starts ' yes' and ' no' alike: choose another model.")
            self._loaded = (tokenizer, model.to(device).eval(), yes, no)
        return self._loaded


# --- all parts ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Completion:
    """One completion with all that a part may ask for."""

    text: str  # with what was written beforehand
    parsed: ParsedText
    case: CaseFacts
    settings: RewardSettings
    graph: Graph
    expert: ExpertJudge

    @property
    def correctness(self) -> float | None:
        credit = self.settings
        return correctness_reward(
            self.graph, self.parsed, self.case, parent=credit.parent_credit, sibling=credit.sibling_credit
        )


RewardFunction = Callable[..., list[float | None]]


class Rewarder:
    """The parts that the settings ask for, for one completion or, as TRL calls them, for a batch."""

    def __init__(self, settings: RewardSettings, graph: Graph | None = None) -> None:
        self.settings = settings
        self.graph = graph or Graph.load()
        self._expert = ExpertJudge(settings.expert_model)

    def reward(self, completion: str, case: CaseFacts) -> Reward:
        """All parts of one completion; DataError where the case's label is not in the graph."""
        one, names = self._read(completion, case), self.settings.parts
        parts = {name: PARTS[name].judge(one) for name in names}
        return Reward(parts, dict(zip(names, self.settings.weights, strict=True)))

    def _read(self, completion: str, case: CaseFacts) -> Completion:
        text = self.settings.prefill + completion
        return Completion(text, parse(text), case, self.settings, self.graph, self._expert)

    def functions(self) -> list[RewardFunction]:
        """TRL's `reward_funcs`, one a part and named after it; `settings.weights` are their `reward_weights`.

        They read the data set's columns `diagnosis` (as `CaseFacts` has it) and, if there are any, `question` and
        `findings`: a list of findings a row, as mappings of `Finding`'s fields or as JSON.
        """
        return [self._function(part) for part in self.settings.parts]

    def _function(self, part: str) -> RewardFunction:
        def score(
            *, completions: Sequence[Any], diagnosis: Sequence[str | None] | None = None, **columns: Any
        ) -> list[float | None]:
            if diagnosis is None:
                raise DataError("The data set has no column 'diagnosis': add one with each case's class code or name.")
            found = columns.get("findings") or [None] * len(completions)
            asked = columns.get("question") or [""] * len(completions)
            cases = map(CaseFacts, diagnosis, map(read_findings, found), asked)
            return [
                PARTS[part].judge(self._read(completion_text(completion), case))
                for completion, case in zip(completions, cases, strict=True)
            ]

        score.__name__ = part
        return score


def completion_text(completion: str | Sequence[Fields]) -> str:
    """A completion as TRL hands it over: plain text, or messages whose contents are texts or lists of blocks."""
    if isinstance(completion, str):
        return completion
    return "".join(text for message in completion for text in _texts(message["content"]))


def _texts(content: str | Sequence[Fields]) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    else:
        yield from (str(block["text"]) for block in content if block.get("type") == "text")


_FINDING_FIELDS = frozenset(entry.name for entry in fields(Finding))


def read_findings(value: object) -> tuple[Finding, ...]:
    """A row's findings: objects, mappings of their fields (empty ones left out), or JSON of these; None is none."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise DataError("A row's findings are not JSON.", detail=str(error)) from error
    if value is None:
        return ()
    if not isinstance(value, (list, tuple)):
        raise DataError(f"A row's findings are {type(value).__name__}; a list of findings is needed.")
    return tuple(entry if isinstance(entry, Finding) else _finding(entry) for entry in value)


def _finding(entry: Fields) -> Finding:
    try:
        return Finding(**{key: held for key, held in entry.items() if held is not None and key in _FINDING_FIELDS})
    except (AttributeError, TypeError) as error:
        raise DataError("A finding needs code, name, value, unit, text and definition.", detail=str(error)) from error
