"""What a program may ask of the page: assess, search the knowledge graph, compare two conditions, check a text.

    calls = Calls(consultant, graph=lambda: library.graph)
    calls.assess(images=[ticket], question="Is it urgent?", age=54)      # what `dermiq assess --json` prints

Knows no gradio. The docstrings are what programs read: gradio and the description of the API parse "Parameters:".
Annotations are values here, not texts, since gradio reads the one of what is returned as it stands.
"""

import secrets
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Annotated, Any, Literal

from pydantic import Field

from dermiq import api
from dermiq.assess_cli import answer_json
from dermiq.errors import InputError, ModelError
from dermiq.knowledge import Graph
from dermiq.knowledge.cli import check_row, comparison_row, knowledge_row
from dermiq.knowledge.compare import compare as compared
from dermiq.knowledge.find import asked_back, find
from dermiq.knowledge.schema import Node
from dermiq.types import AnswerDone, Case, Lesion
from dermiq.ui.consult.controller import MAX_IMAGES, MAX_QUESTION
from dermiq.ui.protocol import Consultant
from dermiq.ui.server.inbox import INBOX, why_refused
from dermiq.ui.server.visitors import LEFT

MAX_NAME, MAX_TEXT = 120, 10_000  # characters
GONE = "An image was not read in time. Send it again."

Symptom = Literal["itch", "bled", "grew", "changed", "hurts"]
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
Question = Annotated[str, Field(min_length=1, max_length=MAX_QUESTION)]
Answered = dict[str, Any]


class Calls:
    """Its methods take what was checked already (`arguments`), and raise DermIQError."""

    def __init__(self, consultant: Consultant, *, graph: Callable[[], Graph]) -> None:
        self._consultant, self._graph = consultant, graph

    def assess(
        self,
        images: Annotated[list[str], Field(min_length=1, max_length=MAX_IMAGES)],
        question: Question = Case.question,
        age: int | str | None = None,
        sex: str | None = None,
        site: str | None = None,
        skin_type: int | str | None = None,
        symptoms: list[Symptom] | None = None,
    ) -> Answered:
        """Answer a question about one skin lesion from photographs of it (dermoscopy or close-up).
        Gives measured findings, calibrated probabilities of seven diagnoses by two readers, reasoning, facts with their
        sources, a mark on every sentence, urgency, and an abstention where the image cannot be read. Takes seconds, and
        longer where others are before. The images are read in memory, never stored, and forgotten with the answer.
        A research demonstration for clinicians, not a medical device, not for diagnosis.

        Parameters:
            images: One to six photographs of the one lesion, each the bytes of its file in base64 or as a data URL (data:image/jpeg;base64,...). JPEG, PNG, WebP, TIFF, BMP or HEIC. No addresses, no names of files.
            question: What is asked about the lesion, in English.
            age: Years, 0 to 120.
            sex: female or male.
            site: Where on the body the lesion is: back, face, lower leg.
            skin_type: Fitzpatrick, 1 to 6 or I to VI.
            symptoms: What the patient tells of it, any of itch, bled, grew, changed, hurts.
        """  # noqa: E501  gradio reads a parameter from one line
        patient = api.patient_of(age=age, sex=sex, site=site, skin_type=skin_type, symptoms=symptoms or ())
        return self._answered(Case(_lesions(images), patient, " ".join(question.split())))

    def _answered(self, case: Case) -> Answered:
        session, left = f"program-{secrets.token_hex(8)}", LEFT.get() or threading.Event()
        try:
            with closing(self._consultant.assess(case, stop=left, session_id=session)) as events:
                for event in events:
                    if isinstance(event, AnswerDone):
                        return answer_json(event.answer)
        finally:
            self._consultant.forget(session)
        raise ModelError("The question was given up before it was answered.")

    def search_knowledge(
        self,
        question: Question,
        differential: Annotated[list[Name], Field(max_length=7)] | None = None,
        k: Annotated[int, Field(ge=1, le=20)] = 6,
    ) -> Answered:
        """Search the dermatology knowledge graph for the facts that answer a question, each with its source.
        Gives the names that were understood and the facts, best first. It finds facts, it does not answer.

        Parameters:
            question: The question or the words to search for, in English.
            differential: Diagnoses that the question is about, likeliest first, by name, id or class code (mel, nv, bcc).
            k: How many facts at most, 1 to 20.
        """  # noqa: E501
        return knowledge_row(self._graph(), question, differential=list(differential or ()), k=k, semantic=True)

    def compare(self, first: Name, second: Name) -> Answered:
        """Compare two skin conditions by what the knowledge graph says of them.
        Gives what separates them, what they share, facts on how one is taken for the other, and where the graph is
        silent about one of them, each fact with its source.

        Parameters:
            first: A condition by name, synonym, abbreviation, ICD-10 code or id: melanoma.
            second: The other one: Spitz nevus.
        """
        graph = self._graph()
        made = compared(graph, *(node.id for node in _both(graph, first, second)))
        return comparison_row(graph, made)

    def check_text(
        self,
        text: Annotated[str, Field(min_length=1, max_length=MAX_TEXT)],
        diagnosis: Name | None = None,
    ) -> Answered:
        """Check a text about a skin condition, sentence by sentence, against the knowledge graph.
        Gives for each sentence that claims something whether it is supported, contradicted, not_covered, or true of
        another_condition, by which facts, and three scores of the whole.

        Parameters:
            text: The text, in English.
            diagnosis: What the text is about, which "it" then means: a condition by name, id, class code or ICD-10 code.
        """  # noqa: E501
        return check_row(self._graph(), text, diagnosis=diagnosis)


def _lesions(tickets: Sequence[str]) -> tuple[Lesion, ...]:
    """The images that the gate put into the inbox. InputError where it could not, or they waited too long."""
    return tuple(api.lesion_of(content) for content in [_taken(ticket) for ticket in tickets])


def _taken(ticket: str) -> bytes:
    content = INBOX.take(ticket)
    if content is None:
        raise InputError(why_refused(ticket) or GONE)
    return content


def _both(graph: Graph, first: str, second: str) -> tuple[Node, Node]:
    """Raises InputError with a question back for each name that is not known whole."""
    found = [(typed, find(graph, typed)) for typed in (first, second)]
    unknown = [asked_back(graph, typed, one) for typed, one in found if one.condition is None]
    left, right = (one.condition for _, one in found)
    if left is None or right is None:
        raise InputError("\n".join(unknown))
    return left, right
