"""Addresses that no source may have: a copy, a proxy, a test host or a front page. Knows no graph."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

REFUSED: tuple[tuple[str, str], ...] = (
    (r"(?:^|[.-])bibliotheek\.|(?:^|\.)(?:ezproxy|idm\.oclc)\b|\.elogim\.com$|\bproxy\b", "a library's proxy"),
    (r"(?:^|\.)(?:staging|dev|test|qa\d*|origin|[a-z]+-cache)\.|(?:^|[.-])(?:qa\d+|ma1|medauth\d*)\.", "a test host"),
    (r"(?:^|\.)(?:netlify\.app|cloudwaysapps\.com|bridge-teams\.com|pages\.dev|vercel\.app)$", "a test host"),
    (r"(?:^|\.)(?:scribd|docslib|docsci|docksci|docobook|spotidoc|studyres|esdocs|pdfcoke)\.", "a copy"),
    (r"(?:^|\.)(?:[vf]documents|dokumen|doczz|studylib\w*|healthdocbox|docplayer|123doc|pdf4pro)\.", "a copy"),
    (r"(?:^|\.)(?:medilib|uptodatefree|physician\.tw|sci-hub|libgen|exosomatic)\b", "a copy"),
    (r"(?:^|\.)(?:clateway|handwiki|distantreader|globalauthorid)\b", "a copy"),
    (r"^misc\.medscape\.com$", "an app's own copy"),
    (r"inhibitor\.com$", "a copy that sells something"),
    (r"(?:^|\.)(?:metajournal|paperexplained|researcher\.life|semanticscholar|scite\.ai)\b", "a copy of an abstract"),
    (r"(?:^|\.)(?:bvsalud\.org|researchgate\.net|mendeley\.com|scilit\.\w+|qxmd\.com)$", "a copy of an abstract"),
    (r"(?:^|\.)(?:skyscape\.com|biocyclopedia\.com|skin-disease-care\.com)$", "a copy of a book"),
    (r"(?:^|\.)(?:plasticsurgery|obgyn|oncohema|radiology|ento|thoracic|anesthesia)key\.com$", "a copy of a book"),
    (r"(?:^|\.)(?:slideserve|slideshare|slideplayer)\.", "slides that somebody put up"),
    (r"(?:^|\.)(?:droracle\.ai|medsug\.com|qammunity\.org)$", "answers that no author stands for"),
    (r"(?:^|\.)(?:web\.archive\.org|archive\.ph|webcache\.\w+|translate\.\w+)$", "a cache or a translation"),
    (r"^[\d.]+$|\.$", "a bare number, or a name with a dot at its end"),
)
"""Patterns of host names, and what stands there. In place of it: the publisher, the DOI, PubMed or PMC."""


WHOLE: frozenset[str] = frozenset({"mondo.monarchinitiative.org", "disease-ontology.org"})
"""Hosts that are the cited work itself: their front page is its address."""

FRONT = re.compile(r"(?:/(?:home|index|default)(?:\.\w+)?|/[a-z]{2}(?:-[a-z]{2})?)?/*", re.IGNORECASE)
"""The path of a front page: none, or no more than a language or `home`."""


def refused(url: str) -> str | None:
    """What stands at this address instead of the publisher's page, or None.

    An address with a port is refused, and so is a front page: nobody finds there what a fact says.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if re.match(r"https?://[^/]*:\d+", url):
        return "a proxy's port"
    if host and host not in WHOLE and not parts.query and FRONT.fullmatch(parts.path):
        return "a front page"
    return next((reason for pattern, reason in REFUSED if re.search(pattern, host)), None)
