"""What a clause says of two names that it holds: what an edge between them says, the opposite, or something else.

"Excision cures melanoma", "excision is useless in melanoma" and "excision causes melanoma" name the same pair, and only
the first says what a graph's edge `treated_by` says. Knows words, no graph.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

Stance = Literal["says it", "says the opposite", "says something else", "says nothing"]

_SHOW = (
    r"(?:speak|argue|count|tell|point)(?:s|ing)?(?: strongly| clearly)? (?:for|to|towards?|against)"
    r"|(?:in )?favou?rs?(?:ing)?|support(?:s|ing|ive)?|suggest(?:s|ing|ive)?|typical(?:ly)?|typif(?:y|ies)"
    r"|characteristic(?:ally)?|characteri[sz]ed?|hallmarks?|(?:consistent|compatible) with"
    r"|(?:seen|found|visible) (?:in|with|on)|features? of|signs? of|symptoms?|clues? (?:to|for)"
    r"|show(?:s|ed|n|ing)?|display(?:s|ing)?|exhibit(?:s|ing)?|reveal(?:s|ing)?|presents?|manifests?"
    r"|indicat(?:es?|ing|ive)|associated with|diagnostic|pathognomonic|classic(?:al|ally)?|suspicious|markers?"
    r"|expect(?:s|ed)?|known for|defined by|contains?|includes?|lack(?:s|ed|ing)?|absen(?:t|ce)|missing"
    r"|exclud\w+|rul(?:es?|ed|ing) (?:it )?out|disprov\w+|refut\w+|confirms?|unlikely|more likely"
)
_TREAT = (
    r"treat(?:s|ed|ing|ments?)?|manag(?:e|es|ed|ing|ement)|remov(?:e|es|ed|al|ing)|therap(?:y|ies)|respon(?:ds?|se)"
    r"|cur(?:e|es|ed|ing)|reliev\w+|sooth\w+|alleviat\w+|first[- ]line|effective"
    r"|helps?|works?|calm(?:s|ed|ing)?|controls?|mainstay|gets? rid of|used|try|given"
    r"|recommended|indicated|preferred|excised|eradicat\w+|kill(?:s|ed)?"
)
_HEAL = r"heal(?:s|ed|ing)?|clear(?:s|ed|ing)"
_TEST = r"diagnos\w+|confirm\w*|settle[sd]?|establish\w*|prove[nds]?|gold standard|detect\w*|identif\w+|recommended"
_RISK = (
    r"risks?|predispos\w+|(?:related|linked) to|associated with|link|rais(?:e|es|ed|ing)|increas(?:e|es|ed|ing)"
    r"|prone|susceptib\w+|trigger\w*|worsen\w*|aggravat\w+|favou?rs?|times as|odds|culprits?|to blame|blamed"
    r"|bad for|worse|flar(?:e|es|ing)(?: up)?|sets? off|setting off|brings? on|bringing on|behind|(?<!less )likely"
)
_SITE = r"(?:on|in|at|around|over|between|behind|under|along|inside)|affect(?:s|ed|ing)?|involv\w+|spar(?:es?|ed|ing)"

_CAUSES = (
    r"(?<!is )(?<!are )(?<!be )(?<!been )caus(?:e|es|ed|ing)\b(?! by| of)|leads? to|leading to|gives? rise to"
    r"|(?<!good )(?<!best )(?<!better )results? in|produc(?:es?|ing)|induc(?:es?|ing)|provok(?:es?|ing)"
    r"|brings? (?:on|about)|creat(?:es?|ing)|causes? of"
)
"""The first name brings about the second."""
_CAUSED = (
    r"(?:caused|triggered|provoked|induced|produced)\b(?: \w+){0,2} by|due to|because of|owing to|secondary to"
    r"|result(?:s|ing)? (?:of|from)|(?:comes?|stems?|arises?|arising) from|(?:consequence|complication)s? of"
)
"""The second name brings about the first."""
_PREVENT = (
    r"prevent\w*|protect\w*|shield\w*|less (?:likely|common)"
    r"|good for|better|improv(?:e|es|ed|ing)|rarer|less often"
    r"|(?:lower|reduc|decreas|diminish|lessen|halv)(?:e|es|s|ed|ing)?(?:(?: \w+){0,4} (?:risks?|odds|chances?))?"
)
_USELESS = (
    r"ineffective|useless|unhelpful|contra-?indicated|avoid(?:s|ed|ing)?|harm(?:s|ed|ful)?|fail(?:s|ed)?|unnecessary"
    r"|futile|pointless|inappropriate|unsuitable|discouraged|stop(?:s|ped)?|withh(?:e|o)ld|worsen\w*|aggravat\w+"
    r"|exacerbat\w+|worse|refractory|resistant|bad for|no good"
    r"|(?:bad|poor|wrong|worst|mistaken) (?:treatments?|choices?|therapy|options?|remedy|idea)"
)
_MORE = r"more (?:likely|common|frequent)(?! to\b)"
_FADE = r"fad(?:e|es|ing)|disappear(?:s|ing)?|vanish(?:es|ing)?|shrink(?:s|ing)?"
_UNRELATED = r"unrelated|independent of|unconnected"
_BECOME = (
    r"(?:turn|chang|transform|progress|evolv|convert|develop)(?:s|es?|ed|ing)? (?:in)?to|becom(?:es?|ing)"
    r"|begins? as|starts? as"
)
_OTHER = (
    r"opposite|respects?|hid(?:es?|ing)|spares?|replac\w+|destroy\w*|inhibit\w*|spread(?:s|ing)?|die[sd]?|death|fatal|prognosis|dangerous"
    r"|(?<!rather )(?<!other )than"
)


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(patterns)})\b", re.IGNORECASE)


_FUTILE = re.compile(rf"\b(?:{_USELESS})\W+(?:for|in|to|at|as|when|of)\W+(?:\w+\W+)?$", re.IGNORECASE)
"""Before a predicate: "useless for diagnosing"."""
_AWAY = r"points? away|pointing away"
_FEATURE = (
    _any(_SHOW),
    _any(_UNRELATED, _AWAY),
    _any(_TREAT, "risks?", _PREVENT, _USELESS, _BECOME, _OTHER),
)
_WORDS = {
    "DermoscopicFeature": _FEATURE,
    "Sign": _FEATURE,
    "Symptom": _FEATURE,
    "Treatment": (_any(_TREAT, _HEAL, _PREVENT), _any(_USELESS, _UNRELATED, _MORE), _any("risks?", _BECOME, _OTHER)),
    "Test": (_any(_TEST), _any(_USELESS, _UNRELATED), _any("risks?", _PREVENT, _BECOME, _OTHER, "cur(?:e|es|ed)")),
    "RiskFactor": (_any(_RISK), _any(_PREVENT, _UNRELATED), _any(_TREAT, _FADE, _BECOME, _OTHER)),
    "BodySite": (_any(_SITE), None, _any(_TREAT, _PREVENT, _USELESS, _BECOME)),
    "RedFlag": (_any(_SHOW, _RISK), None, _any(_TREAT, _PREVENT, _USELESS, _BECOME)),
}
"""Kind of the object -> what says it, what says the opposite, what says something else of the two."""
_SHIELDS = re.compile(r"(?:prevent|protect|shield)s?", re.IGNORECASE)
"""Said of a condition's treatment, "protects older people" makes their age no less a risk."""
_CAUSING, _CAUSED_BY = _any(_CAUSES), _any(_CAUSED)
_CAUSE_SAYS_IT = {
    "DermoscopicFeature": ("condition",),
    "Sign": ("condition",),
    "Symptom": ("condition",),
    "RiskFactor": ("object",),
    "RedFlag": ("condition", "object"),
}
"""Which of the two must be the cause; for other kinds no cause says it."""


def stance(kind: str, *, before: str, between: str, after: str, condition_first: bool) -> Stance:
    """What the words before, between and behind a condition and an object of `kind` say of the two.

    The predicate stands between the two names, where its last word decides ("is treated by ... and shows"); else
    before them ("avoid X in Y"); else behind ("in Y, X fails"), where it may belong to a third thing and only says it
    or the opposite. Other names must have been cut out.
    """
    for text, place, turned in ((between, -1, False), (before, -1, True), (after, 0, True)):
        found = sorted(_cues(kind, text, condition_first=condition_first != turned))
        if found and (text is between or found[place][1] != "says something else"):
            return found[place][1]
    return "says nothing"


def _cues(kind: str, text: str, *, condition_first: bool) -> Iterator[tuple[int, Stance]]:
    says, opposes, differs = _WORDS[kind]
    stances: tuple[tuple[re.Pattern[str] | None, Stance], ...] = (
        (says, "says it"),
        (opposes, "says the opposite"),
        (differs, "says something else"),
    )
    for pattern, said in stances:
        for match in pattern.finditer(text) if pattern else ():
            shields = kind == "RiskFactor" and condition_first and _SHIELDS.fullmatch(match.group())
            futile = pattern is says and opposes and _FUTILE.search(text[: match.start()])
            yield match.end(), "says something else" if shields else "says the opposite" if futile else said
    for pattern, cause in ((_CAUSING, condition_first), (_CAUSED_BY, not condition_first)):
        for match in pattern.finditer(text):
            fits = ("condition" if cause else "object") in _CAUSE_SAYS_IT.get(kind, ())
            yield match.end(), "says it" if fits else "says something else"


def without_predicates(kind: str, text: str) -> str:
    """The text without the predicates that say what an edge to an object of `kind` says."""
    return _WORDS[kind][0].sub(" ", text) if kind in _WORDS else text


_GETS_MORE = re.compile(r"\bbecom(?:e|es|ing)\b(?= (?:more|less|\w+er)\b)", re.IGNORECASE)


def says_otherwise(kind: str, text: str, told: str) -> bool:
    """Whether a text ties two names by a predicate that neither an edge to `kind` says nor the fact has."""
    if kind not in _WORDS:
        return False
    _, opposes, differs = _WORDS[kind]
    text = _GETS_MORE.sub(" ", text)
    fits = _CAUSE_SAYS_IT.get(kind, ())
    causes = (() if fits else (_CAUSING,)) + (() if "object" in fits else (_CAUSED_BY,))
    return any(
        pattern is not None and pattern.search(text) and not pattern.search(told)
        for pattern in (opposes, differs, *causes)
    )
