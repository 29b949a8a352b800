"""The public face: `dermiq.assess`, `dermiq.retrieve` and `dermiq.check`. Knows neither page nor command line.

What they stand on is loaded at the first call and kept: the readers (1.3 GB; the base language model is downloaded
once, 93 MB) for `assess`, the graph alone for the others.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dermiq.errors import ImageError, InputError
from dermiq.knowledge import Graph, check_claims
from dermiq.knowledge import retrieve as retrieved
from dermiq.knowledge.find import condition
from dermiq.lesion import assess_quality, read_told
from dermiq.patient import age_of, sex_of, site_of, skin_type_of
from dermiq.settings import Settings
from dermiq.types import Answer, AnswerDone, Case, Claim, Event, Evidence, Lesion, PatientContext

if TYPE_CHECKING:
    from dermiq.consultant import LocalConsultant

Photograph = str | PathLike[str] | bytes | np.ndarray
SESSION = "api"


def assess(
    *images: Photograph,
    age: int | str | None = None,
    sex: str | None = None,
    site: str | None = None,
    skin_type: int | str | None = None,
    symptoms: Sequence[str] = (),
    question: str = Case.question,
    model: str | None = None,
    adapter: str | None = None,
    load_in_4bit: bool = False,
    device: str | None = None,
    votes: int = 1,
    check_image: bool = False,
    on_event: Callable[[Event], None] | None = None,
) -> Answer:
    """Answers `question` about one lesion. Some 15 seconds on two CPU cores; the first call loads the models, too.

    images       photographs of the one lesion: paths, files' bytes, or pixels, (H, W, 3) uint8 sRGB
                 (of DICOM files, for which pydicom is needed, age, sex and site count where they aren't given here)
    age          years
    sex          "female" or "male"
    site         where on the body: "back", "face", "lower leg"
    skin_type    Fitzpatrick, 1 to 6 or "I" to "VI"
    symptoms     of "itch", "bled", "grew", "changed", "hurts"
    model        any Hugging Face image-text-to-text model by name or folder, or a training run's name; None: what
                 `DERMIQ_MODEL` says, else DermIQ-Nano. So are `adapter`, `load_in_4bit` and `device`
    votes        samples for a majority vote; 1: the greedy answer alone
    check_image  ask once more with the image blanked: does the answer hang on it?
    on_event     called with every event as it comes, `TextDelta` among them; `TextSettled` gives the text anew where
                 the program adds to what the model wrote, or replaces it

    The answer has the text and what was read in it (`text`, `parsed`), both readers' calibrated probabilities, best
    first (`differentials`: the specialist's, then the language model's), what was measured (`findings`), the facts that
    it cites with their sources (`evidence`), a verdict on each of its sentences (`claims`), `urgency`, `checks`, and in
    `abstention` why it should not be trusted at all, None where nothing speaks against it. `own` says which part of the
    text the program said itself, of facts and measurements, and what of the model's text that replaced.

    Raises ImageError for a file that is no usable photograph, InputError for what else cannot be used, ModelError,
    DownloadError or KnowledgeError where the readers cannot be had.
    """
    patient = patient_of(age=age, sex=sex, site=site, skin_type=skin_type, symptoms=symptoms)
    case = case_of(images, patient, question)
    consultant = consultant_for(settings_of(model, adapter, load_in_4bit, device), votes)
    return answer_to(case, consultant, check_image=check_image, on_event=on_event)


def case_of(images: Sequence[Photograph], patient: PatientContext, question: str = Case.question) -> Case:
    """The images, decoded, and the patient: what was not said, a DICOM file among them may tell.

    Raises InputError as `lesion_of` does, and where there is no image.
    """
    if not images:
        raise InputError("There is no image to assess: give at least one photograph of the lesion.")
    read = [opened(image) for image in images]
    for _, told in read:
        patient = replace(
            patient, age=_first(patient.age, told.age), sex=patient.sex or told.sex, site=patient.site or told.site
        )
    return Case(tuple(lesion for lesion, _ in read), patient, question)


def answer_to(
    case: Case,
    consultant: LocalConsultant,
    *,
    check_image: bool = False,
    on_event: Callable[[Event], None] | None = None,
) -> Answer:
    """Of a loaded consultant, which keeps nothing of the case."""
    try:
        for event in consultant.assess(case, stop=threading.Event(), session_id=SESSION):
            if on_event is not None:
                on_event(event)
        assert isinstance(event, AnswerDone)  # the stream ends with it, or raises
        checks = (consultant.image_check(case),) if check_image else ()
        return replace(event.answer, checks=(*event.answer.checks, *checks))
    finally:
        consultant.forget(SESSION)


def retrieve(question: str, *, differential: Sequence[str] = (), k: int = 6, licence: str | None = None) -> Evidence:
    """At most `k` facts of the knowledge graph for a question, best first, each with its source and why it came up.

    differential  diagnoses that the question is about, likeliest first, by class code, id or name
    licence       the least free class of sources to let in: "open", "non-commercial" or "research"; None: all

    Raises InputError for a diagnosis that the graph does not know, KnowledgeError where its tables cannot be read.
    """
    graph = Graph.load(Settings.load([]).kg, licence=licence)
    named = [condition(graph, name).id for name in differential]
    return retrieved(graph, question, differential=named, k=k, token_budget=80 * k)


def check(
    text: str, *, diagnosis: str | None = None, licence: str | None = None, evidence: Evidence | None = None
) -> tuple[Claim, ...]:
    """What the knowledge graph says of each sentence that claims something, and by which facts.

    "supported", "contradicted", "not_covered"; "another_condition" where it is true, but of another condition than
    `diagnosis`, and does not say so or tells what is done about that one; "wrong_citation" where it is true, but cites
    the wrong fact (`miscited`; `mended` has the right number where one alone fits).

    `diagnosis` (class code, id or name) is what "it" means; `licence` as in `retrieve`. `evidence` (of `retrieve`): the
    facts that the text cites as [F1]; without it citations are not judged.

    Raises InputError for a diagnosis that the graph does not know, KnowledgeError where its tables cannot be read.
    """
    graph = Graph.load(Settings.load([]).kg, licence=licence)
    known = condition(graph, diagnosis).id if diagnosis else None
    return check_claims(graph, text, diagnosis=known, evidence=evidence)


def patient_of(
    *, age: int | str | None, sex: str | None, site: str | None, skin_type: int | str | None, symptoms: Sequence[str]
) -> PatientContext:
    """What is told of the patient, in any usual wording. Raises InputError with what would be understood."""
    return PatientContext(age_of(age, whole=True), sex_of(sex), site_of(site), skin_type_of(skin_type), tuple(symptoms))


def lesion_of(image: Photograph) -> Lesion:
    """One photograph, decoded. Raises ImageError for what is none, InputError for a file that cannot be read."""
    return opened(image)[0]


def opened(image: Photograph) -> tuple[Lesion, PatientContext]:
    """The same, with what a DICOM file tells of the patient. Other files tell nothing."""
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ImageError(f"An array of shape {image.shape}, {image.dtype}, is no image: (H, W, 3) uint8 would be.")
        return Lesion(image, quality=assess_quality(image)), PatientContext()
    return read_told(image if isinstance(image, bytes) else bytes_of(Path(image)))


def settings_of(model: str | None, adapter: str | None, load_in_4bit: bool, device: str | None) -> Settings:
    """Of the environment, but for what is given."""
    given: dict[str, Any] = {"model": model, "adapter": adapter, "load_in_4bit": load_in_4bit, "device": device}
    return replace(Settings.load([]), **{name: value for name, value in given.items() if value})


def _first(value: int | None, other: int | None) -> int | None:
    return other if value is None else value


def bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}.") from error


@lru_cache(maxsize=1)  # a second model would take as much memory again
def consultant_for(settings: Settings, votes: int) -> LocalConsultant:
    """The readers, loaded. What cannot be loaded is tried again at the next call."""
    from dermiq.consultant import LocalConsultant

    made = LocalConsultant(settings, votes=votes)
    made.load()
    made.readers()  # raises why it could not be
    return made
