"""Made cases: findings with the ratios that they are given, differentials, and what a question makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial

from dermiq.answering import Known, Plan, plainly, plan
from dermiq.answering.choose import in_short
from dermiq.knowledge import Graph, urgency
from dermiq.knowledge.retrieve.understand import Understood
from dermiq.types import Candidate, Claim, Diagnosis, Differential, Finding, PatientContext, Reader


@cache
def graph() -> Graph:
    return Graph.load()


def finding(code: str, text: str, percentile: float = 95.0, **ratios: float) -> Finding:
    return Finding(code, code, 1.0, "", text, "as it was made", percentile, ratios, 400)


IRREGULAR = (
    finding("asymmetry", "asymmetric about both axes", mel=1.9, nv=0.38, bkl=2.1, bcc=2.0),
    finding("colour_asymmetry", "colours unevenly placed", mel=4.6, nv=0.24, bkl=1.7, bcc=1.5),
    finding("border_irregularity", "irregular border", mel=2.2, nv=0.28, bkl=3.0, bcc=1.7),
    finding("colour_variegation", "strongly varied colour", mel=3.5, nv=0.72, bkl=0.5, bcc=0.44),
    finding("elongation", "round shape", mel=0.6, nv=0.9, bkl=1.0, bcc=1.1),
)
REGULAR = (
    finding("asymmetry", "symmetric", 20, mel=0.62, nv=1.3, bkl=0.7, bcc=0.74),
    finding("colour_asymmetry", "colours evenly placed", 20, mel=0.06, nv=1.9, bkl=0.8, bcc=1.1),
    finding("border_irregularity", "smooth border", 20, mel=0.48, nv=1.9, bkl=0.4, bcc=1.0),
    finding("colour_variegation", "even colour", 20, mel=0.37, nv=0.56, bkl=2.0, bcc=2.3),
)
PALE = (
    finding("colour_white", "white areas (12 %)", mel=1.7, nv=0.04, bkl=2.0, bcc=8.1),
    finding("colour_dark_brown", "no dark brown areas", mel=0.5, nv=0.38, bkl=1.8, bcc=2.6),
    finding("asymmetry", "symmetric", 20, mel=0.62, nv=1.6, bkl=0.7, bcc=0.74),
)


def differential(reader: Reader, **shares: float) -> Differential:
    made = [Candidate(_named(code), share) for code, share in shares.items()]
    return Differential(tuple(sorted(made, key=lambda one: -one.probability)), reader)


def _named(code: str) -> Diagnosis:
    found = graph().diagnosis(code)
    assert found is not None
    return found


CASES = {
    "mel": (
        IRREGULAR,
        differential("specialist", mel=0.58, nv=0.30, bkl=0.07, bcc=0.03, akiec=0.01, vasc=0.006, df=0.004),
        differential("vlm", mel=0.62, nv=0.21, bkl=0.09, bcc=0.04, akiec=0.02, vasc=0.01, df=0.01),
    ),
    "nv": (
        REGULAR,
        differential("specialist", nv=0.88, mel=0.03, bkl=0.05, bcc=0.01, akiec=0.01, vasc=0.01, df=0.01),
        differential("vlm", nv=0.80, bkl=0.08, mel=0.06, bcc=0.03, akiec=0.01, vasc=0.01, df=0.01),
    ),
    "doubtful nv": (
        REGULAR,
        differential("specialist", nv=0.60, mel=0.30, bkl=0.05, bcc=0.02, akiec=0.01, vasc=0.01, df=0.01),
        differential("vlm", nv=0.65, mel=0.25, bkl=0.05, bcc=0.02, akiec=0.01, vasc=0.01, df=0.01),
    ),
    "bcc": (
        PALE,
        differential("specialist", bcc=0.55, akiec=0.30, bkl=0.10, mel=0.02, nv=0.01, vasc=0.01, df=0.01),
        differential("vlm", bcc=0.50, bkl=0.30, akiec=0.15, mel=0.02, nv=0.01, vasc=0.01, df=0.01),
    ),
}
CASES["regular mel"] = (REGULAR, *CASES["mel"][1:])
PATIENT = PatientContext(age=62, sex="male", site="back", skin_type=2)


def known(case: str = "mel", *, earlier: Sequence[str] = (), patient: PatientContext = PATIENT) -> Known:
    findings, specialist, vlm = CASES[case]
    advice = urgency(graph(), differential=specialist, context=patient, findings=findings)
    return Known(vlm.top.diagnosis, (specialist, vlm), findings, patient, advice, earlier=tuple(earlier))


def asked(intent: str, *conditions: str, question: str = "", site: str | None = None) -> Understood:
    """`conditions`: class codes or names, the first one named in the question."""
    nodes = tuple(found.id for name in conditions if (found := graph().diagnosis(name)))
    said = question or " and ".join(graph().node(key).name for key in nodes) or "it"
    return Understood(intent, nodes, site, said, True, "")


def planned(intent: str, *conditions: str, case: str = "mel", earlier: Sequence[str] = (), **more: str) -> Plan:
    return plan(graph(), asked(intent, *conditions, **more), known(case, earlier=earlier))


def numbers(made: Plan) -> dict[str, int]:
    return {fact.id: number for number, fact in enumerate(made.facts, start=1)}


def told(intent: str, *conditions: str, case: str = "mel", earlier: Sequence[str] = (), **more: str) -> str:
    """The plan said plainly."""
    made = planned(intent, *conditions, case=case, earlier=earlier, **more)
    return plainly(made, numbers(made), earlier=earlier, short=partial(in_short, graph()))


def claim(text: str, *facts: str, verdict: str = "supported", findings: Sequence[str] = ()) -> Claim:
    return Claim(text, verdict, facts, tuple(findings))  # type: ignore[arg-type]
