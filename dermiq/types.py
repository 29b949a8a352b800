"""The nouns of DermIQ, as frozen dataclasses. Knows no model, no graph and no page.

A consultation turns a `Case` into a stream of events (the classes whose names end
in a past participle or `Delta`) and one `Answer`. Every number carries its unit in
its name or its docstring; "cannot judge" is `None`, never 0.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

Json = dict[str, Any]  # an object of JSON, a row or a message in a library's form: whoever reads it checks it
Fields = Mapping[str, Any]  # the same where nothing is changed

CLASSES: tuple[str, ...] = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
"""The seven HAM10000 classes, alphabetical: the order of every probability vector."""

CLASS_NAMES: Mapping[str, str] = {
    "akiec": "actinic keratosis or Bowen's disease",
    "bcc": "basal cell carcinoma",
    "bkl": "benign keratosis",
    "df": "dermatofibroma",
    "mel": "melanoma",
    "nv": "melanocytic nevus",
    "vasc": "vascular lesion",
}

STRUCTURES: tuple[str, ...] = ("globules", "milia_like_cyst", "negative_network", "pigment_network", "streaks")
"""The dermoscopic structures that were drawn for ISIC 2018, task 2, in the order of the bits of its files."""
SEEN, UNSEEN = 50.0, 20.0  # % of certainty from which a structure counts as seen, below which it does not

View = Literal["dermoscopy", "close-up", "overview", "unknown"]
Reader = Literal["specialist", "vlm"]
Verdict = Literal["supported", "contradicted", "not_covered", "another_condition", "wrong_citation"]
"""The last two are of true sentences: of another condition than the one that leads, or behind a number not theirs."""
UrgencyLevel = Literal["urgent", "soon", "routine", "none"]
Origin = Literal["question", "differential", "patient", "findings"]


# --- what goes in -----------------------------------------------------------------------


@dataclass(frozen=True)
class QualityIssue:
    """One measured weakness of an image: `value` against `limit`, in `unit`, said in `message`."""

    code: str  # "blurred", "dark", "overexposed", "small", "cut_by_frame", "no_lesion"
    message: str
    value: float
    limit: float
    unit: str
    severe: bool = False  # severe: the readers should abstain


@dataclass(frozen=True, eq=False)
class Lesion:
    """A prepared image: upright sRGB, (H, W, 3) uint8, no metadata and no identity."""

    pixels: np.ndarray
    view: View = "unknown"
    taken: str | None = None  # what the clinician says: "now", "6 months ago"
    quality: tuple[QualityIssue, ...] = ()

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])


@dataclass(frozen=True)
class PatientContext:
    """What the clinician chose to tell. Everything is optional."""

    age: int | None = None  # years
    sex: Literal["female", "male"] | None = None
    site: str | None = None  # free text or one of the page's list: "back", "face"
    skin_type: int | None = None  # Fitzpatrick, 1 to 6
    symptoms: tuple[str, ...] = ()  # "itch", "bled", "grew", "changed", "hurts"
    diameter: float | None = None  # mm, the greatest, as told in words


@dataclass(frozen=True)
class Turn:
    """One finished turn of the conversation, in plain text."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True)
class Case:
    """What one consultation is about: at least one image of *one* lesion."""

    lesions: tuple[Lesion, ...]
    context: PatientContext = PatientContext()
    question: str = "What is this lesion, and why?"
    history: tuple[Turn, ...] = ()
    intent: str = ""  # what the visitor says the question means; "": it is heard from its words
    anew: bool = False  # the model answers, also where an answer to this example is kept


# --- what is seen -----------------------------------------------------------------------


@dataclass(frozen=True)
class Finding:
    """One visible sign, measured on one image."""

    code: str  # "asymmetry", "border_irregularity", "colour_count", "colour_black", ...
    name: str  # as the page writes it
    value: float
    unit: str  # "" where dimensionless
    text: str  # "asymmetric about both axes"
    definition: str  # how it was measured, one sentence
    percentile: float | None = None  # among benign training lesions, 0 to 100
    likelihood_ratios: Mapping[str, float] = field(default_factory=dict)  # class -> LR of this value's bin
    n: int | None = None  # training lesions behind percentile and ratios
    image_index: int = 0

    @property
    def is_seen(self) -> bool | None:
        """Of a dermoscopic structure, whether it is there; None where that is doubtful, and of other findings."""
        if self.code not in STRUCTURES or UNSEEN <= self.value < SEEN:
            return None
        return self.value >= SEEN


@dataclass(frozen=True)
class SimilarCase:
    """A labelled training image that looks alike; its picture is in the public archive under its id."""

    image_id: str
    code: str  # one of CLASSES
    proof: str  # how the diagnosis was found: "histopathology"
    likeness: float  # cosine of the features, -1 to 1


@dataclass(frozen=True, eq=False)
class SpecialistReading:
    """What the specialist says of one image."""

    probabilities: Mapping[str, float]  # calibrated, sum 1, keys CLASSES
    outline: np.ndarray  # (H, W) bool, in the image's own pixels
    outline_confidence: float  # mean foreground probability inside the outline, 0 to 1
    distance: float  # from the training data, as percentile among validation images, 0 to 100
    findings: tuple[Finding, ...] = ()
    image_index: int = 0
    similar: tuple[SimilarCase, ...] = ()  # the most alike first


@dataclass(frozen=True)
class Diagnosis:
    """A diagnosis by its graph id and its name; `code` is the class it belongs to, if any."""

    id: str
    name: str
    code: str | None = None


@dataclass(frozen=True)
class Candidate:
    diagnosis: Diagnosis
    probability: float  # calibrated, 0 to 1
    by_image: float | None = None  # the same by the image alone, where age, sex or site changed it


@dataclass(frozen=True)
class Differential:
    """Candidates, most likely first, and who says so."""

    candidates: tuple[Candidate, ...]
    reader: Reader
    sets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Certainty in percent ("95") -> class codes of which one is right with it; empty where that was not measured."""
    told: tuple[str, ...] = ()  # what of the patient the probabilities include: "age", "sex", "site"

    @property
    def top(self) -> Candidate:
        return self.candidates[0]

    def probability(self, code: str) -> float:
        """The probability of class `code`; KeyError where it is not a candidate."""
        for candidate in self.candidates:
            if candidate.diagnosis.code == code:
                return candidate.probability
        raise KeyError(code)


# --- what is known ----------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    id: str
    title: str
    url: str
    licence: str
    licence_class: Literal["open", "non-commercial", "research"]


@dataclass(frozen=True)
class Fact:
    """One sourced edge of the graph, with the sentence that a reader sees."""

    id: str
    subject: str  # node id
    relation: str
    object: str  # node id or literal
    text: str
    source: Source
    locator: str = ""  # row, page or address inside the source
    polarity: Literal["present", "absent"] = "present"
    evidence_type: str = "curated"  # curated, label, reader study, derived statistic
    n: int | None = None
    weight: float | None = None


@dataclass(frozen=True)
class Reason:
    """One thing that brought a fact up: something in the question, differential, patient or findings."""

    origin: Origin
    text: str


@dataclass(frozen=True)
class EvidenceItem:
    """A fact chosen for this case: the number it is cited by, its score and the reason."""

    number: int  # cited as [F<number>]
    fact: Fact
    score: float
    reason: str  # the one that counts most, in a few words
    reasons: tuple[Reason, ...] = ()  # all of them, by origin


@dataclass(frozen=True)
class Evidence:
    items: tuple[EvidenceItem, ...] = ()


@dataclass(frozen=True)
class Claim:
    """One sentence of an answer and what the graph or the measurements say of it."""

    text: str
    verdict: Verdict
    fact_ids: tuple[str, ...] = ()
    finding_codes: tuple[str, ...] = ()
    note: str = ""
    miscited: tuple[int, ...] = ()  # numbers that it cites and that are not those of its facts, or of none
    mended: tuple[int, ...] = ()  # the numbers that are right in their place, where they are known


# --- what comes out ---------------------------------------------------------------------


@dataclass(frozen=True)
class ParsedText:
    """What the parser made of a model's text. `problems` says what it could not read."""

    findings: str = ""
    differential: str = ""
    knowledge: str = ""
    conclusion: str = ""
    reasoning: str = ""  # everything inside <think>
    answer: str = ""  # inside <answer>
    answer_code: str | None = None  # one of CLASSES
    conclusion_code: str | None = None  # the class that the reasoning arrives at
    prose: str = ""  # what follows </answer>
    citations: tuple[int, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Urgency:
    level: UrgencyLevel
    text: str
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True)
class Abstention:
    """Why no reading is offered. `code`: "not_a_lesion", "blurred", "far", "disagree"."""

    code: str
    message: str


@dataclass(frozen=True)
class SelfCheck:
    """One question that the answer asks of itself. `passed` is None where it cannot be judged."""

    code: str  # "readers_agree", "reasoning_matches_answer", "findings_match", "image_matters"
    passed: bool | None
    message: str


@dataclass(frozen=True)
class OwnWords:
    """What the program says itself, of facts and measurements, beside the model's text or in its place."""

    text: str  # as it stands at the end of the answer's text, or at its beginning
    why: str  # a sentence for the reader
    replaced: str = ""  # what the model wrote and is not shown; "" where nothing was left out
    replaced_claims: tuple[Claim, ...] = ()  # of that text
    is_first: bool = False  # it stands before the model's text

    def beside(self, text: str) -> str:
        """What an answer's text has besides: the model's."""
        rest = text.strip()
        return (rest.removeprefix(self.text) if self.is_first else rest.removesuffix(self.text)).strip()


@dataclass(frozen=True)
class Answer:
    text: str  # as it is shown
    parsed: ParsedText
    evidence: Evidence
    claims: tuple[Claim, ...]
    differentials: tuple[Differential, ...]
    findings: tuple[Finding, ...]
    urgency: Urgency | None
    abstention: Abstention | None
    checks: tuple[SelfCheck, ...]
    model: str
    model_revision: str
    seconds: float
    stopped: bool = False  # the visitor stopped it: the text is cut
    notes: tuple[str, ...] = ()  # differences between several images, in words
    own: OwnWords | None = None  # which part of the text the program said itself; None: the model wrote all of it
    intent: str = ""  # what was understood to be asked
    points: tuple[str, ...] = ()  # what a good answer speaks of, each with the numbers of its facts


# --- the stream -------------------------------------------------------------------------


@dataclass(frozen=True)
class ImagesRead:
    """The specialist is done: one reading an image, and the fused differential."""

    readings: tuple[SpecialistReading, ...]
    differential: Differential
    abstention: Abstention | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class QuestionUnderstood:
    """What is taken to be asked, and of which conditions."""

    intent: str  # one of `INTENTS`; "" for what is out of scope
    about: tuple[str, ...]  # names


@dataclass(frozen=True)
class Waiting:
    """Other people's questions are answered first; with 0 it is this one's turn."""

    ahead: int


@dataclass(frozen=True)
class DifferentialRead:
    """The vision-language model's own differential."""

    differential: Differential


@dataclass(frozen=True)
class EvidenceFound:
    evidence: Evidence
    urgency: Urgency | None


@dataclass(frozen=True)
class TextDelta:
    """More of the model's text, as it is generated."""

    text: str


@dataclass(frozen=True)
class TextSettled:
    """The whole text as it is shown from now on: another draft of the model, or what the program adds or replaces."""

    text: str
    own: OwnWords | None
    evidence: Evidence  # with the facts that the new text cites


@dataclass(frozen=True)
class ClaimsChecked:
    claims: tuple[Claim, ...]
    checks: tuple[SelfCheck, ...]


@dataclass(frozen=True)
class AnswerDone:
    answer: Answer
    kept: bool = False  # these very readers gave it before, to a drawn example


Event = (
    ImagesRead
    | QuestionUnderstood
    | Waiting
    | DifferentialRead
    | EvidenceFound
    | TextDelta
    | TextSettled
    | ClaimsChecked
    | AnswerDone
)
Events = Generator[Event, None, None]  # closing them ends the work behind them
