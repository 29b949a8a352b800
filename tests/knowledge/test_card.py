"""A condition's card: what is its own, what is inherited, what belongs to subtypes; and how it is found."""

from __future__ import annotations

import pytest

from dermiq.knowledge import Graph
from dermiq.knowledge.card import Card, card, held, topic_of
from dermiq.knowledge.find import asked_back, find, suggest
from dermiq.knowledge.language.link import link
from dermiq.knowledge.schema import RELATIONS
from tests.tiny_graph import GRAPH

REAL = Graph.load()


def _topics(made: Card) -> dict[str, list[tuple[str, str]]]:
    return {topic.title: [(h.standing, h.fact.text) for h in topic.facts] for topic in made.topics}


def test_a_card_groups_facts_and_says_whose_they_are() -> None:
    topics = _topics(card(GRAPH, "c:red"))
    assert topics["Signs"][-1] == ("subtype", "Bright redpox shows a crust.")
    assert [standing for standing, _ in topics["Signs"][:-1]] == ["own"] * 3
    assert topics["Treatment"] == [("inherited", "A rash is treated with cream.")]
    assert topics["Look-alikes"] == [("own", "Bluepox is confused with redpox.")]


def test_the_place_in_the_hierarchy_and_what_is_missing() -> None:
    made = card(GRAPH, "c:red")
    assert [[node.name for node in path] for path in made.above] == [["rash"]]
    assert [node.name for node in made.below] == ["bright redpox"]
    assert "Red flags" in made.missing
    assert "Signs" not in made.missing


def test_a_subtype_inherits_neither_code_nor_risk() -> None:
    relations = {h.fact.relation for h in held(GRAPH, "c:bright") if h.standing == "inherited"}
    assert relations == {"has_sign", "has_symptom", "treated_by"}


def test_a_condition_without_facts_has_an_empty_card() -> None:
    made = card(GRAPH, "c:silent")
    assert made.topics == ()
    assert made.above == ((),)


def test_an_unknown_condition_is_refused() -> None:
    with pytest.raises(KeyError):
        card(GRAPH, "c:none")


def test_a_relation_without_a_heading_names_itself() -> None:
    assert topic_of("measured_as") == "Measured as"


def test_every_fact_of_every_condition_stands_on_its_card() -> None:
    for node in REAL.nodes:
        if node.kind == "Disease":
            shown = {h.fact.id for topic in card(REAL, node.id).topics for h in topic.facts}
            assert shown >= {fact.id for fact in REAL.facts(node.id) if fact.relation != "is_a"}
    assert {"is_a"} == {name for name in RELATIONS if topic_of(name) == "Is a"}


# --- finding a condition ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("redpox", "redpox"),
        ("RP", "redpox"),
        ("rp", "redpox"),
        ("scarlet itch", "redpox"),
        ("Scarlet-Itches", "redpox"),
        ("redpox, bright", "bright redpox"),
        ("Z02", "redpox"),
        ("z02.5", "redpox"),
        ("123", "redpox"),
    ],
)
def test_a_condition_is_found_by_what_people_write(typed: str, found: str) -> None:
    condition = find(GRAPH, typed).condition
    assert condition is not None
    assert condition.name == found


@pytest.mark.parametrize(
    ("typed", "near"),
    [
        ("could it be scarlet itch?", "redpox"),
        ("Bluepxo", "bluepox"),
        ("azur", "bluepox"),  # only one name begins like this
        ("bright scarlet itch", "redpox"),
    ],
)
def test_what_is_not_known_whole_is_asked_about(typed: str, near: str) -> None:
    found = find(GRAPH, typed)
    assert found.condition is None
    assert near in {hit.node.name for hit in found.suggestions}


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("rodent ulcer", "basal cell carcinoma"),
        ("ulcus rodens", "basal cell carcinoma"),
        ("SebK", "seborrheic keratosis"),
        ("seb wart", "seborrheic keratosis"),
        ("melanoma, nodular", "nodular melanoma"),
        ("Keratosis, seborrhoeic", "seborrheic keratosis"),
        ("Naevus coeruleus", "blue nevus"),
        ("Bowens disease", "Bowen's disease"),
        ("haemangiomata", "hemangioma"),
        ("cafe au lait macules", "café-au-lait macule"),
        ("kerato acanthoma", "keratoacanthoma"),
        ("xanthelasma palpebrarum", "xanthelasma"),
        ("C43.9", "melanoma"),
        ("l570", "actinic keratosis"),
        ("D22.9", "melanocytic nevus"),
        ("HS", "hidradenitis suppurativa"),
        ("dh", "dermatitis herpetiformis"),
        ("NV", "melanocytic nevus"),
    ],
)
def test_names_and_codes_of_the_real_graph_are_known_in_every_spelling(typed: str, name: str) -> None:
    condition = find(REAL, typed).condition
    assert condition is not None
    assert condition.name == name


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("melenoma", "melanoma"),
        ("LS", "lichen sclerosus"),
        ("VZV", "herpes zoster"),
        ("PG", "pyoderma gangrenosum"),
        ("CTCL", "primary cutaneous T-cell lymphoma"),
        ("PPP", "pearly penile papules"),
        ("BLK", "benign keratosis"),
        ("cyst", "epidermal cyst"),
        ("Cysts", "ganglion cyst"),
        ("lupus", "cutaneous lupus erythematosus"),
        ("eczema", "atopic dermatitis"),
        ("Eczema", "nummular eczema"),
        ("syphilis", "secondary syphilis"),
        ("herpes labialis", "herpes simplex"),
        ("mucous cyst", "digital myxoid cyst"),
        ("C44.3", "basal cell carcinoma"),
        ("D23.5", "dermatofibroma"),  # a code for "other" growths
        ("L84", "corn"),
    ],
)
def test_a_name_with_several_meanings_or_none_is_a_question(typed: str, offered: str) -> None:
    found = find(REAL, typed)
    assert found.condition is None
    assert offered in {hit.node.name for hit in found.suggestions}


def test_a_wide_name_is_asked_about_in_fitting_words_the_usual_meaning_first() -> None:
    said = asked_back(REAL, "eczema", find(REAL, "eczema"))
    assert said.startswith("'eczema' can mean several conditions. Did you mean atopic dermatitis, contact dermatitis,")
    assert "systemic lupus erythematosus, of which the graph has no card" in asked_back(
        REAL, "lupus", find(REAL, "lupus")
    )


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("an infected cyst on the back", "epidermal cyst"),
        ("her eczema flares in winter", "atopic dermatitis"),
        ("a rash of lupus", "cutaneous lupus erythematosus"),
        ("histology: BLK", "lichen planus-like keratosis"),
        ("PG was considered", None),
    ],
)
def test_running_text_takes_a_wide_word_for_what_it_mostly_means(text: str, name: str | None) -> None:
    found = {mention.name for mention in link(REAL, text) if REAL.node(mention.id).kind == "Disease"}
    assert found == ({name} if name else set())


@pytest.mark.parametrize("typed", ["syringoma", "benign syringoma", "chondroid syringoma", "lupus vulgaris"])
def test_no_part_of_a_name_is_taken_for_another_condition(typed: str) -> None:
    assert find(REAL, typed).condition is None


@pytest.mark.parametrize(("typed", "feature"), [("Efudix", "5-fluorouracil"), ("aldara", "imiquimod")])
def test_brands_lead_to_the_treatment(typed: str, feature: str) -> None:
    found = find(REAL, typed)
    assert found.feature is not None
    assert found.feature.name == feature
    assert "actinic keratosis" in asked_back(REAL, typed, found)


def test_every_code_and_synonym_on_a_card_is_found() -> None:
    lost = []
    for node in (node for node in REAL.nodes if node.kind == "Disease" and node.tier > 0):
        for code in node.codes.get("icd10cm", "").split("|"):
            found = find(REAL, code) if code else None
            known: set[str] = set()
            if found:
                known = {found.condition.id if found.condition else "", *(h.node.id for h in found.suggestions)}
            lost += [code] if code and not known & set(REAL.icd10[code.replace(".", "")]) else []
        lost += [name for name in (node.name, *node.synonyms) if not _leads_somewhere(name)]
    assert lost == []


def _leads_somewhere(name: str) -> bool:
    found = find(REAL, name)
    return bool(found.condition or found.feature or found.suggestions)


def test_a_meaning_without_a_card_is_said() -> None:
    assert find(REAL, "VZV").without_card == ("varicella-zoster virus, the virus itself",)
    assert "has no card" in asked_back(REAL, "syringoma", find(REAL, "syringoma"))


def test_a_sign_leads_to_the_conditions_that_have_it() -> None:
    found = find(GRAPH, "ring")
    assert found.condition is None
    assert found.feature is not None
    assert found.feature.name == "ring"
    assert {fact.subject for fact in found.facts} == {"c:red", "c:blue"}


def test_a_word_of_something_else_finds_nothing() -> None:
    found = find(GRAPH, "purple elephants")
    assert (found.condition, found.feature, found.suggestions) == (None, None, ())


def test_suggestions_follow_the_typing() -> None:
    assert [hit.node.name for hit in suggest(GRAPH, "red")] == ["redpox", "bright redpox"]
    assert [(hit.node.name, hit.name) for hit in suggest(GRAPH, "azu")] == [("bluepox", "azure scale")]
    assert suggest(GRAPH, "RP")[0].node.name == "redpox"
    assert suggest(GRAPH, "b") == []
    assert len(suggest(REAL, "ma", limit=3)) == 3
