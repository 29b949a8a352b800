"""Each guard by its table: a fact, a sentence, and what the guard says of the two."""

from __future__ import annotations

import pytest

from dermiq.knowledge import Graph
from dermiq.knowledge.check import guards
from dermiq.knowledge.check.guards import AGAINST, AGREES, BEYOND, Agreement
from dermiq.types import Fact

GRAPH = Graph.load()
Row = tuple[str, str, Agreement]

NUMBERS: list[Row] = [
    ("The oral dose is 2 to 3 mg/kg a day.", "The dose is 10 to 15 mg/kg per day.", AGAINST),
    ("The oral dose is 2 to 3 mg/kg a day.", "Two to three mg/kg are given each day.", AGREES),
    ("The oral dose is 2 to 3 mg/kg a day.", "It is given by mouth.", AGREES),
    ("Up to 30 % of people with it get arthritis.", "About three quarters of people get arthritis.", AGAINST),
    ("Up to 30 % of people with it get arthritis.", "Nearly a third may get arthritis.", AGREES),
    ("Up to 30 % of people with it get arthritis.", "Fewer than half get arthritis.", AGREES),
    ("Up to 30 % of people with it get arthritis.", "More than half get arthritis.", AGAINST),
    ("It was seen in 18 % of patients.", "It was seen in about one in five patients.", AGREES),
    ("It was seen in 18 % of patients.", "It was seen in two out of three patients.", AGAINST),
    ("Referred within 2 weeks.", "It goes on a two-week referral.", AGREES),
    ("Referred within 2 weeks.", "It is referred within a fortnight.", AGREES),
    ("Referred within 2 weeks.", "It is referred within two months.", AGAINST),
    ("It gets larger than 6 mm.", "It is often more than 6 mm wide.", AGREES),
    ("It gets larger than 6 mm.", "It grows past half a centimetre.", AGAINST),
    ("It gets larger than 6 mm.", "It is 2 cm wide at most.", AGAINST),
    ("It clears by the age of 6 months.", "It is gone at six months old.", AGREES),
    ("It clears by the age of 6 months.", "It clears by the age of six years.", AGAINST),
    ("It begins before the age of two.", "It begins in the first two years.", AGREES),
    ("It affects adults of 40 to 50.", "It appears at the age of 40 to 50.", AGREES),
    ("Moisturiser is applied twice daily.", "Use the cream two times a day.", AGREES),
    ("Moisturiser is applied twice daily.", "Use the cream ten times a day.", AGAINST),
    ("Most lesions itch.", "Of all lesions, 90 % itch.", BEYOND),
    ("Readers named both in 8 of 133 cases.", "In 8 of 133 cases readers named both.", AGREES),
    ("The risk is raised 5-fold.", "The risk is five times as high.", AGREES),
    ("The risk is raised 5-fold.", "The risk is 20 times as high.", AGAINST),
]
EXTREMES: list[Row] = [
    ("Cryotherapy is an option.", "Cryotherapy is the only treatment.", BEYOND),
    ("Cryotherapy is an option.", "One of the things that can be done is freezing.", AGREES),
    ("Dermatofibroma needs no treatment.", "Dermatofibroma must be excised immediately.", BEYOND),
    ("It often itches.", "It always itches.", BEYOND),
    ("It often itches.", "It does not always itch.", AGREES),
    ("It always itches.", "Every patient has an itch, always.", AGREES),
    ("Mohs surgery is preferred on the face.", "The treatment of choice on the face is Mohs surgery.", AGREES),
    ("Imiquimod is an option.", "Imiquimod is the gold standard.", BEYOND),
    ("Two red legs are rarely cellulitis.", "Two red legs at once are hardly ever cellulitis.", AGREES),
    ("Excision is an option.", "It is excised at once.", BEYOND),
    ("It lies on the soles.", "It comes on the sole of the foot.", AGREES),
    ("Many erupt suddenly.", "A lot of them break out all at once.", AGREES),
    ("It is confined to the nail.", "It occurs exclusively in nails.", AGREES),
]
PEOPLE: list[Row] = [
    ("It is more common in women.", "Mostly men get it.", AGAINST),
    ("It is more common in women.", "Females have it more often than males.", AGREES),
    ("It is a disease of children.", "It is a disease of the elderly.", AGAINST),
    ("It is a disease of children.", "Kids get it.", AGREES),
    ("It is a disease of infants.", "Children get it in the first year.", AGREES),
    ("It is common.", "Adults often have it.", AGREES),
]
PLACES: list[Row] = [
    ("Dermatofibroma lies mostly on the lower legs.", "A dermatofibroma is typically found on the face.", AGAINST),
    ("Dermatofibroma lies mostly on the lower legs.", "Most are on the legs.", AGREES),
    (
        "The face is a typical site; lid margins, nose and lips need a look.",
        "Look closely at the nose and the lips.",
        AGREES,
    ),
    ("Vesicles on the tip of the nose mean eye disease.", "Blisters on the nose point to the eye.", AGREES),
    ("It spares the palms and soles.", "It spares the scalp.", AGAINST),
    ("It itches.", "On the scalp it itches.", AGREES),
]
ORDER: list[Row] = [
    (
        "Actinic keratosis can progress to squamous cell carcinoma.",
        "Squamous cell carcinoma can progress to actinic keratosis.",
        AGAINST,
    ),
    (
        "Actinic keratosis can progress to squamous cell carcinoma.",
        "Squamous cell carcinoma can arise from actinic keratosis.",
        AGREES,
    ),
    (
        "Actinic keratosis can progress to squamous cell carcinoma.",
        "Actinic keratosis sometimes turns into squamous cell carcinoma.",
        AGREES,
    ),
    ("Impetigo can lead to cellulitis.", "Impetigo results from cellulitis.", AGAINST),
]
SIDES: list[Row] = [
    ("Men are tested by enzyme, women by gene.", "Women are tested by enzyme, men by gene.", AGAINST),
    ("Men are tested by enzyme, women by gene.", "Men are tested by enzyme and women by gene.", AGREES),
    (
        "Toenails are infected more often than fingernails.",
        "Fingernails are infected more often than toenails.",
        AGAINST,
    ),
    (
        "In psoriasis the dots are even, unlike dermatitis.",
        "In dermatitis the dots are even, unlike psoriasis.",
        AGAINST,
    ),
    ("In psoriasis the dots are even, unlike dermatitis.", "Even dots tell psoriasis from dermatitis.", AGREES),
]


def fact(text: str) -> Fact:
    first = GRAPH.all_facts[0]
    return Fact(
        id="made",
        subject="MONDO:0005012",
        relation="has_sign",
        object="sign:made",
        text=text,
        source=first.source,
        locator="",
        polarity="present",
        evidence_type="curated",
        n=None,
        weight=None,
    )


@pytest.mark.parametrize(("told", "said", "verdict"), NUMBERS)
def test_numbers(told: str, said: str, verdict: Agreement) -> None:
    assert guards.numbers(said, told) == verdict


@pytest.mark.parametrize(("told", "said", "verdict"), EXTREMES)
def test_always_and_only(told: str, said: str, verdict: Agreement) -> None:
    assert guards.extremes(said, told) == verdict


@pytest.mark.parametrize(("told", "said", "verdict"), PEOPLE)
def test_people(told: str, said: str, verdict: Agreement) -> None:
    assert guards.people(said, told) == verdict


@pytest.mark.parametrize(("told", "said", "verdict"), PLACES)
def test_places(told: str, said: str, verdict: Agreement) -> None:
    assert guards.places(GRAPH, said, fact(told)) == verdict


@pytest.mark.parametrize(("told", "said", "verdict"), ORDER)
def test_what_leads_to_what(told: str, said: str, verdict: Agreement) -> None:
    assert guards.order(GRAPH, said, fact(told)) == verdict


@pytest.mark.parametrize(("told", "said", "verdict"), SIDES)
def test_two_names_that_changed_places(told: str, said: str, verdict: Agreement) -> None:
    assert guards.sides(GRAPH, said, fact(told)) == verdict


def test_the_gravest_guard_decides() -> None:
    told = fact("Dermatofibroma lies mostly on the lower legs of women.")
    assert guards.guarded(GRAPH, "Dermatofibroma lies on the lower legs.", told) == AGREES
    assert guards.guarded(GRAPH, "Dermatofibroma always lies on the lower legs.", told) == BEYOND
    assert guards.guarded(GRAPH, "Dermatofibroma always lies on the face.", told) == AGAINST


@pytest.mark.parametrize(
    ("said", "told", "possible"),
    [
        ("Impetigo can cause fever.", "Fever is rare in impetigo.", True),
        ("It may itch.", "Itching is seldom told.", True),
        ("Impetigo causes fever.", "Fever is rare in impetigo.", False),
        ("Impetigo cannot cause fever.", "Fever is rare in impetigo.", False),
        ("Impetigo can cause fever.", "Impetigo causes no fever.", False),
    ],
)
def test_what_is_rare_is_possible(said: str, told: str, possible: bool) -> None:
    assert guards.is_possible(said, told) == possible
