"""Who reviews, who administers, and where the tab is read-only. Knows no gradio and no store.

access = Access(settings)
token = access.sign_in("ada", password="", admin=False)   # InputError with a sentence where it is refused
access.who(token)                                         # Person("ada", "reviewer"), None after a restart
"""

from __future__ import annotations

import re
import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

from dermiq import places
from dermiq.errors import InputError
from dermiq.settings import Settings
from dermiq.ui.server.guesses import Guesses, same
from dermiq.ui.server.hosts import is_public

Role = Literal["reviewer", "admin"]
MAX_NAME, MAX_SIGNED_IN = 40, 5000
WRONG = "The name and the password do not belong together."
READ_ONLY = (
    "This page can be reached from other computers and names no reviewers, so here the tab only shows figures. Whoever "
    "runs it opens it for reviewing with DERMIQ_REVIEWERS (name:password, name:password) or DERMIQ_ADMIN_PASSWORD."
)

LOST = (
    "This Space has no storage of its own: votes, pairs and images that are given to the review are lost when it "
    "restarts. Whoever runs it attaches storage, or names a folder that is kept in DERMIQ_REVIEW."
)


@dataclass(frozen=True)
class Person:
    name: str
    role: Role

    @property
    def is_admin(self) -> bool:
        return self.role == "admin"


class Access:
    """On this computer's own address a name is enough where no passwords are set; elsewhere the tab is read-only
    without them. The administrator's password makes any name an administrator.
    """

    def __init__(self, settings: Settings) -> None:
        self._passwords = read_reviewers(settings.reviewers or "")
        self._admin_password = settings.admin_password or ""
        self._is_public = is_public(settings)
        self._is_placed = bool(settings.review)
        self._people: OrderedDict[str, Person] = OrderedDict()
        self._guesses = Guesses()
        self._lock = threading.Lock()

    @property
    def closed(self) -> str:
        """Why nobody can sign in, and how that is changed; "" where people can."""
        return READ_ONLY if self._is_public and not (self._passwords or self._admin_password) else ""

    @property
    def lost(self) -> str:
        """What becomes of votes at a restart, where they do not outlive it; "" where they do."""
        return LOST if places.is_space() and not self._is_placed and places.storage() is None else ""

    @property
    def asks_reviewers(self) -> bool:
        """Whether a reviewer needs a password."""
        return self._is_public or bool(self._passwords)

    @property
    def asks_admin(self) -> bool:
        """Whether an administrator needs a password."""
        return self._is_public or bool(self._admin_password)

    def sign_in(self, name: str, *, password: str = "", admin: bool = False) -> str:
        """A token for the browser's tab. Raises InputError where it is refused."""
        if self.closed:
            raise InputError(self.closed)
        person = Person(_checked_name(name), self._role(_checked_name(name), password, admin=admin))
        token = secrets.token_urlsafe(24)
        with self._lock:
            self._people[token] = person
            while len(self._people) > MAX_SIGNED_IN:
                self._people.popitem(last=False)
        return token

    def who(self, token: str) -> Person | None:
        return self._people.get(token)

    def promote(self, token: str) -> Person:
        """Makes who signed in an administrator. KeyError for a token that is none."""
        with self._lock:
            self._people[token] = Person(self._people[token].name, "admin")
            return self._people[token]

    def sign_out(self, token: str) -> None:
        with self._lock:
            self._people.pop(token, None)

    def _role(self, name: str, password: str, *, admin: bool) -> Role:
        asked = self.asks_admin if admin else self.asks_reviewers
        if not asked:
            return "admin" if admin else "reviewer"
        known = self._admin_password if admin else self._passwords.get(name, "")
        if not self._guesses.try_out(lambda: bool(known) and same(password, known)):
            raise InputError(WRONG)
        return "admin" if admin else "reviewer"


def _checked_name(name: str) -> str:
    said = " ".join(name.split())
    if not said:
        raise InputError("Say a name: your votes are kept under it.")
    if len(said) > MAX_NAME or not re.fullmatch(r"[\w .'’-]+", said):
        raise InputError(f"Choose a name of at most {MAX_NAME} letters, digits, spaces and . ' - _.")
    return said


def read_reviewers(text: str) -> dict[str, str]:
    """{name: password} of "name:password, name:password", or one a line. InputError for else; it names no password."""
    found: dict[str, str] = {}
    for number, entry in enumerate(filter(None, (part.strip() for part in re.split(r"[,\n]", text))), start=1):
        name, colon, password = entry.partition(":")
        if not (colon and name.strip() and password.strip()):
            raise InputError(f"DERMIQ_REVIEWERS: entry {number} is not of the form name:password.")
        found[_checked_name(name)] = password.strip()
    return found
