"""Why tabs are off here, without building the page."""

from __future__ import annotations

from dermiq.places import runs_folder
from dermiq.settings import Settings
from dermiq.ui.review.access import Access as ReviewAccess
from dermiq.ui.training.access import Access as TrainingAccess
from dermiq.ui.training.access import impossible, unkept


def closed(settings: Settings) -> dict[str, str]:
    """Tab -> why nobody can use it, and how that is changed; "" where people can. InputError at a wrong setting."""
    review = ReviewAccess(settings)
    training = impossible() or TrainingAccess(settings).closed or unkept(settings.runs or runs_folder())
    return {"Training": training, "Review": review.closed or review.lost}
