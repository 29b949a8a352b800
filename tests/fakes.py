"""A consultant without models, with events as the real one sends them. Also runs alone:

python -m tests.fakes --port 7861
"""

from __future__ import annotations

import argparse
import io
import json
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from dermiq import memory
from dermiq.errors import ImageError, ModelError
from dermiq.knowledge.graph import CLASS_NODES
from dermiq.line import Line
from dermiq.settings import Settings
from dermiq.types import (
    CLASS_NAMES,
    STRUCTURES,
    Abstention,
    Answer,
    AnswerDone,
    Candidate,
    Case,
    Claim,
    ClaimsChecked,
    Diagnosis,
    Differential,
    DifferentialRead,
    Events,
    Evidence,
    EvidenceFound,
    EvidenceItem,
    Fact,
    Finding,
    ImagesRead,
    Lesion,
    OwnWords,
    ParsedText,
    QualityIssue,
    QuestionUnderstood,
    SelfCheck,
    SimilarCase,
    Source,
    SpecialistReading,
    TextDelta,
    TextSettled,
    Urgency,
)
from dermiq.ui.protocol import Consultant
from dermiq.ui.server.serving import private_temp

SOURCE = Source("demo", "Dermoscopy terms, an invented list", "https://example.org/terms", "CC BY 4.0", "open")
RULES = Source("rules", "Referral rules, an invented list", "https://example.org/rules", "CC BY 4.0", "open")
FACTS = (
    Fact(
        "f1",
        CLASS_NODES["mel"],
        "has_dermoscopic_feature",
        "feature:streaks",
        "Irregular streaks at the border suggest melanoma.",
        SOURCE,
        "row 12",
        n=412,
    ),
    Fact(
        "f2",
        CLASS_NODES["mel"],
        "has_dermoscopic_feature",
        "feature:asymmetry",
        "Asymmetry about both axes is seen more often in melanoma than in nevi.",
        SOURCE,
        "row 3",
    ),
    Fact(
        "f3",
        CLASS_NODES["nv"],
        "has_dermoscopic_feature",
        "feature:network",
        "A regular pigment network suggests a nevus.",
        SOURCE,
        "row 7",
        "absent",
    ),
)
REASONS = ("names a measured finding of this image", "separates the two leading diagnoses", "speaks for the runner-up")
EVIDENCE = Evidence(tuple(EvidenceItem(i + 1, f, 0.9 - i / 10, REASONS[i]) for i, f in enumerate(FACTS)))
REFERRALS = tuple(
    Fact(f"u{n}", CLASS_NODES["mel"], "refer_if", "urgent", text, RULES, f"rule {n}")
    for n, text in enumerate(("A lesion that suggests melanoma is referred at once.", "So is one that grows."), 7)
)
URGENCY = Urgency("urgent", "Suspected melanoma: referral within two weeks is what the rule asks for.", REFERRALS)

TEXT = (
    "<think>\n"
    "1. Findings: The lesion is asymmetric about both axes. The border is irregular, and four colours are present.\n"
    "2. Differential: Melanoma is likely, a melanocytic nevus possible.\n"
    "3. Knowledge: Irregular streaks at the border suggest melanoma [F1]. Asymmetry about both axes is "
    "more frequent in "
    "melanoma than in nevi [F2].\n"
    "4. Conclusion: The findings fit melanoma best.\n"
    "</think>\n<answer>melanoma</answer>\n"
    "The image shows an asymmetric, irregularly bordered lesion with four colours, which speaks for "
    "melanoma [F1][F2]. "
    "The lesion is ulcerated. The network is regular [F3].\n\n"
    "Excision with histology would settle it."
)
FOLLOW_UP = (
    "A regular network would speak for a nevus [F3], and it was not measured here. "
    "The asymmetry speaks against it [F2]."
)
CLAIMS = (
    Claim(
        "The lesion is asymmetric about both axes.", "supported", finding_codes=("asymmetry",), note="measured: 0.31"
    ),
    Claim("Irregular streaks at the border suggest melanoma.", "supported", ("f1",)),
    Claim(
        "The image shows an asymmetric, irregularly bordered lesion with four colours, which speaks for melanoma.",
        "wrong_citation",
        ("f2",),
        note="it cites fact 1, which says something else; fact 2 says this",
        miscited=(1,),
        mended=(2,),
    ),
    Claim("The lesion is ulcerated.", "not_covered", note="“ulcerated”: not measured, not in the graph"),
    Claim("The network is regular.", "contradicted", ("f3",), note="the graph has this sign as absent in melanoma"),
    Claim(
        "Excision with histology would settle it.",
        "another_condition",
        ("u7",),
        note="true of basal cell carcinoma; here melanoma leads",
    ),
)
CHECKS = (
    SelfCheck("readers_agree", True, "Both readers hold melanoma most probable."),
    SelfCheck("reasoning_matches_answer", True, "The reasoning and the answer name the same diagnosis."),
    SelfCheck("findings_match", False, "The text names a regular network, which was not measured."),
)


def differential(reader: str, **probabilities: float) -> Differential:
    rows = [Candidate(Diagnosis(CLASS_NODES[c], CLASS_NAMES[c], c), p) for c, p in probabilities.items()]
    return Differential(tuple(sorted(rows, key=lambda r: -r.probability)), reader)  # type: ignore[arg-type]


SPECIALIST = differential("specialist", mel=0.58, nv=0.30, bkl=0.07, bcc=0.03, akiec=0.01, vasc=0.006, df=0.004)
VLM = differential("vlm", mel=0.62, nv=0.21, bkl=0.09, bcc=0.04, akiec=0.02, vasc=0.01, df=0.01)
VLM_NEVUS = differential("vlm", nv=0.55, mel=0.32, bkl=0.07, bcc=0.03, akiec=0.01, vasc=0.01, df=0.01)


SIMILAR = (
    SimilarCase("ISIC_0000001", "mel", "histopathology", 0.93),
    SimilarCase("ISIC_0000002", "nv", "follow-up", 0.91),
    SimilarCase("ISIC_0000003", "mel", "not stated", 0.88),
)


def findings(index: int = 0) -> tuple[Finding, ...]:
    def make(
        code: str, name: str, value: float, unit: str, text: str, how: str, pct: float | None, ratio: float
    ) -> Finding:
        return Finding(code, name, value, unit, text, how, pct, {"mel": ratio, "nv": 1 / ratio}, 9013, index)

    return (
        make(
            "asymmetry",
            "Asymmetry",
            0.31,
            "",
            "asymmetric about both axes",
            "Mean overlap lost when the outline is folded over its two main axes.",
            96,
            3.2,
        ),
        make(
            "border_irregularity",
            "Border irregularity",
            1.42,
            "",
            "irregular border",
            "Perimeter against that of a circle of the same area.",
            91,
            2.1,
        ),
        make(
            "colour_count",
            "Colours",
            4,
            "of 6",
            "light and dark brown, black, blue-grey",
            "How many of the six ABCD colours cover more than 2 % of the lesion.",
            97,
            4.0,
        ),
        make(
            "relative_size",
            "Size",
            38,
            "%",
            "of the image’s shorter side",
            "Equivalent diameter over the shorter side of the image.",
            55,
            1.0,
        ),
        make("eccentricity", "Elongation", 0.62, "", "slightly oval", "Eccentricity of the fitted ellipse.", None, 0.4),
    )


def reading(lesion: Lesion, index: int) -> SpecialistReading:
    y, x = np.mgrid[: lesion.height, : lesion.width]
    radius = 0.3 + 0.05 * np.sin(5 * np.arctan2(y - lesion.height / 2, x - lesion.width / 2))
    outline = ((y / lesion.height - 0.5) ** 2 + (x / lesion.width - 0.5) ** 2) ** 0.5 < radius
    probabilities = {c.diagnosis.code or "": c.probability for c in SPECIALIST.candidates}
    return SpecialistReading(probabilities, outline, 0.93, 41.0, findings(index), index, SIMILAR)


class FakeConsultant:
    """Satisfies `dermiq.ui.protocol.Consultant`. `pace` is the pause in seconds between pieces of text."""

    name = "DermIQ-Nano 0.1"
    device = "CPU"

    def __init__(
        self,
        *,
        pace: float = 0.0,
        text: str = TEXT,
        abstain: bool = False,
        disagree: bool = False,
        loaded: str = ".",
        ballast: int = 0,
        own: OwnWords | None = None,
    ) -> None:
        """`loaded`: it is ready when this file exists; `ballast`: megabytes that it holds, as a real one holds its
        weights; `own`: what the program says of a later question, behind the model's text or in its place."""
        self.pace, self.text, self.abstain, self.disagree = pace, text, abstain, disagree
        self.own = own
        self.forgotten: list[str] = []
        self.asked: list[tuple[str, Case]] = []
        self.loaded = Path(loaded)
        self.failure = ""
        self.evidence = EVIDENCE
        self.used = ("", "")
        self.weights = np.ones((ballast, 2**17))
        self.line = Line()

    def ready(self) -> bool:
        return not self.failure and self.loaded.exists()

    def status(self) -> str:
        return self.failure or ("ready" if self.ready() else "loading the language model ...")

    def use(self, model: str = "", *, name: str = "") -> None:
        self.used = (model, name)
        self.name = name or "DermIQ-Nano 0.1"

    def read_image(self, data: bytes, *, view: str, taken: str | None) -> Lesion:
        try:
            pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        except UnidentifiedImageError as error:
            raise ImageError("This file is not an image. Choose a JPEG, PNG, WebP, TIFF or HEIC file.") from error
        issues = () if pixels.std() > 1 else (QualityIssue("blurred", "blurred", 3.1, 10, "", severe=True),)
        return Lesion(pixels, view, taken, issues)  # type: ignore[arg-type]

    def assess(self, case: Case, *, stop: threading.Event, session_id: str) -> Events:
        self.asked.append((session_id, case))
        return self.line.in_turn(self._events(case, stop), stop)

    def _events(self, case: Case, stop: threading.Event) -> Events:
        if "break" in case.question:
            raise ModelError("The model ran out of memory. Start with --load-in-4bit, or use fewer images.")
        abstention = None
        if self.abstain:
            far = "It is far from anything I was trained on (distance 99.7th percentile)."
            abstention = Abstention("not_a_lesion", f"{far} Try a sharp close-up of one lesion.")
        notes = ("The second image is 20 % larger in relation to the frame.",) if len(case.lesions) > 1 else ()
        readings = tuple(reading(lesion, i) for i, lesion in enumerate(case.lesions))
        yield ImagesRead(readings, SPECIALIST, abstention, notes)
        intent = case.intent or ("why" if not case.history else "treatment")
        yield QuestionUnderstood(intent, ("melanoma",))
        yield EvidenceFound(self.evidence, URGENCY)
        vlm = VLM_NEVUS if self.disagree else VLM
        yield DifferentialRead(vlm)
        text, full = "", FOLLOW_UP if case.history else self.text
        for piece in re.findall(r"\S+\s*", full):
            if stop.wait(self.pace) if self.pace else stop.is_set():
                break
            text += piece
            yield TextDelta(piece)
        stopped = stop.is_set()
        own = self.own if case.history and not stopped else None
        if own:
            text = own.text if own.replaced else f"{text}\n\n{own.text}"
            yield TextSettled(text, own, self.evidence)
        if not stopped:
            yield ClaimsChecked(CLAIMS, CHECKS)
        answer = Answer(
            text,
            ParsedText(prose=text),
            self.evidence,
            () if stopped else CLAIMS,
            (SPECIALIST, vlm),
            tuple(f for r in readings for f in r.findings),
            URGENCY,
            abstention,
            () if stopped else CHECKS,
            self.name,
            "0123abc",
            6.2,
            stopped,
            notes,
            own,
            intent,
            ("Treatment of melanoma: Operable melanoma is excised [F1].",),
        )
        yield AnswerDone(answer)

    def heatmap(self, lesion: Lesion, code: str) -> np.ndarray:
        y, x = np.mgrid[: lesion.height, : lesion.width]
        return np.exp(-8 * ((y / lesion.height - 0.4) ** 2 + (x / lesion.width - 0.55) ** 2))

    def structures(self, lesion: Lesion, reading: SpecialistReading) -> Mapping[str, np.ndarray]:
        return {code: self.heatmap(lesion, "") for code in STRUCTURES}

    def image_check(self, case: Case) -> SelfCheck:
        time.sleep(self.pace)
        return SelfCheck(
            "image_matters", True, "With the image blanked the answer becomes nevus: it depends on the image."
        )

    def forget(self, session_id: str) -> None:
        self.forgotten.append(session_id)


_: type[Consultant] = FakeConsultant  # mypy holds the fake against the real interface


def picture(width: int = 640, height: int = 480, *, seed: int = 1) -> np.ndarray:
    """A smooth skin-coloured field with a dark blot: enough for a page, no lesion."""
    y, x = np.mgrid[:height, :width]
    angle = np.arctan2(y - height / 2, x - width / 2)
    radius = ((y / height - 0.5) ** 2 + (x / width - 0.5) ** 2) ** 0.5 / (0.3 + 0.04 * np.sin((4 + seed) * angle))
    inside = 1 / (1 + np.exp(14 * (radius - 1)))[..., None]
    noise = np.random.default_rng(seed).normal(0, 4, (height, width, 1))
    skin, dark = np.array([226, 182, 158]), np.array([92, 58, 46])
    return np.clip(skin * (1 - inside) + dark * inside + noise, 0, 255).astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def examples() -> list[tuple[str, np.ndarray]]:
    return [
        (title, picture(seed=i)) for i, title in enumerate(("Regular network", "Irregular border", "Red lagoons"), 1)
    ]


def sample_answer(case: Case, **changes: object) -> Answer:
    """The fake's own answer to `case`."""
    events = list(FakeConsultant().assess(case, stop=threading.Event(), session_id="s"))
    done = events[-1]
    assert isinstance(done, AnswerDone)
    return replace(done.answer, **changes)  # type: ignore[arg-type]


def main(arguments: list[str] | None = None) -> None:
    """Serve the page: `--fake` takes the fake's own options as JSON, everything else is as in app.py."""
    flags = argparse.ArgumentParser(add_help=False)
    flags.add_argument("--fake", type=json.loads, default={"pace": 0.05})
    own, rest = flags.parse_known_args(arguments)
    memory.few_heaps()  # as the app's own start does
    private_temp()
    from dermiq.ui.app import create_app, launch_options

    settings = Settings.load(rest)
    page = create_app(FakeConsultant(**own.fake), settings, examples=examples())
    page.launch(**launch_options(settings))


if __name__ == "__main__":
    main()
