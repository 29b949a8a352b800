"""What the browser says and what it is answered, without gradio: one message in, one reply out, both plain JSON.

    controller = ReviewController(Access(settings), lambda: Store.open(settings), verdicts, runs)
    controller.answer({"do": "sign_in", "fields": {"name": "ada"}})     # {"token": ..., "frame": html, "work": {...}}
    controller.answer({"do": "vote", "token": ..., "key": ..., ...})    # {"saved": {...}, "work": {...}}

Every message that changes something may come twice: the browser repeats what was not acknowledged. What cannot be done
is answered with a sentence in "error"; what may be tried again, with "later".
"""

from __future__ import annotations

import base64
import logging
import threading
import time
from collections.abc import Callable
from functools import cached_property
from importlib import import_module
from pathlib import Path

from markupsafe import Markup

from dermiq.errors import DermIQError, InputError
from dermiq.knowledge import Graph
from dermiq.language import _
from dermiq.language import said as in_our_language
from dermiq.review.measures.columns import Votes
from dermiq.review.measures.quality import report_of
from dermiq.review.store.database import NotTaken
from dermiq.review.store.store import Store
from dermiq.settings import Settings
from dermiq.types import Fields, Json
from dermiq.ui.review import layout, quality_page
from dermiq.ui.review.access import Access, Person
from dermiq.ui.review.administration import Administration
from dermiq.ui.review.contribute import Contributions
from dermiq.ui.review.pair_page import Rules
from dermiq.ui.review.reviewer import Item, ReviewerSession, Services, Work
from dermiq.ui.review.verdicts import Verdicts
from train.scoring.verdicts import judge_by

log = logging.getLogger(__name__)

MAX_SAID = 200  # characters of a name, a key, an id
MAX_FILES, MAX_SENT = 2_000, 50_000_000  # characters of base64, of all files of a message together
FIGURES_S = 60.0  # for which the public figures stand
FAILED = "That did not work; the log of the app says why."
Message = Fields
Reply = Json


def review_controller(settings: Settings, *, graph: Callable[[], Graph], runs: Path) -> ReviewController:
    """The controller of a page; its store is opened when somebody first signs in. `runs`: the training runs' folder."""
    return ReviewController(
        Access(settings), lambda: Store.open(settings, judge=judge_by(graph)), Verdicts(graph), runs, Rules.of(settings)
    )


class ReviewController:
    """Shared by all visitors; who speaks is in the message's token."""

    def __init__(
        self,
        access: Access,
        open_store: Callable[[], Store],
        verdicts: Verdicts,
        runs: Path,
        rules: Rules | None = None,
    ) -> None:
        """`open_store`: asked once, when somebody first signs in."""
        self.access = access
        self._open_store, self._verdicts, self._runs, self._rules = open_store, verdicts, runs, rules
        self._opening, self._counting = threading.Lock(), threading.Lock()
        self._figures, self._counted_until = Markup(""), 0.0

    @property
    def contributions(self) -> Contributions:
        """Where the consultation's opinions and corrections go; closed where the review is."""
        return Contributions(lambda: self.services.store, offered=not self.access.closed)

    @property
    def services(self) -> Services:
        with self._opening:
            return self._services

    @cached_property
    def _services(self) -> Services:
        threading.Thread(target=_import_ahead, daemon=True).start()
        return Services(self._open_store(), self._verdicts, self._rules)

    def answer(self, message: object) -> Reply:
        """Never raises: the browser takes silence for a lost connection."""
        said: Message = message if isinstance(message, dict) else {}
        act = getattr(self, f"_do_{said.get('do')}", None)
        if act is None:
            return {"error": in_our_language("The page and the app are of different versions. Reload the page.")}
        try:
            return self._permitted(act, said)
        except NotTaken as error:
            log.error("%s: %s (%s)", said.get("do"), error, error.detail)
            return {"later": in_our_language(error)}
        except DermIQError as error:
            log.info("%s: %s (%s)", said.get("do"), error, error.detail)
            return {"error": in_our_language(error)}
        except Exception:
            log.exception("%s in the review tab failed", said.get("do"))
            return {"later": in_our_language(FAILED)}

    def _permitted(self, act: Callable[[Person, Message], Reply], said: Message) -> Reply:
        if said.get("do") in OPEN:
            return act(ANYBODY, said)
        person = self.access.who(text(said, "token"))
        if person is None:
            return self._sign_in_first()
        return act(person, said)

    # --- who is it ----------------------------------------------------------------------

    def _do_hello(self, nobody: Person, said: Message) -> Reply:
        if self.access.closed:
            return {"frame": str(layout.read_only(in_our_language(self.access.closed), self._public_figures()))}
        person = self.access.who(text(said, "token"))
        return self._welcome(person) if person else self._sign_in_first()

    def _public_figures(self) -> Markup:
        """Of what was judged, with neither names nor a pair; counted once in a while, since anybody can ask."""
        with self._counting:
            if time.monotonic() > self._counted_until:
                report = report_of(Votes.of(self.services.store.columns()), self.services.store.opinions())
                self._figures = quality_page.page(quality_page.without_names(report))
                self._counted_until = time.monotonic() + FIGURES_S
            return self._figures

    def _sign_in_first(self) -> Reply:
        """`asks`: a browser that knows the name goes on by itself where no password is needed."""
        return {"sign_in": str(layout.sign_in(self.access)), "asks": self.access.asks_reviewers}

    def _do_sign_in(self, nobody: Person, said: Message) -> Reply:
        fields = mapping(said, "fields")
        name, admin = text(fields, "name"), fields.get("admin") in (True, "true")
        try:
            token = self.access.sign_in(name, password=text(fields, "password"), admin=admin)
        except InputError as error:
            return {
                "sign_in": str(layout.sign_in(self.access, refused=in_our_language(error), name=name)),
                "asks": True,
            }
        return {"token": token, **self._welcome(self._known(token))}

    def _known(self, token: str) -> Person:
        """The store keeps everybody's role. One that was given there counts where a password proved the name."""
        person = self.access.who(token)
        assert person is not None
        store = self.services.store
        kept = store.add_reviewer(person.name, person.role, by=person.name)
        if person.is_admin and kept.role != "admin":
            store.set_role(person.name, "admin", by=person.name)
        if kept.role == "admin" and self.access.asks_reviewers:
            return self.access.promote(token)
        return person

    def _welcome(self, person: Person) -> Reply:
        return {
            "frame": str(layout.frame(person, lost=self.access.lost)),
            "work": work(ReviewerSession(self.services, person).work()),
        }

    def _do_sign_out(self, person: Person, said: Message) -> Reply:
        self.access.sign_out(text(said, "token"))
        return self._sign_in_first() | {"left": True}

    # --- judging ------------------------------------------------------------------------

    def _session(self, person: Person, said: Message) -> ReviewerSession:
        return ReviewerSession(self.services, person, "adjudicate" if said.get("mode") == "split" else "review")

    def _do_work(self, person: Person, said: Message) -> Reply:
        return {"work": work(self._session(person, said).work())}

    def _do_end(self, person: Person, said: Message) -> Reply:
        return {"parts": {"pair": str(self._session(person, said).end())}}

    def _do_vote(self, person: Person, said: Message) -> Reply:
        judged = self._session(person, said).vote(
            text(said, "showing"),
            text(said, "choice"),
            key=text(said, "key"),
            rubric=said.get("rubric"),
            comment=text(said, "comment", most=10_000),
            seconds=seconds(said),
            after=text(said, "after") or None,
            wanted=bool(said.get("wanted", True)),
        )
        return {"saved": {"vote": judged.vote, "said": judged.said}, "work": work(judged.work)}

    def _do_undo(self, person: Person, said: Message) -> Reply:
        return {"work": work(self._session(person, said).undo(text(said, "vote"))), "undone": text(said, "vote")}

    def _do_look(self, person: Person, said: Message) -> Reply:
        return {"parts": {"look": str(self._session(person, said).look_back(text(said, "vote")))}}

    def _do_check(self, person: Person, said: Message) -> Reply:
        marks = self._session(person, said).check(text(said, "showing"), text(said, "side"), long_text(said))
        return {"marks": str(marks)}

    def _do_edit(self, person: Person, said: Message) -> Reply:
        session = self._session(person, said)
        told = session.edit(text(said, "showing"), text(said, "side"), long_text(said), key=text(said, "key"))
        return {"told": told}

    def _do_draft(self, person: Person, said: Message) -> Reply:
        comment = text(said, "comment", most=10_000)
        self._session(person, said).keep_draft(
            text(said, "showing"), said.get("rubric"), comment, mapping(said, "texts")
        )
        return {"kept": True}

    # --- around it ----------------------------------------------------------------------

    def _administration(self, person: Person) -> Administration:
        return Administration(self.services.store, person, self._runs)

    def _do_quality(self, person: Person, said: Message) -> Reply:
        return {"parts": {"view": str(self._administration(person).quality())}}

    def _do_sets(self, person: Person, said: Message) -> Reply:
        return {"parts": {"view": str(self._administration(person).sets())}}

    def _do_freeze(self, person: Person, said: Message) -> Reply:
        frozen = self._administration(person).freeze(mapping(said, "fields"))
        told = _("{name} is frozen, with {n} pairs.").format(name=f"{frozen.name}@{frozen.version}", n=frozen.pairs)
        return self._do_sets(person, said) | {"told": told}

    def _do_train(self, person: Person, said: Message) -> Reply:
        return {"train": self._administration(person).trainable(text(said, "value"))}

    def _do_download(self, person: Person, said: Message) -> Reply:
        name, content = self._administration(person).download(text(said, "value"))
        data = base64.b64encode(content).decode()
        return {"download": {"name": name, "type": "application/zip", "data": data}}

    def _do_put_run(self, person: Person, said: Message) -> Reply:
        told = self._administration(person).put_run(text(said, "value"))
        return self._do_sets(person, said) | {"told": told}

    def _do_put_files(self, person: Person, said: Message) -> Reply:
        told = self._administration(person).put_files(files(said))
        return self._do_sets(person, said) | {"told": told}


def _import_ahead() -> None:
    """What the quality page draws with: a second that whoever opens it first need not wait for."""
    for name in ("pandas", "matplotlib.figure", "matplotlib.backends.backend_svg"):
        import_module(name)


ANYBODY = Person("", "reviewer")
OPEN = ("hello", "sign_in")
"""What is answered without a token."""


def text(said: Message, name: str, *, most: int = MAX_SAID) -> str:
    return str(said.get(name) or "")[:most]


def long_text(said: Message) -> str:
    return text(said, "text", most=100_000)


def files(said: Message) -> dict[str, bytes]:
    """What the browser read of the files that were chosen, by their names. InputError for too much of it."""
    sent = said.get("files")
    given = [one for one in sent if isinstance(one, dict)] if isinstance(sent, list) else []
    if len(given) > MAX_FILES or sum(len(str(one.get("data") or "")) for one in given) > MAX_SENT:
        raise InputError(
            "This is more than the browser can send at once: python -m dermiq review import FILE takes it."
        )
    try:
        return {text(one, "name"): base64.b64decode(str(one.get("data") or ""), validate=True) for one in given}
    except ValueError as error:
        raise InputError("The files did not arrive whole. Choose them again.") from error


def mapping(said: Message, name: str) -> Message:
    given = said.get(name)
    return given if isinstance(given, dict) else {}


def seconds(said: Message) -> float:
    given = said.get("seconds")
    return float(given) if isinstance(given, int | float) and given == given else 0.0  # not NaN


def work(found: Work) -> Reply:
    return {
        "items": [item(one) for one in found.items],
        "progress": str(found.progress),
        "last": found.last,
        "ended": found.ended,
    }


def item(one: Item) -> Reply:
    return {"pair": one.pair, "showing": one.showing, "html": str(one.html)}
