"""How far a reading can be relied on: what was measured of the specialist on images that were kept apart."""

from __future__ import annotations

from functools import cache

from dermiq import places
from dermiq.shipped import read_json
from dermiq.types import CLASS_NAMES

KNOWN_CLASSES = (
    f"The readers know seven classes of single lesions ({', '.join(CLASS_NAMES.values())}) and put every image into "
    "one of them; of rashes, infections, nails, hair, mucosa and all other tumours they know nothing."
)
SHARPER = "A sharp close-up in even light may be read otherwise: it can be uploaded in place of this one."
ONE_PHOTO = (
    "One photograph gives a likelihood and no proof: depth, touch, the rest of the skin and change over time are not "
    "on it."
)
NO_PROOF = (
    "A reading is not a diagnosis and no pathology: this is a research demonstration, and its percentages must not "
    "stand in a record or a letter as if a laboratory or a doctor had found them."
)
OTHER_LESION = (
    "Only the lesion in the picture was read; the other was not seen, and nothing of this reading holds for it. It "
    "needs a picture of its own or a doctor's look, soon if it is new, grows, changes, bleeds or stands out."
)
RETURN = "What grows, bleeds, hardens, changes or does not heal is shown to a doctor again, soon."
TISSUE = "A doctor's look and, where doubt is left, tissue decide."
LIMITS = (
    "A probability says how often such readings are right among such images, not whether this one is: what a doctor "
    "sees and what the tissue shows decides."
)


@cache
def record() -> str:
    """What the specialist's figures on HAM10000's part `test` say, in a sentence or two."""
    told = read_json(places.WEIGHTS / "specialist" / "metrics_ham10000_test.json")
    figures, recall = told["figures"], told["recall"]
    seen = f"Of {told['n']:,} dermoscopic images that were kept apart the specialist read {_share(figures['accuracy'])}"
    missed = f"it called {_share(recall['mel'])} of the melanomas {CLASS_NAMES['mel']} and missed the others"
    error = f"{100 * figures['expected_calibration_error']:.0f} points"
    return f"{seen} rightly; {missed}; its probabilities were off by {error} on average."


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"
