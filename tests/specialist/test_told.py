"""What age, sex and site change: nothing where they are not told, more where classes differ, and never the sum of 1."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dermiq.specialist.told import Told, band_of, region_of, values_of
from dermiq.types import CLASSES, PatientContext
from train.embedded.patients import chosen, counted, with_told

EVEN = dict.fromkeys(CLASSES, 1 / 7)


def patients(rows: list[tuple[str, float, str, str]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["label", "age", "sex", "site"])
    return table.assign(group=[f"L{number}" for number in range(len(rows))])


OLD_KERATOSES = patients([("bkl", 75.0, "male", "face")] * 60 + [("nv", 25.0, "female", "back")] * 60)


@pytest.mark.parametrize(
    ("site", "region"),
    [
        ("face", "face"),
        ("left cheek", "face"),
        ("posterior torso", "back"),
        ("lower back", "back"),
        ("back of the hand", "hand"),
        ("palms/soles", "foot"),
        ("lower leg", "lower extremity"),
        ("forearm", "upper extremity"),
        ("head/neck", "neck"),
        ("somewhere", None),
        (None, None),
    ],
)
def test_a_site_lies_in_a_region(site: str | None, region: str | None) -> None:
    assert region_of(site) == region


def test_ages_are_banded() -> None:
    assert [band_of(age) for age in (0, 19, 20, 54, 120, None)] == ["0", "0", "20", "50", "80", None]


def test_what_was_not_told_changes_nothing() -> None:
    told = counted(OLD_KERATOSES)
    assert told.applied(EVEN, PatientContext()) == pytest.approx(EVEN)
    assert told.counts(PatientContext(site="nowhere known")) == ()
    assert Told().applied(EVEN, PatientContext(age=70)) == pytest.approx(EVEN)


def test_an_old_face_speaks_for_what_old_faces_had() -> None:
    told, context = counted(OLD_KERATOSES), PatientContext(age=77, sex="male", site="face")
    shown = told.applied(EVEN, context)
    assert sum(shown.values()) == pytest.approx(1)
    assert shown["bkl"] > 3 * shown["nv"]
    assert told.counts(context) == ("age", "sex", "site")
    assert values_of(context) == {"age": "70", "sex": "male", "site": "face"}


def test_a_class_of_which_little_is_known_is_hardly_moved() -> None:
    few = patients(
        [("df", 75.0, "male", "face")] + [("nv", 25.0, "female", "back")] * 100 + [("mel", 60.0, "male", "back")] * 100
    )
    assert abs(counted(few).ratios["sex"]["male"]["df"]) < 0.2


def test_strengths_are_chosen_by_what_helps() -> None:
    rng = np.random.default_rng(0)
    contexts = [
        PatientContext(age=75 if one else 25, sex=rng.choice(["male", "female"])) for one in rng.random(400) < 0.5
    ]
    labels = np.array([CLASSES.index("bkl" if context.age == 75 else "nv") for context in contexts])
    told = chosen(counted(OLD_KERATOSES), np.full((400, 7), 1 / 7), labels, contexts)
    assert told.strengths["age"] == 1.0, "age parts them"
    assert told.strengths["sex"] == 0.0, "sex was drawn at random"
    shown = with_told(told, np.full((400, 7), 1 / 7), contexts)
    assert shown.sum(1) == pytest.approx(1)
    assert (shown.argmax(1) == labels).all()
