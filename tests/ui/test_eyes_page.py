"""What the page shows of structures, scores, sets, the patient and similar cases, as HTML."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dermiq.report import sections
from dermiq.specialist.structures import structure_findings
from dermiq.types import STRUCTURES, Case, Differential, Lesion, SpecialistReading
from dermiq.ui.consult import panels
from dermiq.ui.consult.similar import similar_body, thumbnail_in
from dermiq.ui.consult.viewer import viewer
from tests import fakes
from tests.lesion.test_scores import ALARMING, QUIET
from tests.ui.test_ui import tags


def told() -> Differential:
    return replace(
        fakes.SPECIALIST,
        sets={"90": ("mel",), "95": ("mel", "nv")},
        told=("age", "site"),
        candidates=tuple(replace(one, by_image=one.probability / 2) for one in fakes.SPECIALIST.candidates),
    )


def test_sets_name_the_diagnoses_of_which_one_is_right() -> None:
    html = str(panels.set_line(told()))
    assert "95" in html
    assert "melanoma or melanocytic nevus" in html
    assert "melanoma alone" in html
    alone = replace(fakes.SPECIALIST, sets={"95": ("mel",)})
    assert str(panels.set_line(alone)) == "", "one name says no more than the bars"
    assert str(panels.set_line(fakes.SPECIALIST)) == ""


def test_what_the_patient_changed_is_said_with_what_the_image_alone_says() -> None:
    html = str(panels.told_line(told()))
    assert "age and site" in html
    assert "By the image alone: melanoma 29" in html
    assert str(panels.told_line(fakes.SPECIALIST)) == ""


def test_scores_are_ranges_with_what_they_rest_on() -> None:
    html = str(panels.scores_part(ALARMING))
    assert "ABCD rule (TDS)" in html
    assert "3-point checklist" in html
    assert "not judged" in html
    assert 'href="https://dermoscopedia.org/ABCD_rule"' in html
    assert str(panels.scores_part(())) == ""
    tags(panels.scores_part(QUIET))


def test_similar_cases_say_how_they_were_proven_and_lead_to_the_archive() -> None:
    html = str(similar_body(fakes.SIMILAR, lambda image_id: None))
    assert "melanoma 2, melanocytic nevus 1" in html
    assert "by histopathology" in html
    assert "how it was found is not stated" in html
    assert "https://api.isic-archive.com/images/ISIC_0000001/" in html
    assert "<img" not in html
    assert str(similar_body(fakes.SIMILAR, lambda image_id: "data:image/jpeg;base64,AA")).count("<img") == 3


def test_a_thumbnail_comes_from_the_data_folder_where_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "ham10000" / "images"
    folder.mkdir(parents=True)
    Image.fromarray(np.full((40, 60, 3), 120, np.uint8)).save(folder / "ISIC_0000001.jpg")
    found = thumbnail_in(tmp_path, "ISIC_0000001")
    assert found is not None
    assert found.startswith("data:image/jpeg;base64,")
    assert thumbnail_in(tmp_path, "ISIC_0000002") is None
    assert thumbnail_in(None, "ISIC_0000001") is None


@pytest.fixture
def read() -> tuple[Lesion, SpecialistReading, dict[str, np.ndarray]]:
    lesion = Lesion(fakes.picture(64, 48))
    chances = dict.fromkeys(STRUCTURES, 0.02) | {"pigment_network": 0.9, "globules": 0.3}
    reading = replace(fakes.reading(lesion, 0), findings=structure_findings(chances))
    maps = {code: np.zeros((48, 64), np.float32) for code in STRUCTURES}
    maps["pigment_network"][10:30, 20:40] = 0.9
    return lesion, reading, maps


def test_structures_are_drawn_and_named(read: tuple[Lesion, SpecialistReading, dict[str, np.ndarray]]) -> None:
    lesion, reading, maps = read
    html = str(viewer([lesion], ["data:,"], layer="structures", readings=[reading], maps=maps))
    assert "Where dermoscopic structures are seen" in html
    assert "pigment network seen (90 %)" in html
    assert "globules doubtful (30 %): no place stands out" in html
    assert "streaks" not in html.split("dq-legend")[1].split("</ul>")[0]


def test_no_structure_is_said_to_be_none(read: tuple[Lesion, SpecialistReading, dict[str, np.ndarray]]) -> None:
    lesion, reading, maps = read
    none = replace(reading, findings=structure_findings(dict.fromkeys(STRUCTURES, 0.02)))
    html = str(viewer([lesion], ["data:,"], layer="structures", readings=[none], maps=maps))
    assert "sees no dermoscopic structure" in html


def test_the_report_has_sets_the_patient_and_scores() -> None:
    case = Case((Lesion(fakes.picture(160, 120)),))
    answer = fakes.sample_answer(case, differentials=(told(), fakes.VLM), findings=ALARMING)
    text = str(sections(case, answer, datetime(2026, 3, 4, tzinfo=timezone.utc)))
    assert "With 95 % certainty, by the specialist, one of: melanoma, melanocytic nevus." in text
    assert "Its figures include age, site." in text
    assert "ABCD rule (TDS)" in text
