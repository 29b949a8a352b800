"""Questions about the reading itself: how sure it is, what it assumed, whether the picture is good enough, what it
cannot see. They sound like small talk, and are in scope where there is a case.
"""

from __future__ import annotations

import re

ASKS = re.compile(
    r"\bhow (?:sure|certain|confident|reliable|accurate|trustworthy|dependable|often (?:are|is|do) (?:you|it|this)"
    r"|good are you|far (?:can|could|should|would|may) (?:i|we|one) (?:lean|rely|trust|go by))"
    r"|\b(?:can|could|should|may) (?:i|we) (?:really |actually |safely )?(?:trust|rely|bank|depend|believe|lean)\b"
    r"|\bare you (?:sure|certain|ever wrong)\b|\b(?:are|were) you ever wrong|\bhow wrong\b|\btrack record\b"
    r"|\byour (?:accuracy|error|reliability|confidence)\b|\bpercent(?:ages?)?\b.*\b(?:mean|sure|certain)"
    r"|\b(?:same as|mean) being (?:sure|certain|right)\b|^\W*(?:sure|certain|really)\W*$",
    re.IGNORECASE,
)
ASSUMED = re.compile(
    r"\b(?:assum\w+|suppos\w+|take|took) (?:in (?:their|its) place|instead|for (?:the )?(?:age|sex|site))"
    r"|\b(?:take|took|taken|taking) (?:\w+ )?(?:age|sex|site) into account"
    r"|\byou (?:use|used|count|counted|consider|considered) (?:the |her |his |their |my )?(?:age|sex|site)\b",
    re.IGNORECASE,
)
PICTURE = re.compile(
    r"\bblurr?(?:y|ed|ing)?\b|\bout of focus\b|\b(?:photo|picture|image|lighting|light)(?:'s|s)?\b[^?]*"
    r"\b(?:good enough|poor|bad|dark|sharp|quality|glare|reflection|filter)"
    r"|\b(?:another|better|second|sharper) (?:photo|picture|image|shot)\b",
    re.IGNORECASE,
)
UNSEEN = re.compile(
    r"\bwhat (?:can(?:no|')t|can not|don't|do you not|won't|would) (?:you|it|this) "
    r"(?:see|spot|recogni[sz]e|tell|know|read|miss)|\bblind spots?\b|\byour (?:limits|limitations|weak\w*)\b"
    r"|\bwhat (?:would|do|might|could) you (?:miss|overlook|get wrong)",
    re.IGNORECASE,
)
READERS = re.compile(
    r"\b(?:two|both|2) (?:of (?:your|the) )?(?:readers?|models?|opinions|systems|ais?)\b", re.IGNORECASE
)
"""Asks whether the two readers say the same."""
AGAINST = re.compile(
    r"\bdevil'?s advocate\b|\bargue (?:against|with) (?:yourself|it|that|your)"
    r"|\b(?:against|contradict|challenge) yourself\b"
    r"|\bpick (?:it|your answer|yourself) apart\b",
    re.IGNORECASE,
)


def is_of_the_reading(question: str) -> bool:
    return any(pattern.search(question) for pattern in (ASKS, ASSUMED, PICTURE, UNSEEN, READERS, AGAINST))
