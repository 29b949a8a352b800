"""What one reviewer does: takes pairs, votes, takes back, corrects, looks back, adjudicates. Knows no gradio.

    session = ReviewerSession(services, person)
    work = session.work()                                # the pair to judge and the one behind it
    judged = session.vote(showing, "a", key=key, ...)    # saved when this returns
    session.undo(judged.vote)

A session keeps nothing itself: the store does, so that a reviewer goes on after a reload or a restart of the app.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, cast

from markupsafe import Markup

from dermiq.errors import InputError
from dermiq.language import N_, _
from dermiq.review.measures.columns import Votes
from dermiq.review.measures.quality import OfReviewer, report_of
from dermiq.review.store.store import Store
from dermiq.review.types import RUBRIC, Choice, Draft, Edit, PairView, Progress, Rubric, Showing, Side, Vote
from dermiq.ui.markup import fill
from dermiq.ui.review import adjudicate, correct, finished
from dermiq.ui.review.access import Person
from dermiq.ui.review.pair_page import Rules, Seen, graph_words, looked_back, pair_page, vote_words
from dermiq.ui.review.picture import encoded, pictures
from dermiq.ui.review.verdicts import MAX_TEXT, Verdicts

Mode = Literal["review", "adjudicate"]
PICTURES = 200  # encoded images that are remembered
MAX_COMMENT, MAX_SECONDS = 4000, 24 * 3600.0


class Services:
    """What all reviewers share."""

    def __init__(self, store: Store, verdicts: Verdicts, rules: Rules | None = None) -> None:
        self.store, self.verdicts, self.rules = store, verdicts, rules or Rules()
        self.picture: Callable[[str], str] = lru_cache(maxsize=PICTURES)(lambda sha: encoded(store.image(sha)))


@dataclass(frozen=True)
class Item:
    """A pair on its way to the page."""

    pair: str
    showing: str
    html: Markup


@dataclass(frozen=True)
class Work:
    items: tuple[Item, ...]  # the one to judge first; empty where there is none
    progress: Markup  # how far the reviewer is, in a line
    last: str = ""  # the newest vote, which can be taken back
    ended: bool = False  # it was looked for a pair, and there is none


@dataclass(frozen=True)
class Judged:
    """An acknowledged vote."""

    vote: str
    said: str
    work: Work


class ReviewerSession:
    def __init__(self, services: Services, person: Person, mode: Mode = "review") -> None:
        """Raises InputError where someone else than an admin wants to adjudicate."""
        if mode == "adjudicate" and not person.is_admin:
            raise InputError(N_("Disagreements are decided by an administrator."))
        self.services, self.store, self.person, self.mode = services, services.store, person, mode

    # --- taking pairs -------------------------------------------------------------------

    def work(self) -> Work:
        """What the reviewer has before them: up to two pairs."""
        first = self.following(None)
        second = self.following(first.pair) if first else None
        return self._work(*(item for item in (first, second) if item), last=self._newest(), ended=first is None)

    def following(self, after: str | None) -> Item | None:
        """The pair behind `after`, which is on the screen."""
        taken = (
            self._disagreement(after) if self.mode == "adjudicate" else self.store.next(self.person.name, after=after)
        )
        return self._item(*taken) if taken else None

    def _disagreement(self, after: str | None) -> tuple[Showing, PairView] | None:
        left = self.store.disagreements()
        if after is not None:
            left = left[left.index(after) + 1 :] if after in left else left
        return self.store.adjudication(left[0], self.person.name) if left else None

    def _item(self, showing: Showing, view: PairView) -> Item:
        draft = self.store.draft(self.person.name, view.pair.id) or Draft()
        seen = self._seen(showing, view, draft, marks=self.services.rules.marks == "before")
        html = pair_page(seen, self.services.rules)
        if self.mode == "adjudicate":
            html = adjudicate.page(html, showing, list(self.store.votes(pair_id=view.pair.id)))
        return Item(view.pair.id, showing.id, html)

    def _seen(self, showing: Showing, view: PairView, draft: Draft, *, marks: bool, key: str = "pair") -> Seen:
        sources = {}
        for side in ("a", "b"):
            text = view.answer(showing.side(side)).text if marks else None
            sources[side] = self.services.verdicts.sources(view, f"{key}-{view.pair.id[:10]}-{side}", text=text)
        corrected: dict[str, str] = {showing.shown(side): edit.text for side, edit in self._edits(view).items()}
        return Seen(view, showing, pictures(view, self.services.picture), sources, draft, corrected)

    def _edits(self, view: PairView) -> dict[Side, Edit]:
        """This reviewer's own, the newest of each side."""
        sides: dict[str, Side] = {view.first.id: "first", view.second.id: "second"}
        every = self.store.edits(pair_id=view.pair.id)
        return {sides[edit.answer_id]: edit for edit in every if edit.reviewer == self.person.name}

    def _work(self, *items: Item, last: str, ended: bool = False) -> Work:
        if self.mode == "adjudicate":
            line = adjudicate.progress_line(len(self.store.disagreements()))
        else:
            line = progress_line(self.store.progress(self.person.name))
        return Work(items, line, last, ended)

    def end(self) -> Markup:
        """What is said where there is nothing to judge."""
        progress = self.store.progress(self.person.name)
        if self.mode == "adjudicate":
            return adjudicate.nothing()
        if progress.done == progress.skipped == 0:
            return finished.empty(is_admin=self.person.is_admin)
        return finished.page(self._own_figures(), progress)

    def _own_figures(self) -> OfReviewer | None:
        votes = self.store.columns()
        own = report_of(Votes.of(votes[votes["reviewer"] == self.person.name])).reviewers
        return own[0] if own else None

    def _newest(self) -> str:
        newest = self.store.last_vote(self.person.name)
        return newest.id if newest else ""

    # --- voting -------------------------------------------------------------------------

    def vote(
        self,
        showing_id: str,
        choice: str,
        *,
        key: str,
        rubric: object = None,
        comment: str = "",
        seconds: float = 0.0,
        after: str | None = None,
        wanted: bool = True,
    ) -> Judged:
        """Saves a vote, as shown. `after`: the pair that is on the screen by now; `wanted`: whether the page lacks the
        one behind it.
        """
        grades = read_rubric(rubric)
        if self.services.rules.rubric == "required" and choice != "skip" and not is_complete(grades):
            raise InputError(N_("Give all eight grades of the rubric first: it is needed for every vote here."))
        vote = self.store.vote(
            showing_id,
            cast(Choice, choice),
            reviewer=self.person.name,
            key=key,
            rubric=grades,
            comment=comment[:MAX_COMMENT],
            seconds=min(max(seconds, 0.0), MAX_SECONDS),
        )
        item = self.following(after) if wanted else None
        work = self._work(*([item] if item else ()), last=vote.id, ended=wanted and item is None)
        return Judged(vote.id, self._said(vote), work)

    def _said(self, vote: Vote) -> str:
        showing, view = self.store.showing(vote.showing_id), self.store.pair(vote.pair_id)
        said = _("Saved: {vote}.").format(vote=vote_words(showing, vote.choice))
        hidden = vote.choice == "skip" or self.services.rules.marks == "never"
        return said if hidden else f"{said} {graph_words(view, showing)}"

    def undo(self, vote_id: str) -> Work:
        """Takes a vote back; its pair is the first item, with what was said of it. Taking it back twice is once."""
        vote = self.store.undo(self.person.name, vote_id)
        if vote is None:
            raise InputError(N_("There is no vote to take back."))
        showing = self.store.showing(vote.showing_id)
        self._keep_said(vote, showing)
        return self._work(self._item(showing, self.store.pair(vote.pair_id)), last=self._newest())

    def _keep_said(self, vote: Vote, showing: Showing) -> None:
        """The rubric and the comment of a vote that is taken back, as a draft."""
        rubric: Rubric = {showing.shown(side): grades for side, grades in vote.rubric.items()}
        if rubric or vote.comment:
            before = self.store.draft(self.person.name, vote.pair_id) or Draft()
            self.store.save_draft(self.person.name, vote.pair_id, Draft(rubric, vote.comment, before.texts))

    def look_back(self, vote_id: str) -> Markup:
        """A pair that this reviewer has judged, with the graph's marks."""
        vote = self.store.find_vote(vote_id)
        if vote is None or vote.reviewer != self.person.name or vote.undone_at is not None:
            raise InputError(N_("This vote was taken back; the graph’s marks come after a vote."))
        if self.services.rules.marks == "never":
            raise InputError(N_("The graph’s marks are not shown to reviewers here."))
        showing, view = self.store.showing(vote.showing_id), self.store.pair(vote.pair_id)
        return looked_back(self._seen(showing, view, Draft(), marks=True, key="look"), vote.choice)

    # --- correcting ---------------------------------------------------------------------

    def check(self, showing_id: str, side: str, text: str) -> Markup:
        """What the graph says of a correction while it is typed. The marks of the two answers stay hidden."""
        view = self.store.pair(self._own(showing_id).pair_id)
        return correct.checked(text, self.services.verdicts.sources(view, f"edit-{side}", text=text[:MAX_TEXT]))

    def edit(self, showing_id: str, side: str, text: str, *, key: str) -> str:
        """Saves a correction, or takes it back with the model's own text. InputError where nothing was changed."""
        showing = self._own(showing_id)
        view, known = self.store.pair(showing.pair_id), showing.side(side)
        answer, before = view.answer(known), self._edits(view).get(known)
        corrected = text.replace("\r\n", "\n").strip()[:MAX_TEXT]
        if not corrected:
            raise InputError(N_("The corrected answer is empty. Write it, or close the field."))
        if corrected == answer.text.strip() and before:
            self.store.undo_edit(self.person.name, before.id)
            return _("The correction of {name} is taken back.").format(name=side.upper())
        if corrected == answer.text.strip():
            raise InputError(N_("Nothing was changed in the answer. Change it, or close the field."))
        self.store.edit(showing.pair_id, answer.id, corrected, reviewer=self.person.name, key=key)
        return _(
            "Correction of {name} saved; training will prefer it. Now choose between the two as they were."
        ).format(name=side.upper())

    def keep_draft(self, showing_id: str, rubric: object, comment: str, texts: Mapping[str, object]) -> None:
        showing = self._own(showing_id)
        kept = {side: str(text)[:MAX_TEXT] for side, text in texts.items() if side in ("a", "b")}
        self.store.save_draft(
            self.person.name, showing.pair_id, Draft(read_rubric(rubric), comment[:MAX_COMMENT], kept)
        )

    def _own(self, showing_id: str) -> Showing:
        showing = self.store.showing(showing_id)
        if showing.reviewer != self.person.name:
            raise InputError(N_("This pair was shown to somebody else. Reload the page."))
        return showing


def read_rubric(said: object) -> Rubric:
    """The grades in what the browser sent; whatever is none is left out."""
    given = said if isinstance(said, Mapping) else {}
    found: dict[str, dict[str, int]] = {}
    for side in ("a", "b"):
        grades = given.get(side)
        for name in RUBRIC if isinstance(grades, Mapping) else ():
            grade = cast(Mapping[str, object], grades).get(name)
            if isinstance(grade, int) and not isinstance(grade, bool) and 1 <= grade <= 5:
                found.setdefault(side, {})[name] = grade
    return found


def is_complete(rubric: Rubric) -> bool:
    return all(len(rubric.get(side, {})) == len(RUBRIC) for side in ("a", "b"))


def progress_line(progress: Progress) -> Markup:
    """ "12 of 80, about 20 min left", and the pace."""
    if not progress.total and not progress.skipped:
        return fill('<span class="dq-num">{line}</span>', line=_("No pair is in your queue"))
    said = [_("{done} of {total} judged").format(done=progress.done, total=progress.total)]
    if progress.skipped:
        said.append(_("{n} skipped").format(n=progress.skipped))
    if progress.minutes_left is not None and progress.left:
        said.append(_("about {time} left").format(time=_minutes(progress.minutes_left)))
    pace = [] if progress.seconds_each is None else [_("{n} s each").format(n=f"{progress.seconds_each:.0f}")]
    return fill(
        '<span class="dq-num">{said}</span> <small>{pace}</small>'
        '<progress max="{total}" value="{done}" aria-label="{label}"></progress>',
        said=", ".join(said),
        pace=", ".join([*pace, _("{n} today").format(n=progress.today)]),
        done=progress.done,
        total=progress.total,
        label=_("Judged so far"),
    )


def _minutes(minutes: float) -> str:
    if minutes < 1:
        return _("a minute")
    if minutes < 90:
        return _("{n} min").format(n=f"{minutes:.0f}")
    return _("{n} h").format(n=f"{minutes / 60:.1f}".removesuffix(".0"))
