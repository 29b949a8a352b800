"""Addresses that no source may have: a copy, a proxy or a test host in place of the publisher. Knows no graph."""

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
    (r"(?:^|\.)(?:metajournal|paperexplained)\b", "a copy of an abstract"),
    (r"(?:^|\.)(?:web\.archive\.org|archive\.ph|webcache\.\w+|translate\.\w+)$", "a cache or a translation"),
    (r"^[\d.]+$|\.$", "a bare number, or a name with a dot at its end"),
)
"""Patterns of host names, and what stands there. In place of it: the publisher, the DOI, PubMed or PMC."""


def refused(url: str) -> str | None:
    """What stands at this address instead of the publisher's page, or None; an address with a port is refused too."""
    host = (urlsplit(url).hostname or "").lower()
    if re.match(r"https?://[^/]*:\d+", url):
        return "a proxy's port"
    return next((reason for pattern, reason in REFUSED if re.search(pattern, host)), None)
