"""Whether a text affirms, denies, doubts or calls rare what it names: the one place for words of negation.

    hear("Melanoma cannot be ruled out.").said(0, 8).status      # "uncertain"
    plain("Do not miss melanoma.")                               # "            melanoma."
    proposition("Nothing suggests that melanoma itches.")        # denied, and what is denied: "melanoma itches."

This is the ConText algorithm (Harkema and others, 2009; the successor of NegEx): a table of triggers, each with a
category and a direction, a scope that ends at clause boundaries, and phrases that only look like a trigger. The
libraries that have it (negspacy, medspaCy) run within spaCy, which nothing else here needs, and their tables know
single denials: what is denied twice, what warns ("do not miss") and what denies a whole statement ("it is a myth that
...") the check would still have to be told. The table is short enough to be kept here.

Three steps. `plain` replaces phrases in which a negation denies nothing ("without doubt", "not uncommon", "cannot be
excluded") by what they say, letter for letter as long, so that places in a text stay. `proposition` takes off what a
sentence says about itself ("it is a myth that ..."). `hear` finds triggers and their scopes in what is left. Whoever
needs less asks for a count of denials. Knows words, no names and no graph.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from dermiq.knowledge.language.remember import remembered
from dermiq.knowledge.language.text import word_set

Status = Literal["affirmed", "denied", "uncertain", "seldom"]
Category = Literal["denied", "possible", "rare", "aside", "except"]
Reach = Literal["after", "next", "before", "both"]
"""Where a trigger's scope lies: in the words after it, in what is next to it, in those before it, or on either side."""

WINDOW = 6  # words that a trigger reaches over, forwards; those of other names do not count
BACK = 5  # the same backwards
REMEMBERED = 4096  # texts whose triggers are kept

# --- words ------------------------------------------------------------------------------------

AUX_NOT = r"(?:ai|are|ca|could|did|do|does|had|has|have|is|might|must|need|ought|sha|should|was|were|wo|would)n['’]?t\b"
NOT = rf"(?:not|never|cannot|{AUX_NOT})"
_NONE = r"(?:no|none|nobody|nothing|neither|nor|no[ -]one|nowhere)"
_LY = (
    r"(?: \w+ly| yet| as yet| so far| ever| always| really| quite| necessarily| with (?:any )?(?:confidence"
    r"|certainty))*"
)
_SHUT = r"(?:excluded|ruled out|dismissed|discounted|eliminated|discarded|excl)"
_SHUTS = r"(?:exclude|rule out|rule it out|r/o|dismiss|discount|eliminate)"
_FEW = r"(?:uncommon|infrequent|unusual|rare|exceptional|scarce|unheard of|atypical)"
_DOUBTS = r"(?:doubt|question|dispute|deny|denie|contest|challenge)(?:s|d|ed)?"
_MISSES = (
    r"(?:miss(?:ed)?|ignored?|overlook(?:ed)?|forget|forgotten|dismiss(?:ed)?|neglect(?:ed)?|disregard(?:ed)?"
    r"|underestimated?|underrated?|trivialised?|trivialized?|ta?ken? lightly|lose sight of|play(?:ed)? down)"
)


def _pattern(*patterns: str) -> re.Pattern[str]:
    """Any of them, as whole words, a blank standing for any white space."""
    joined = "|".join(patterns).replace(" ?", r"\s*").replace(" ", r"\s+")
    return re.compile(rf"(?<![\w'])(?:{joined})(?![\w'])", re.IGNORECASE)


DENIAL = re.compile(
    r"\b(?:no|not|never|cannot|nothing|nobody|nowhere|none|neither|nor|wrong|incorrect|rarely|seldom"
    r"|hardly)\b(?! only\b)|n't\b",
    re.IGNORECASE,
)
"""A clause's denials, to be counted: what makes of its predicate the contrary."""
TURNS = re.compile(
    rf"\b(?:{_NONE}|not|never|cannot|lack(?:s|ed|ing)?|absen(?:t|ce)|free of|without"
    r"|spar(?:e|es|ed|ing)|leav(?:e|es|ing)\b.{1,40}\balone|fails? to|missing|devoid of"
    r"|ineffective|useless|unhelpful|futile|pointless|contra-?indicated|inadvisable|unsuitable|unsuited|inappropriate"
    r"|unnecessary|needless|superfluous|discouraged)\b|n't\b",
    re.IGNORECASE,
)
"""Whatever turns round what a sentence says, also by a word of its own: "useless"."""
FORWARD = re.compile(r"lack(?:s|ed|ing)?|free of|without|devoid of", re.IGNORECASE)
"""Those of `TURNS` that leave alone what stands before them: "papules lacking scale" has papules."""
RARELY = re.compile(
    r"\b(?:rare(?:ly)?|seldom|hardly(?: ever)?|scarcely|unlikely|uncommon|unusual|exceptional|infrequent(?:ly)?)\b",
    re.IGNORECASE,
)
SELDOM = re.compile(
    r"\b(?:(?:rarely|seldom|hardly)(?! fails?\b)|rare|uncommon(?:ly)?|unusual(?:ly)?|infrequent(?:ly)?"
    r"|exceptional(?:ly)?"
    r"|not (?:usually|typically|often|commonly|generally|normally)|tends? (?:not )?to (?:spare|leave))\b",
    re.IGNORECASE,
)
"""What `RARELY` says of something, and "not usually" and the like."""
WEAK = re.compile(
    r"\b(?:can|may|might|could|sometimes|occasionally|rarely|possible|possibly|some|also"
    r"|not (?:always|all|every|necessarily|invariably)|need not)\b",
    re.IGNORECASE,
)
"""A statement that one example makes true."""
_ONLY = re.compile(r"\bnot only\b|\bnothing but\b|\bnone other\b|\bneither\b(?=.*\bnor\b)", re.IGNORECASE)
_ASKS_FOR_LACK = re.compile(
    rf"\b(?:no|not|never|without|lack\w*|absent|exclude\w*|spare\w*|leave\w* out|rul\w+ out|{AUX_NOT})\b", re.IGNORECASE
)
"""Words by which a question asks for what is not there."""
_ASKS_WHETHER = _pattern(r"(?:is|isn't|doesn't) (?:it|this|that)")
_OPEN = re.compile(
    r"\?\W*$|\b(?:(?<!, )whether|unclear|uncertain|unknown|some say|it is said|some believe|allegedly"
    r"|(?:is|was) suspected"
    rf"|(?:{NOT}|far from|hardly)(?: \w+ly| yet| quite)* (?:clear|certain|known|sure|settled|established|decided"
    rf"|agreed)"
    r"(?: \w+)? (?:if|how|that)|open question|(?:nobody|no one) (?:\w+ )?(?:knows|can (?:say|tell))(?: if| for sure)?"
    r"|(?:do not|don't|does not|doesn't) know if|(?:remains|is) to be (?:seen|shown|proven)|moot point"
    r"|opinions differ)\b",
    re.IGNORECASE,
)
_DENYING_WORD = re.compile(rf"(?:{NOT}|{_NONE})", re.IGNORECASE)
NAMES_IT_NOT = re.compile(
    r"\b(?:is|are|be)\s+(?:not|never|hardly(?: ever)?|rarely|seldom)\s+(?:an?\s+|the\s+)?$", re.IGNORECASE
)
"""Before a condition: "two red legs are hardly ever cellulitis" denies the condition, not its sign."""
WITHOUT = re.compile(r"\s+without\s+(?:(?:an?|the|any)\s+)?$", re.IGNORECASE)
"""Between a condition and a sign: which of the condition are meant."""
NAMED_LESS = re.compile(r"(?:non|not|no)\b|non", re.IGNORECASE)
"""How a name begins that says what something is not."""
NAMED_AWAY = word_set(
    "no not non without negative pseudo absent absence loss lost less free inverse preserved mimic like avoid avoiding"
)
"""Words before a name that make it something else: a negative network is no network."""
STOPS = word_set(
    "but however although though while whereas yet because which who that since despite unless until just "
    "argues argue speaks speak suggests suggest points favours favors supports confirmed confirms clear respond heal "
    "responded tolerate persists persist if except there prob probably likely instead pos positive"
)
"""Words that a scope does not reach over. "Absence of comedones argues for rosacea", "will not clear with ..." """

# --- phrases in which a negation denies nothing, or denies in other words ----------------------

_WARNING = _pattern(
    rf"(?:do not|don't|would not|wouldn't|never) (?:want|wish|like|dare) to (?:ever )?{_MISSES}(?: that)?",
    rf"(?:be|take) (?:very )?(?:careful|care) (?:not|never) to {_MISSES}(?: that)?",
    r"(?:it (?:is|would be) )?(?:wrong|foolish|hard|futile|difficult|impossible) to (?:deny|dispute|doubt|question"
    r"|ignore"
    r"|overlook|forget)(?: that)?",
    r"(?:(?:it|one|you|we|this|and|please) )?(?:do not|don't|dont|never|must not|mustn't|must never|should not"
    r"|shouldn't|should never|cannot|can't|cannot afford to|can't afford to|not to|(?:is|are) (?:not|never) to)"
    rf"(?: \w+ly| ever| just)? (?:be )?{_MISSES}(?: (?:about|the fact))?(?: that)?",
    r"(?:failure|failing) to (?:recogni[sz]e|diagnose|spot|treat|see|detect|identify|refer|think of|consider)",
    r"(?:is |are )?impossible to (?:overstate|overestimate)(?: the importance of)?",
)

Says = str | Callable[["re.Match[str]"], str]
_NEGATES = rf"(?:{NOT}|(?:fails?|failed|unable|impossible) to)"


def _also(match: re.Match[str]) -> str:
    """'not only X but Y': X and Y."""
    return " " * len(match[1]) + match[2] + "and"


def _all(match: re.Match[str]) -> str:
    """'no X without Y': X always Y."""
    return " " * len(match[1]) + match[2] + "always"


def _possible(match: re.Match[str]) -> str:
    """'not sure that X is excluded', 'all but X is excluded': X is possible."""
    return " " * len(match[1]) + match[2] + "possible"


def _by(match: re.Match[str]) -> str:
    """'nothing does X more than Y': Y does."""
    return " " * len(match[1]) + match[2] + "by"


def _than(match: re.Match[str]) -> str:
    """'favour X over Y': X rather than Y."""
    return match[1] + match[2] + "than"


def _only(match: re.Match[str]) -> str:
    """'not X anything but Y': X only Y."""
    return " " * len(match[1]) + match[2] + "only"


def _left_out(match: re.Match[str]) -> str:
    """'not, I am pleased to say, X': not X."""
    return match[1] + " " * (len(match[2]) + 2)


_PLAIN: tuple[tuple[re.Pattern[str], Says], ...] = (
    # what is beyond doubt
    (
        _pattern(
            r"without (?:(?:an?|any|the|slightest|least|smallest|reasonable|serious|further|much|single|shadow of) )*"
            r"(?:doubt|question|fail)(?! whether)",
            r"(?:(?:there (?:is|was)|there's|(?:i|we) (?:have|see)) )?(?:no|little|hardly any|not any)(?: \w+)? "
            r"(?:hints?|reasons?|causes?|grounds?|need|basis)(?: whatever| at all)? (?:to|for) (?:doubt|question"
            r"|disput)"
            r"(?:e|ing)?(?: (?:that|about|on|of))?",
            r"i(?: am|'m) afraid(?= (?:there|that there|to say|it must)\b)(?: that| to say)?",
            r"(?:cannot|can't|cant|could not|couldn't)(?: quite| still)? believe(?: that)?"
            r"(?= (?:it's|it is|it was|its|this is|i|he|she)\b)",
            r"(?:(?:there (?:is|can be|was|seems|remains)|there's|(?:i|we) have) )?(?:hardly any|not the slightest"
            r"|not any"
            r"|no|little)(?: \w+)? (?:doubts?|question|denying|disputing|mistaking)(?: (?:that|about|as to"
            r"|in))?(?! (?:whether|of))",
            r"beyond (?:any |all |a |reasonable )*(?:doubt|question|dispute)",
            rf"(?:it )?(?:{NOT}|is not to|can hardly|can scarcely) be (?:denied|disputed|doubted|questioned)(?: that)?",
            rf"(?:nobody|no[ -]one|none|few|(?:hardly|scarcely) any ?(?:one|body))(?: \w+ly)?"
            rf"(?: would| will| can| could)? {_DOUBTS}(?: that)?",
            rf"(?:(?:i|we|they|you|one|experts?) )?(?:(?:do|does|did|would|can|could) )?{NOT} {_DOUBTS}(?: that)?",
            r"not (?:really )?in (?:any )?(?:doubt|question)",
            r"no (?:wonder|surprise|secret)(?: that)?|not surprisingly|it goes without saying(?: that)?|needless to say"
            r"|not for nothing|no sooner|no matter (?:how|what|whether|if)|not least|there is no getting around",
        ),
        "",
    ),
    (_WARNING, ""),
    (
        re.compile(r"\b(?:should|must|ought|is|are)\s+(?:not|never)\s+(?:to\s+)?be\s+(?=confused|mistaken)", re.I),
        "can be ",
    ),
    (re.compile(r"\b(?:do\s+not|don't|never|must\s+not|should\s+not|not\s+to)\s+(?=(?:confuse|mistake)\b)", re.I), ""),
    # what is not an answer but a "no" before one, and what is put in between
    (
        re.compile(
            r"(?:^|(?<=[.!?]\s))\W*(?:no|nope|nah)\b(?=,|\s+(?:you|it|it's|its|i|he|she|they|we|that's|this is"
            r"|that is)\b)",
            re.I,
        ),
        "",
    ),
    (re.compile(rf"(?<=\b)({NOT}),(\s[^,.;:!?]{{2,40}}),(?=\s)", re.I), _left_out),
    # what is asked, and what is not believed to be excluded
    (
        re.compile(
            rf"(?:(?<=^)|(?<=[.!?;,]\s)|(?<=\bwhy\s)|(?<=\bbut\s)|(?<=\band\s)|(?<=\bso\s)){AUX_NOT}"
            r"(?=\s[^.!;]*\?)",
            re.I,
        ),
        "poss",
    ),
    (
        re.compile(
            rf"\b({NOT}{_LY}(?: be| been| feel| yet)?(?: \w+ly)? (?:sure|certain|happy|satisfied|convinced|confident"
            rf"|clear)"
            rf"(?: that| if| whether)?)\b([^.;!?]{{2,40}}?)\b(?:has|have|is|was|can|could)(?: been| be"
            rf"| \w+ly)* {_SHUT}\b",
            re.I,
        ),
        _possible,
    ),
    (
        re.compile(
            r"\b((?:everything|all|anything)(?: else)? (?:but|except(?: for)?|apart from"
            r"|other than))\b([^.;!?]{2,60}?)\b"
            rf"(?:(?:has|have|is|are|was|were|been|can|could|be|now|\w+ly)\s+)+{_SHUT}\b",
            re.I,
        ),
        _possible,
    ),
    (
        re.compile(
            rf"\b({_NEGATES})\b([^.;,:!?]{{0,60}}?)\b(?:any(?:thing|body|one) (?:but|except|other than|else than))\b",
            re.I,
        ),
        _only,
    ),
    (
        re.compile(
            r"\bcontrary to (?:(?:\w+ ){0,3}(?:beliefs?|opinions?|claims?|views?|myths?)|what\b[^.,;]{2,40}),", re.I
        ),
        "",
    ),
    (re.compile(r"\b(favou?r\w*|prefer\w*)\b([^.;!?]{2,60}?)\bover\b", re.I), _than),
    (re.compile(r"\bfar from \w+ing\b[^,.;!?]{0,40},", re.I), ""),
    (_pattern(r"(?:may or may not|might or might not|can or cannot|can or can't)"), "possibly"),
    (re.compile(r"\b(nothing(?: else)?|(?:no|few) other \w+)\b([^.;!?]*?)\bmore(?: \w+)? than\b", re.I), _by),
    (
        re.compile(
            r"\b(?:nothing(?: else)?|(?:no|few) other \w+)\b(?=[^.;!?]*\bas (?:\w+ ){1,3}(?:do|does|is|are|can|has)\b)",
            re.I,
        ),
        "",
    ),
    # what is not excluded, and what excludes nothing
    (
        _pattern(
            r"(?:(?:is|are|was|were|has|have|had|can|could|should|must|will|would|may) )?"
            rf"(?:{NOT}|yet to|by no means){_LY}(?: be| been| being)*{_LY} {_SHUT}"
        ),
        "is possible",
    ),
    (
        _pattern(
            rf"(?:(?:do|does|did|can|could|would|will|should|may) )?{NOT}{_LY} (?:be able to )?(?:{_SHUTS}|excludes"
            rf"|rules out)",
            rf"(?:(?:is|are) )?{NOT}(?: \w+ly)? to {_SHUTS}",
            r"without (?:being able to (?:exclude|rule out)|excluding|ruling out)",
            rf"(?:nobody|no[ -]one)(?: has| have| can| could| will| would)?{_LY} (?:{_SHUTS}|excluded|ruled out)",
            rf"(?:there (?:is|was) )?no (?:way|means|chance|possibility) (?:to|of) (?:{_SHUTS}|excluding|ruling out)",
            rf"(?:{NOT}|no[ -]one can|nobody can)(?: ever)?(?: be)? (?:sure|certain|say|know|confident|promise)"
            r"(?: for (?:sure|certain))?(?: that)? (?:it|this|that)(?:'s not| is not| isn't)",
            r"(?:does|do|did|should|would|must) ?(?:not|n't) (?:mean|imply|prove)(?: that)?",
            r"(?:a|the)? ?(?:mistake|wrong|unwise|error|dangerous|premature) to (?:exclude|rule out|dismiss)",
        ),
        "may be",
    ),
    (
        _pattern(
            r"(?:unable|impossible|difficult|hard|not possible|not easy|failed|fails?|failure) to"
            rf"(?: \w+ly)? (?:{_SHUTS}|confirm or exclude)",
            r"(?:not|n't) (?:really |at all |all that |so |very )*(?:impossible|inconceivable|implausible|unlikely"
            r"|improbable"
            r"|unthinkable|out of the question)",
            r"nothing (?:speaks|argues|counts|militates)? ?against",
            rf"(?:{NOT}|yet to)(?: yet)?(?: be| been)* (?:confirmed|proven|proved|established)(?! (?:by|with|on|in"
            rf"|through))",
            r"with or without|whether or not",
        ),
        "possible",
    ),
    # doubled
    (
        _pattern(
            rf"(?:{NOT}|hardly|by no means|far from|anything but)(?: be| at all| all that| so| very| that"
            rf"| entirely)* {_FEW}(?! to)"
        ),
        "common",
    ),
    (
        _pattern(
            rf"(?:{NOT}|hardly)(?: so| very)* (?:seldom|(?:uncommon|infrequent|unusual|rare)ly)", r"more often than not"
        ),
        "often",
    ),
    (
        _pattern(r"(?:never|not ever|hardly ever|almost never) (?:absent|missing|lacking)"),
        "always there",
    ),
    (_pattern(r"(?:rarely|seldom|hardly|scarcely) (?:absent|missing|lacking)"), "often there"),
    (_pattern(rf"(?:(?:do|does|did) )?(?:{NOT}|hardly(?: ever)?|rarely|seldom) spare[sd]?"), "affects"),
    (_pattern(rf"(?:{NOT}|by no means|in no way) (?:absent|missing)"), "present"),
    (_pattern(r"(?:never|not ever) without"), "always with"),
    (_pattern(r"never w/o"), "with"),
    (_pattern(r"(?:rarely|seldom|hardly ever|almost never|scarcely ever) without"), "often with"),
    (_pattern(r"not (?:at all )?in(?:compatible|consistent) with"), "compatible with"),
    (_pattern(r"(?:has|have|had) yet to"), "does not"),
    (re.compile(r"(?<=\bnot)\s+yet\b|(?<=n't)\s+yet\b", re.IGNORECASE), ""),
    (_pattern(rf"(?:not|hardly|scarcely|by no means|{AUX_NOT}) (?:without|free (?:of|from)|devoid of)"), "with"),
    (_pattern(r"(?:incomplete|unthinkable) without"), "present with"),
    (
        _pattern(
            rf"(?:(?:do|does|did) )?(?:{NOT}|(?:hardly|scarcely)(?: ever)?|rarely|seldom|almost never) "
            r"lack(?:s|ed|ing)?(?: in)?"
        ),
        "has",
    ),
    (_pattern(r"(?:never|rarely|seldom|hardly ever) fail(?:s|ed)? to"), "always"),
    (_pattern(rf"(?:(?:do|does|did|has|have) )?{NOT} fail(?:s|ed)? to"), "does"),
    (
        re.compile(
            r"\b((?:there\s+(?:is|are|was|were)\s+)?(?:no|hardly\s+an?y?|never|not\s+an?y?))\b"
            r"([^.,;:!?]{2,40}?)\b(?:without|(?:who|that|which)\s+(?:does(?:\s+not|n't)|lacks?))(?!\w)",
            re.I,
        ),
        _all,
    ),
    (re.compile(r"\bno way\s+(?:that\s+)?(?:this|that|it|he|she)(?:\s+is\s+not|\s+isn't|'s\s+not)\b", re.I), "surely"),
    (re.compile(r"\b(?:this|that|it)\s+(?:can't|cannot|couldn't)\s+not\s+be\b", re.I), "it is"),
    # more than, only
    (re.compile(r"\b(not\s+(?:only|just|merely|simply|solely))\b([^.;:!?]*?)\bbut(?:\s+also)?\b", re.I), _also),
    (_pattern(r"not (?:only|just|merely|simply|solely)"), ""),
    (_pattern(r"(?:no|nothing|none)(?: more| else)?(?: other)? than|nothing but|no fewer than|no more than"), "only"),
    (_pattern(r"no less(?: than)?"), ""),
    (_pattern(r"without exception"), "always"),
    (_pattern(r"not to mention"), "and"),
    # idioms that deny no finding
    (
        _pattern(
            r"(?:can't|cant|cannot|won't|wont|will not|does not|doesn't|never)(?: just)? (?:stops?|bear|stand"
            r"|go away|sleep"
            r"|put up with|wait|emphasi[sz]e|stress)",
            r"(?:did not|didn't) (?:know|reali[sz]e)(?: that)?|no luck with|no cure for|no response to"
            r"|no contraindications? to"
            r"|no one treatment|not every",
            r"no (?=treatment works better than)",
        ),
        "",
    ),
    # denials in other words
    (_pattern(r"(?:has|have|had) fail(?:s|ed)? to"), "does not"),
    (_pattern(r"(?:fails|refuses|declines|omits|neglects) to"), "does not"),
    (_pattern(r"(?:is|are|was|were|remains?) (?:incapable of|unable to|not able to|powerless to)"), "cannot"),
    (_pattern(r"failed to"), "did not"),
    (_pattern(r"fail to"), "do not"),
    (_pattern(r"ain't"), "isn't"),
    (_pattern(r"aint"), "isnt"),
    (
        _pattern(
            r"(?:at no (?:time|point|stage)|under no circumstances|on no account|in no (?:way|sense|respect|case"
            r"|instance"
            r"|patients?|lesions?|one))|by no means|not once|never once"
        ),
        "never",
    ),
    (_pattern(r"far from(?! the| an?| typical| clear| certain| sure| conclusive| diagnostic)|anything but"), "not"),
    (re.compile(r"\b(?:not\s+a\s+single|not\s+one|not\s+any|zero|nil)\b(?=\s+[a-z])", re.I), "no"),
)
"""Tried from the first to the last, each on what those before have left."""


_BARE_NT = re.compile(r"\b(are|ca|could|did|do|does|had|has|have|is|must|should|was|were|wo|would)nt\b", re.IGNORECASE)
_ASIDE = re.compile(
    r",\s*(?:as (?:a rule|such|far as \w+ knows?)|however|of course|in (?:general|fact|truth|my \w+)|at all"
    r"|by definition"
    r"|for (?:example|instance)|usually|typically|to be (?:sure|clear)|i think|mind you)\s*,",
    re.IGNORECASE,
)
"""What is put in between: it must not stand between a "not" and its verb."""


@remembered(REMEMBERED)
def plain(text: str) -> str:
    """The text, as long as before, where what was denied twice is affirmed and what was hedged stands as possible."""
    text = text.replace("’", "'")
    for pattern, says in _PLAIN:
        text = pattern.sub(partial(_as_long, says=says), text)
    return text


def plainly(text: str) -> str:
    """`plain` for readers that keep no places: one blank between words, nothing but the sentence left."""
    line = _ASIDE.sub(" ", _BARE_NT.sub(r"\1n't", plain(text)))
    return text if line == text else re.sub(r"\s+([,.;:!?])", r"\1", " ".join(line.split())).lstrip(" ,;:")


def _as_long(match: re.Match[str], *, says: Says) -> str:
    new = says if isinstance(says, str) else says(match)
    if len(new) > len(match.group()):
        new = new.removeprefix("is ")
    return new.ljust(len(match.group()))


# --- what a sentence says of itself ------------------------------------------------------------

_SAY = r"(?:say|claim|think|believe|assert|state|suppose|maintain|conclude|assume|reckon|suggest|imagine|call)"
_PROOF = (
    r"(?:evidence|proof|signs?|indications?|reasons?|suggestion|hint|data|basis|grounds|stud(?:y|ies)|research"
    r"|trials?|truth)"
)
_FRAME = (
    rf"(?:you|we|they|one) (?:would|will|are|is)(?: be)? (?:wrong|mistaken) to {_SAY}(?: that)?",
    r"(?:never|do not|don't|dont) (?:let (?:anyone|anybody|others|them) tell you|tell me|kid yourself|pretend"
    r"|be fooled into (?:thinking|believing))(?: that)?",
    r"it (?:has|had) (?:not|never)(?: yet| ever)? been (?:shown|proven|proved|demonstrated|established|confirmed) that",
    r"(?:i am|i'm|we are|we're) (?:not|hardly) (?:convinced|persuaded|aware|sure)(?: at all)? that",
    r"(?:it (?:is|was|would be)|it's|that is)(?: simply| just| quite| clearly)?(?! \w+ to (?:deny|dispute|doubt"
    r"|question|ignore"
    r"|overlook|forget))"
    r" (?:not (?:true|correct|right|so|the case|a fact)|untrue|false|wrong|incorrect|inaccurate"
    r"|an? (?:\w+ )?(?:myth|misconception"
    rf"|mistake|error|fallacy|lie)|nonsense|doubtful|improbable)(?: to {_SAY})?(?: that)?",
    rf"(?:there (?:is|was|are)|there's|(?:we|they|i) have|has)? ?(?:no|little|hardly any|not any|not a shred of"
    rf"|insufficient)"
    rf"(?: \w+)? {_PROOF}(?: to {_SAY}| for {_SAY}ing| (?:suggests?|shows?|proves?|has (?:ever )?shown|have shown"
    rf"|supports?"
    rf"(?: the (?:idea|claim|view))?|in (?:it|the claim)))? that",
    rf"(?:nothing|little|nobody|no[ -]one|none of \w+)(?: \w+)?(?: ever| has| have| would| is there| there is)*"
    rf" (?:to )?(?:suggests?|shows?|shown|proves?|proven|indicates?|supports?|points? to|implies|found|{_SAY}s?)"
    rf"(?: the (?:idea|claim|view|notion|fact))? that",
    rf"(?:i|we|one|you|experts|doctors|they) (?:doubt|deny|(?:(?:do|would|can|could) ?not|don't|cannot|can't|wouldn't"
    rf"|couldn't) {_SAY})(?: that)?",
    rf"(?:never|do not|don't|nobody should) (?:{_SAY}|leave with the idea)(?: that)?",
    r"contrary to (?:\w+ )?(?:belief|opinion|claims?|view|idea|notion) that",
    rf"(?:it (?:is|was|would be)|it's)(?: \w+ly)? (?:absurd|ridiculous|silly|foolish|naive|misleading|far-fetched"
    rf"|premature)"
    rf" to {_SAY}(?: that)?",
)
_DENIES_ALL = _pattern(*_FRAME)
_OPENING = re.compile(r"^\W*(?:(?:and|but|so|however|clearly|of course|in fact|also|actually)\b\W*)*", re.IGNORECASE)
_VERDICT = re.compile(
    r"^(?:that\s+|the\s+(?:claim|idea|notion|belief|view|statement)\s+that\s+)(.{8,}?)\s+(?:is|was)\s+(?:simply\s+)?"
    r"(?:not\s+(?:true|correct|so|right)|untrue|false|wrong|incorrect|an?\s+\w*\s*(?:myth|misconception|error|fallacy)"
    r"|nonsense|mistaken)\W*$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Proposition:
    """What a sentence is about to say, and whether it says so in order to deny it."""

    text: str
    denied: bool = False


def proposition(sentence: str) -> Proposition:
    """'It is not true that melanoma itches.' -> 'melanoma itches.', denied."""
    line = sentence.replace("’", "'")
    begins = _OPENING.match(line)
    start = begins.end() if begins else 0
    verdict = _VERDICT.match(line, start)
    if verdict:
        return Proposition(sentence[verdict.start(1) : verdict.end(1)] + ".", denied=True)
    frame = _DENIES_ALL.match(line, start)
    return Proposition(sentence[frame.end() :].lstrip(" ,:"), denied=True) if frame else Proposition(sentence)


# --- triggers and their scopes -----------------------------------------------------------------


@dataclass(frozen=True)
class Trigger:
    category: Category
    reach: Reach
    start: int
    end: int


@dataclass(frozen=True)
class Said:
    """How a text says a name. Several may hold: "may lack scale" is a denial that is only possible."""

    denied: bool = False
    possible: bool = False
    rare: bool = False
    aside: bool = False  # put second or advised against: "more like a wart than a corn", "avoid steroids"

    @property
    def status(self) -> Status:
        if self.possible:
            return "uncertain"
        if self.denied or self.aside:
            return "denied"
        return "seldom" if self.rare else "affirmed"


_TRIGGERS: tuple[tuple[Category, Reach, re.Pattern[str]], ...] = (
    (
        "denied",
        "after",
        _pattern(
            r"(?:(?<=^)|(?<=[.;,:]\s))(?:(?:not|never) (?:seen|found|present|visible|observed"
            r"|detected)|absent|less likely(?! than)|doubt(?! (?:that|about|remains)))(?= \w)"
        ),
    ),
    (
        "possible",
        "before",
        _pattern(
            r"(?:(?:must|should|needs?|has|have|ought|remains?|is|are)(?: to)?(?: always| first| \w+ly)*(?: to)? be"
            r"(?: always| first| \w+ly)*) (?:excluded|ruled out|considered|suspected)",
            r"has yet to be \w+|until proven otherwise|(?:is|are|was|were|remains?|stays?)(?: only| still| yet"
            r"| as yet)*?"
            r" (?:suspected|questionable|unclear|uncertain|unproven|equivocal|doubtful|conceivable|still open"
            r"|left open|undecided"
            r"|unresolved|unsettled|pending|debatable|in doubt|anyone's guess|under consideration)",
            r"(?:is|are) (?:sometimes|occasionally) (?:absent|missing)",
            r"need not be(?: \w+)?|not invariably|(?:to )?be (?:excluded|ruled out)|was raised|develops",
        ),
    ),
    (
        "possible",
        "both",
        _pattern(
            r"(?:is )?possible|possibly|maybe|perhaps|query|ddx:?|vs\.?|versus|(?:is|are) not (?:always|invariably"
            r"|necessarily)"
        ),
    ),
    (
        "possible",
        "after",
        _pattern(
            r"may|might|could(?! (?:not|find))|suspected|susp\.?|suspicious (?:for|of)|suspicion (?:of|for|about)"
            r"|(?:worr|concern)\w*"
            r"(?: (?:for|about|that))?|scared|afraid|poss|differential includes|consider(?:ed)?"
            r"|raises? the possibility of",
            r"(?:to |please |must |should |plan:? )?(?:exclude|rule out|r/o)|if|whether|unless|not sure|unsure"
            r"|no idea|idk"
            r"|haven't a clue|return if|in case of|safety-?netted|re:?|equivocal for|doubtful|insufficient evidence for"
            r"|(?:compatible|consistent) with,? but not|cannot (?:confirm|distinguish|tell)|can't (?:confirm|tell)"
            r"|not (?:always|all|necessarily|invariably)|need not|is (?:this|it|that)|isn't (?:this|it|that)"
            r"|doesn't this|please tell me|not until|questionable|potential(?:ly)?|presumed",
            rf"(?:{NOT}{_LY}(?: be| been| feel)?(?: \w+ly)?|far from|hardly) (?:sure|certain|happy|satisfied"
            rf"|convinced|confident"
            r"|persuaded|settled|proven|clear(?= that| if| whether| what)|conclusive|diagnostic"
            r"|pathognomonic)(?: that| if| whether| of| for)?",
            rf"{NOT}(?: quite| really| fully| altogether)? (?:convince|persuade) (?:myself|ourselves)(?: that| of)?",
            r"(?:far from|hardly|scarcely|not exactly) (?:typical|classic(?:al)?|characteristic)(?: of| for)?",
            r"(?:at first|initially|originally) (?:thought|suspected|considered|felt|wondered)(?: \w+)?"
            r"|(?:thought|suspected|considered|felt|wondered) (?:at first|initially|originally)(?: (?:of|about))?",
            r"(?:i|we|she|he|they) (?:wish|wished|hope|hoped|pray|prayed)(?: (?:it|this|that) (?:is|was"
            r"|were))?(?: just| only)?|if only|hoping|hopefully|praying|who (?:says?|said"
            r"|knows)|how do (?:you|they|we|i) know",
            r"suspects?(?: of)?|think(?:ing)? (?:of|on|about)|thought (?:of|to|about)(?! be)|brings? to mind"
            r"|reminds? (?:\w+ )?of",
            r"surprised (?:to (?:find|see|hear)|if|by)|(?<!no\s)possibility of|(?:refuses?|hard"
            r"|difficult) to (?:believe|accept)",
            r"for (?:the )?(?:exclusion|exclude) of|(?:for|towards?) (?:excluding|ruling out)",
        ),
    ),
    (
        "denied",
        "before",
        _pattern(
            r"(?:(?:is|are|was|were) )?(?:absent|lacking|missing|neg|gone|resolved|spared|unlikely|improbable"
            r"|less (?:likely|probable|common)(?: than)?|impossible|out of the question|refuted|disproved|denied)",
            rf"(?:{NOT}|no longer|never|nowhere)(?! (?:always|invariably|necessarily))(?: \w+ly| yet| as yet| to be"
            rf"| been| be| an?y?| the)* (?:seen"
            rf"|present|visible|found|expected|observed"
            r"|a (?:\w+ )?feature|feature|part|identified|detected|noted|appreciated|demonstrated|involved"
            r"|recommended|used|given|help|likely|suspected|evident|there|apparent|form part|probable|plausible"
            r"|credible)",
            rf"(?:i|we|they|you) {NOT} (?:see|find|note|observe|detect|identify)(?=\s*(?:[.;,]|$))|(?:is"
            rf"|are) out(?=\s*(?:[.;,]|$))",
            rf"(?:do not|don't|never) go together|(?:can|could)(?: \w+ly)? be(?: \w+ly)? {_SHUT}",
            r"(?:is|are|was|were|has been|have been|been)(?: \w+ly)? (?:discarded|discounted|dismissed|rejected"
            r"|disproved|disproven|refuted|(?:false|wrong|incorrect|mistaken|erroneous|untrue)(?! (?:to|for|as|by)\b))",
            rf"{NOT} an? (?:\w+ )?(?:consideration|concern|possibility|candidate|issue)",
            r"(?:has|have) (?:gone|stopped|resolved|cleared|disappeared)|(?:stopped|ceased|cleared up"
            r"|disappeared)(?: \w+)? ago"
            r"|in none(?: of \w+)?|(?:is|are) lacking|conspicuous by"
            r"|left alone|but not any ?more|should (?:not|never) be (?:used|given)|n/a",
        ),
    ),
    ("rare", "before", _pattern(r"(?:rare|unusual|uncommon|exceptional|scarce|infrequent)(?!ly)")),
    (
        "denied",
        "both",
        _pattern(
            r"(?:rul(?:es?|ed|ing) out|exclud(?:es?|ed|ing)|exclusion of|disproves?|refutes?)|none|(?:(?:is"
            r"|are) )?(?:absent|missing) from"
        ),
    ),
    (
        "denied",
        "after",
        _pattern(
            r"(?:no|not|nothing|nor) (?:further )?(?:suspicious (?:for|of)|suspicion (?:of|for|about)"
            r"|concerns? (?:for|about)|evidence (?:of|for)"
            r"|signs? of|history of"
            r"|suggestion of|hint of|trace of|indication of|suggestive of|(?:thing )?to suggest"
            r"|to support(?: a diagnosis of)?)",
            r"(?:i|we|you|they) can(?: \w+ly)? (?:exclude|rule out)|in(?:compatible|consistent) with"
            r"|nothing (?:suggests|supports|indicates|points to|to suggest|to indicate|to support(?: a diagnosis of)?"
            r"|suggestive of|(?:here )?that would make (?:me|us) think of|in favou?r of)|little (?:speaks|argues) for",
            r"(?:argues?|speaks?|counts?|evidence|militates?|and|but) against",
            r"(?:no|without(?: any)?|not any|lacks?|lacking)(?: \w+){1,3} (?:to suggest|suggesting|suggestive of"
            r"|to indicate"
            r"|indicating|indicative of|to support|supporting|pointing (?:to|towards?)|in keeping with|consistent with"
            r"|typical of|characteristic of)",
            r"nor (?:is|are|was|were|do|does|did|has|have|had|can|could|will|would)(?: (?:there|it|he|she|they|we|i))?",
            r"(?:unable|impossible) to (?:find|see|identify|demonstrate|detect)",
            r"(?:does not|do not|doesn't|don't) respond(?: \w+)? to",
            r"no (?:\w+ )?(?:reason|grounds?|cause|need) (?:to|for) (?:suspect|think of|consider|worry about|fear"
            r"|suspecting)",
            r"(?:stopped|ceased|quit)(?= (?!us|tak|apply|do|work|respond|get|hav|be)\w+ing\b)",
            r"(?:resolution|disappearance|clearance) of|(?:is|are|was|were) spared (?:the|any|from|all)",
            rf"{NOT}(?! (?:sure|until|always|all|necessarily|invariably|only))|no|none of|neither|nor|nobody"
            rf"|nothing|no one|nowhere|without|w/o|sans|minus"
            r"|lack(?:s|ed|ing)?(?: of)?|absent|absence(?: of)?|devoid of|void of|bereft of|free (?:of|from)"
            r"|(?:skin|margins?|scalp)? ?clear of"
            r"|den(?:y|ies|ied|ying)|negative(?: for)?|neg(?: for)?|-ve(?: for)?|unremarkable for|no longer"
            r"|unlikely(?: to be)?|improbable"
            r"|less likely|rather than|instead of|in place of|as opposed to|(?:i|we) doubt|(?<=,\s)doubt|never"
            r"|spar(?:es?|ed|ing)",
        ),
    ),
    (
        "rare",
        "after",
        _pattern(
            r"hardly(?: ever| any)?|rarely|seldom|scarcely(?: any)?|barely(?: any)?|few|only exceptionally|not often"
        ),
    ),
    ("aside", "after", _pattern(r"than|unlike|better than|avoid(?:s|ed|ing)?")),
    (
        "aside",
        "before",
        _pattern(r"(?:(?:is|are) )?contra-?indicated|(?:is|are) (?:of no (?:use|help|value|benefit)|useless)"),
    ),
    ("except", "after", _pattern(r"except(?: for)?|apart from|other than|aside from|save for|bar")),
)
_MARKS: tuple[tuple[Category, Reach, re.Pattern[str]], ...] = (
    ("possible", "after", re.compile(r"\?+(?=\s?\w)")),
    (
        "denied",
        "before",
        re.compile(r"(?<=:)\s*(?:no|none|nil|n|neg|not identified|not seen|absent)\b(?=\s*(?:[.;,]|$))", re.I),
    ),
    ("denied", "before", re.compile(r"\s(?:no|neg|nil|-{1,2})(?=\s*(?:[.;,]|$))", re.I)),
    ("denied", "after", re.compile(r"Ø|(?<!\w)\(-\)|^[-–]\s?(?=\w[^+]*\+)|(?<=,\s)[-–]\s(?=\w)")),
    ("denied", "before", re.compile(r"\br/o'?e?d\b", re.IGNORECASE)),
    ("denied", "next", re.compile(r"\bnon[- ](?=\w)", re.IGNORECASE)),
)
_CLAUSE = re.compile(r"[.;:!?](?:\s|$)|(?<=\w)[;:](?=\s)", re.IGNORECASE)
_NEW_CLAUSE = re.compile(
    r"\s*(?:,|\band\b|\bso\b)+\s*(?:(?:he|she|it|they|we|i|you|there|this|these|those)\b|(?:he|she|it|there|that)'s\b)"
    r"|\(\+\)|(?:^|[\s,;])\+\s?(?=\w|$)|\s*(?:,|\band\b)+\s*with\b|,\s*(?:is|are|was|were|has|have|its|more(?: like"
    r"| likely| of)?|rather(?! than))\b",
    re.IGNORECASE,
)
_VERSUS = re.compile(r"vs\.?|versus", re.IGNORECASE)
"""What doubts both of those between which it stands."""
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_JOINS = re.compile(r"[\s,/]|\b(?:and|or|nor|as well as|the|an?|any|both)\b", re.IGNORECASE)
_WHOLE = re.compile(r"\b(?:all|every|each|always|complete)\b", re.IGNORECASE)
"""Of a whole an exception is what it lacks; elsewhere it is what there is: "no lesions except an angioma"."""
_STANDS = re.compile(
    r"\s+(?:is|are|was|were)\s+(?:clearly\s+)?(?:present|seen|visible|noted|found|striking)\b", re.IGNORECASE
)


@dataclass(frozen=True)
class Heard:
    """A text, what of it is plainly said, and the triggers in it."""

    text: str
    triggers: tuple[Trigger, ...]
    frames: tuple[int, ...]  # where denials end that deny a whole statement: "nothing suggests that ..."

    def said(self, start: int, end: int, *, names: Sequence[tuple[int, int]] = ()) -> Said:
        """How the text says what stands at `start` to `end`; `names` are the places of all names in it."""
        triggers = [t for t in self.triggers if not any(s <= t.start and t.end <= e for s, e in (*names, (start, end)))]
        before = [t for t in triggers if t.reach != "before" and self._reaches(t, start, end, names)]
        behind = [t for t in triggers if t.reach in ("before", "both") and self._reaches_back(t, start, end, names)]
        found = self._nearest(before) + behind
        if any(t.category == "possible" for t in behind):
            found = [t for t in found if t.category != "denied"]  # "without biopsy melanoma cannot be excluded"
        denied = any(t.category == "denied" for t in found)
        excepted = max((t.end for t in before if t.category == "except"), default=0)
        if excepted and not any(t.category == "denied" and t.start >= excepted for t in found):
            denied = bool(_WHOLE.search(self.text[:start]))
        denied ^= sum(self._frames(frame, start) for frame in self.frames) % 2 == 1
        return Said(
            denied=denied,
            possible=any(t.category == "possible" for t in found),
            rare=any(t.category == "rare" for t in found),
            aside=any(t.category == "aside" for t in found),
        )

    @staticmethod
    def _nearest(before: list[Trigger]) -> list[Trigger]:
        """Of each category the last one: "no papule, no pustule" denies the pustule once."""
        return list({trigger.category: trigger for trigger in before}.values())

    def _reaches(self, trigger: Trigger, start: int, end: int, names: Sequence[tuple[int, int]]) -> bool:
        if trigger.end > start or (trigger.reach == "next" and trigger.end < start):
            return False
        between = _blanked(self.text, trigger.end, start, names)
        if _CLAUSE.search(between) or _NEW_CLAUSE.search(between):
            return False
        words = [word.lower() for word in _WORD.findall(between)]
        if len(words) > WINDOW or any(word in STOPS for word in words):
            return False
        joined = re.search(r"(?:,|\band)\s*$", between) and not re.search(r"\bor\b", between)
        return not (joined and _STANDS.match(self.text, end))

    def _reaches_back(self, trigger: Trigger, start: int, end: int, names: Sequence[tuple[int, int]]) -> bool:
        if trigger.start < end:
            return False
        versus = _VERSUS.fullmatch(self.text, trigger.start, trigger.end)
        if trigger.reach == "both" and not versus and self._is_followed(trigger, names):
            return False
        between = _blanked(self.text, end, trigger.start, names)
        if not _JOINS.sub("", between.replace(":", "")) and (
            "," not in between or re.search(r"\b(?:and|or)\b", between)
        ):
            return True
        words = [word.lower() for word in _WORD.findall(between)]
        return not re.search(r"[.,;:!?]", between) and len(words) <= BACK and not any(word in STOPS for word in words)

    def _is_followed(self, trigger: Trigger, names: Sequence[tuple[int, int]]) -> bool:
        """Whether a name stands right behind: "biopsy excluded melanoma" excludes no biopsy."""
        skipped = re.compile(r"\s*(?:(?:an?|the|any|early)\s+)*").match(self.text, trigger.end)
        return any(start == skipped.end() for start, _ in names) if skipped else False

    def _frames(self, frame: int, start: int) -> bool:
        between = self.text[frame:start]
        return frame <= start and not re.search(r"[.;!?]|\b(?:but|however|although)\b", between, re.IGNORECASE)


def _blanked(text: str, start: int, end: int, names: Sequence[tuple[int, int]]) -> str:
    """A stretch of the text without the names in it."""
    for s, e in names:
        if start <= s and e <= end:
            text = text[:s] + " " * (e - s) + text[e:]
    return text[start:end]


@remembered(REMEMBERED)
def hear(text: str) -> Heard:
    """The triggers of a text."""
    line = plain(text)
    frames = [match.span() for match in _DENIES_ALL.finditer(line)]
    for start, end in frames:
        line = line[:start] + " " * (end - start) + line[end:]
    matches = [
        Trigger(category, reach, match.start(), match.end())
        for category, reach, pattern in (*_TRIGGERS, *_MARKS)
        for match in pattern.finditer(line)
    ]
    found: list[Trigger] = []
    for one in sorted(matches, key=lambda trigger: trigger.start - trigger.end):  # the longest first
        if not any(one.start < other.end and other.start < one.end for other in found):
            found.append(one)
    found.sort(key=lambda trigger: trigger.start)
    return Heard(line, tuple(found), tuple(end for _, end in frames))


# --- counts ------------------------------------------------------------------------------------


def warns(text: str) -> bool:
    """Whether it tells somebody not to overlook something: "do not miss melanoma"."""
    return bool(_WARNING.search(text.replace("’", "'")))


def denies(word: str) -> bool:
    """Whether a single word denies: "can't", "cant", "never", "nobody"."""
    return bool(_DENYING_WORD.fullmatch(word))


def leaves_open(text: str) -> bool:
    """Whether a sentence asks, or says that nobody knows: "it is not clear if ..."."""
    return bool(_OPEN.search(text))


def asks_whether(text: str) -> bool:
    """Whether it only asks what something is ("is it infectious, like a wart?"), and suspects nothing."""
    return bool(_ASKS_WHETHER.search(text))


def asks_for_lack(question: str) -> bool:
    """Whether it asks for what is not there ("what rules out ...?")."""
    return bool(_ASKS_FOR_LACK.search(question))


def triggers(text: str) -> int:
    """How many triggers a clause has that deny or call rare, "without" and "is missing" among them."""
    heard = hear(text)
    found = [t for t in heard.triggers if t.category in ("denied", "rare")]
    return len(found) - sum(heard.text[t.start : t.end].lower() == "nor" for t in found[1:])


def denials(text: str) -> int:
    """How often a clause denies, by a word of its own for it ("not", "rarely"), not by what is lacking."""
    return len(DENIAL.findall(text))


def turns(text: str) -> int:
    """How often a text turns round what it says, in whatever words; "not only" does not."""
    return len(TURNS.findall(_ONLY.sub(" ", text)))
