"""Age, sex, site and skin type as people write them: read, not stated, or refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dermiq.__main__ import main
from dermiq.errors import InputError
from dermiq.patient import NOT_STATED, Vague, age_of, sex_of, site_of, skin_type_of

NAN = float("nan")


@pytest.mark.parametrize("read", [age_of, sex_of, site_of, skin_type_of])
def test_what_is_not_stated_is_none(read: Callable[[Any], Any]) -> None:
    for word in (*NOT_STATED, None, NAN, " ", "UNK", "Unknown", "NaN", "N/A", "(unknown)", "not  stated"):
        assert read(word) is None, word


@pytest.mark.parametrize(
    ("written", "years"),
    [
        *((55, 55), (55.0, 55), ("55", 55), (" 55 ", 55), ("55.0", 55), ("55,0", 55), ("055", 55), ("34.7", 34)),
        *(("55 years", 55), ("55 yrs", 55), ("55yo", 55), ("55 y/o", 55), ("55-year-old", 55), ("55 Jahre", 55)),
        *(("0", 0), ("120", 120), ("6 months", 0), ("18 months", 1), ("3 weeks", 0), ("400 days", 1)),
    ],
)
def test_ages_are_completed_years(written: Any, years: int) -> None:
    assert age_of(written) == years


@pytest.mark.parametrize("written", ["50-60", "50 - 60 years", "18–24", "85+", ">85", "<1", "50s", "over 90", "~50"])
def test_a_range_of_ages_says_too_little(written: str) -> None:
    with pytest.raises(Vague, match="is a range"):
        age_of(written)


@pytest.mark.parametrize(
    "written", ["-1", "121", "999", "1965", "inf", "1e3", "abc", "٣", "5 5", "0x20", "9" * 500, True, "2020-01-01", [5]]
)
def test_what_is_no_age_is_refused_with_what_is_allowed(written: Any) -> None:
    with pytest.raises(InputError, match="whole number of years from 0 to 120") as caught:
        age_of(written)
    assert not isinstance(caught.value, Vague)


def test_a_typed_age_is_whole() -> None:
    assert age_of("55.0", whole=True) == 55
    with pytest.raises(InputError, match="whole number"):
        age_of("5.5", whole=True)


def test_sexes_are_read_in_any_case_and_language() -> None:
    for word in ("f", "F", "female", "Female ", "FEMALE", "w", "weiblich", "Frau", "femme"):
        assert sex_of(word) == "female", word
    for word in ("m", "M", "MALE", "male", "Männlich", "maennlich", "homme", "m."):
        assert sex_of(word) == "male", word
    for word in ("other", "divers", "non-binary", "O"):
        with pytest.raises(Vague):
            sex_of(word)
    for wrong in ("0", 0, "1", "2", "fmale", "h"):
        with pytest.raises(InputError, match="Give female or male"):
            sex_of(wrong)


def test_sites_are_told_in_small_letters() -> None:
    assert site_of("BACK") == "back"
    assert site_of(" left   Shin\n") == "left shin"
    assert site_of("anterior_torso") == "anterior torso"
    with pytest.raises(InputError, match="longer than 60"):
        site_of("back " * 13)


def test_skin_types_are_read_in_both_numerals() -> None:
    for word in ("3", 3, 3.0, "3.0", "III", "iii", "type III", "Fitzpatrick 3", "FST III", "phototype 3"):
        assert skin_type_of(word) == 3, word
    with pytest.raises(Vague):
        skin_type_of("II-III")
    for word in ("0", "7", "-1", "VII", "light", "33"):
        with pytest.raises(InputError, match="I to VI"):
            skin_type_of(word)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--age", "999"), "The age “999”"),
        (("--age=-1",), "The age “-1”"),
        (("--age", "50-60"), "The age “50-60” is a range"),
        (("--sex", "0"), "Give female or male"),
        (("--skin-type", "7"), "I to VI"),
        (("--site", "x" * 61), "longer than 60"),
    ],
)
def test_the_terminal_refuses_what_is_none(
    given: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["assess", "no-such-image.png", *given]) == 2
    assert words in capsys.readouterr().err


def test_the_terminal_takes_what_people_write(capsys: pytest.CaptureFixture[str]) -> None:
    told = ("--age", "55 years", "--sex", "F", "--site", "UNK", "--skin-type", "III")
    assert main(["assess", "no-such-image.png", "--reader", "specialist", *told]) == 2
    assert "no-such-image.png can't be read" in capsys.readouterr().err
