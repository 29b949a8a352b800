"""The built tables: rebuilt and compared, and every way in which they can be wrong."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dermiq.errors import KnowledgeError
from dermiq.knowledge.addresses import refused
from dermiq.knowledge.build import assemble, atlas, build
from dermiq.knowledge.build.__main__ import main
from dermiq.knowledge.build.readers import LEVELS, by_label, left_out
from dermiq.knowledge.graph import FOLDER, Graph
from dermiq.knowledge.language.text import words
from dermiq.knowledge.schema import (
    LICENCE_CLASSES,
    Name,
    Tables,
    check_tables,
    only_licence,
    problems,
    read_rows,
    read_tables,
    write_tables,
)

TABLES = read_tables(FOLDER)
PROXY = "https://bestpractice-bmj-com.bibliotheek.example.org/topics/1"


def test_rebuilding_gives_the_committed_tables(sources: Path, tmp_path: Path) -> None:
    assert main(["--sources", str(sources), "--out", str(tmp_path)]) == 0
    for name in ("nodes.tsv", "edges.tsv", "sources.tsv", "names.tsv"):
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes(), f"{name} is stale: build it again"


def test_an_open_build_is_one_that_never_saw_the_other_layers(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    curated, derived = FOLDER / "curated", FOLDER / "derived"
    free = build.build(sources, curated=curated, derived=derived, licence="open")
    monkeypatch.setattr(atlas, "_add_features", lambda *_: None)
    monkeypatch.setattr(atlas, "_add_sites", lambda *_: None)
    monkeypatch.setattr(build, "add_derived", lambda _: None)
    bare = build.build(sources, curated=curated, derived=derived)
    assert not set(free.edges) ^ set(bare.edges)
    assert free.sources == bare.sources
    assert set(map(repr, free.nodes)) <= set(map(repr, bare.nodes)), "no name that only the atlas brought"


def test_an_open_build_names_nothing_of_the_other_layers() -> None:
    free = only_licence(TABLES, "open")
    gone = {source.id for source in TABLES.sources} - {source.id for source in free.sources}
    assert "derm7pt" in gone
    stated = {node.source for node in free.nodes} | {edge.source for edge in free.edges}
    assert not stated & gone
    assert {source.id for source in free.sources} == stated | {name.source for name in free.names}
    only_theirs = {edge.object for edge in TABLES.edges if edge.source in gone} - {
        end for edge in free.edges for end in (edge.subject, edge.object)
    }
    assert "dsc:diffuse-regular-pigment" in only_theirs
    assert not only_theirs & {node.id for node in free.nodes}


def test_everything_is_kept_where_every_licence_is_welcome() -> None:
    assert only_licence(TABLES, LICENCE_CLASSES[-1]) == TABLES


def test_written_tables_read_back_the_same(tmp_path: Path) -> None:
    write_tables(TABLES, tmp_path)
    assert read_tables(tmp_path) == TABLES


def test_the_committed_tables_are_sound() -> None:
    assert problems(TABLES) == []


def _edge(**change: Any) -> Tables:
    return replace(TABLES, edges=(replace(TABLES.edges[0], **change), *TABLES.edges[1:]))


def _circle() -> Tables:
    up = next(edge for edge in TABLES.edges if edge.relation == "is_a")
    down = replace(up, id="Eback", subject=up.object, object=up.subject)
    return replace(TABLES, edges=(*TABLES.edges, down))


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        (_edge(subject="MONDO:nowhere"), "is no node"),
        (_edge(relation="likes"), "unknown relation"),
        (_edge(source="hearsay"), "not listed"),
        (_edge(source="hearsay", locator=""), "does not say where"),
        (_edge(polarity="maybe"), "polarity"),
        (_edge(text=""), "no sentence"),
        (_edge(likelihood_ratio=2.0, low=2.5, high=3.0), "inside its interval"),
        (_edge(evidence_type="rumour"), "evidence type"),
        (replace(TABLES, edges=(*TABLES.edges, TABLES.edges[0])), "2 times"),
        (replace(TABLES, nodes=(*TABLES.nodes, TABLES.nodes[0])), "2 times"),
        (replace(TABLES, sources=(replace(TABLES.sources[0], licence=""), *TABLES.sources[1:])), "no licence"),
        (replace(TABLES, sources=(replace(TABLES.sources[0], url=PROXY), *TABLES.sources[1:])), "a library's proxy"),
        (_edge(locator=f"page 3; {PROXY}"), "a library's proxy"),
        (replace(TABLES, names=(Name("X", "MONDO:nowhere", "X", "mondo"),)), "is no node"),
        (replace(TABLES, names=(Name("X", "", "X", "hearsay"),)), "not listed"),
        (_circle(), "in a circle"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_said(tables: Tables, words: str) -> None:
    assert any(words in problem for problem in problems(tables))
    with pytest.raises(KnowledgeError, match="contradicts its schema"):
        check_tables(tables)


@pytest.mark.parametrize(
    "url",
    [
        "https://www-nejm-org.ezproxy.example.edu/doi/1",
        "http://dspace.idm.oclc.org/1",
        "https://library.example.ac.uk:2400/topics/1",
        "https://staging.formulary.nhs.scot/east",
        "https://qa00.mdedge.com/1",
        "https://mdedge-cache.qa01.mdedge.com/1",
        "https://mdedge9-ma1.mdedge.com/1",
        "https://dev.statpearls.com/1",
        "https://etg-complete-oxy.netlify.app/1",
        "https://de.scribd.com/document/1",
        "https://vdocuments.net/1",
        "https://docplayer.net/1",
        "https://medilib.ir/uptodate/show/1",
        "https://web.archive.org/web/2020/https://www.nhs.uk",
        "https://translate.goog/1",
        "http://47.251.13.51/1",
        "https://dermnetnz.org./1",
        "https://discovery.researcher.life/article/1",
        "https://search.bvsalud.org/gim/resource/en/1",
        "https://www.semanticscholar.org/paper/1",
        "https://scite.ai/reports/1",
        "https://download.skyscape.com/1",
        "https://skin-disease-care.biocyclopedia.com/1",
        "https://obgynkey.com/1",
        "http://www.slideserve.com/1",
        "https://www.droracle.ai/articles/1",
        "https://medsug.com/1",
    ],
)
def test_copies_proxies_and_test_hosts_are_refused(url: str) -> None:
    assert refused(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://www.uptodate.com",
        "https://www.uptodate.com/",
        "https://www.tg.org.au/#top",
        "https://www.merckmanuals.com/home",
        "https://www.example.org/en-gb/",
        "http://www.example.org/index.html",
    ],
)
def test_a_front_page_is_refused(url: str) -> None:
    assert refused(url) == "a front page"


@pytest.mark.parametrize(
    "url",
    [
        "https://pubmed.ncbi.nlm.nih.gov/25822272/",
        "https://doi.org/10.1016/j.jaad.2015.11.033",
        "https://pmc.ncbi.nlm.nih.gov/articles/PMC6506895",
        "https://bestpractice.bmj.com/topics/en-gb/23",
        "https://www.bad.org.uk/patient-information-leaflets",
        "https://mindthebleep.com/1",
        "https://www.guidelinegenius.com/?p=901",
        "https://mondo.monarchinitiative.org/",
        "kg_data/curated",
    ],
)
def test_publishers_are_not(url: str) -> None:
    assert refused(url) is None


def test_each_name_read_by_hand_is_sourced_and_leads_to_its_meaning() -> None:
    rows = [row for _, row in read_rows(FOLDER / "curated" / "names.tsv")]
    graph = Graph(TABLES)
    assert {row["source"] for row in rows} <= {source.id for source in TABLES.sources}
    for row in rows:
        node, key = graph.find(row["name"]), words(row["name"])
        assert key in graph.meanings or (node is not None and node.id == row["node"]), row["name"]


def test_a_row_read_by_hand_rewords_what_a_table_states_and_keeps_its_numbers() -> None:
    (edge,) = (edge for edge in TABLES.edges if edge.text.startswith("In Braun's study"))
    assert (edge.n, edge.probability) == (203, 0.463)
    assert "PMID:12472342" in edge.locator
    assert edge.checked
    said = [e for e in TABLES.edges if (e.subject, e.relation, e.object) == (edge.subject, edge.relation, edge.object)]
    assert "Dermoscopy of seborrheic keratosis showed a pigment network in 94 of 203 lesions." not in [
        e.text for e in said
    ]


def test_a_missing_folder_is_said_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--sources", str(tmp_path / "none"), "--out", str(tmp_path)]) == 1
    assert "no sources folder" in capsys.readouterr().err
    with pytest.raises(KnowledgeError, match=r"nodes\.tsv is missing"):
        Graph.load(tmp_path)


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    write_tables(TABLES, tmp_path)
    path = tmp_path / "edges.tsv"
    path.write_text(path.read_text(encoding="utf-8") + "only\tthree\tcells\n", encoding="utf-8")
    with pytest.raises(KnowledgeError, match=r"edges\.tsv|contradicts"):
        Graph.load(tmp_path)


def test_the_coverage_tables_in_the_readme_are_fresh() -> None:
    said = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert build.coverage(TABLES) in said
    assert build.reader_coverage(TABLES, FOLDER / "curated") in said


def test_a_fact_that_was_left_out_says_why_and_is_stated_nowhere() -> None:
    rows = [row for _, row in read_rows(FOLDER / "curated" / "left_out_facts.tsv")]
    stated = {(edge.subject, edge.text) for edge in TABLES.edges}
    assert all(row["subject"] in {node.id for node in TABLES.nodes} for row in rows)
    assert [row["text"] for row in rows if not row["reason"] or (row["subject"], row["text"]) in stated] == []


def test_each_label_of_the_reader_study_is_mapped_or_left_out(sources: Path) -> None:
    risks = [row for _, row in read_rows(sources / "condition_risk.tsv")]
    meant = by_label(assemble.read_conditions(FOLDER / "curated"))
    left = left_out(FOLDER / "curated")
    assert {row["condition"] for row in risks} == {*meant, *left}
    levels = {(e.subject, e.object) for e in TABLES.edges if e.relation == "risk_level"}
    for row in risks:
        if row["condition"] in meant:
            assert (meant[row["condition"]].id, LEVELS[int(row["risk"])]) in levels


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("left_out.tsv", "Healthy\t", "Nonesuch\t", "neither conditions.tsv nor left_out.tsv"),
        ("left_out.tsv", "Healthy\t", "Healthy\tnames no condition\nNonesuch\t", "none of condition_risk.tsv"),
        ("left_out.tsv", "Healthy\t", "Healthy\tnames no condition\nPsoriasis\t", "both mapped and left out"),
        ("conditions.tsv", "\tRosacea\t", "\tPsoriasis\t", "to two conditions"),
    ],
)
def test_a_label_that_is_not_decided_once_is_an_error(
    sources: Path, tmp_path: Path, name: str, old: str, new: str, words: str
) -> None:
    curated = tmp_path / "curated"
    shutil.copytree(FOLDER / "curated", curated)
    text = (curated / name).read_text(encoding="utf-8")
    assert text.count(old) == 1
    (curated / name).write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(KnowledgeError, match=words):
        build.build(sources, curated=curated, derived=FOLDER / "derived")


def test_a_condition_may_refuse_all_that_mondo_adds() -> None:
    nodes = {node.id: node for node in TABLES.nodes}
    above = {
        node.id: {e.object for e in TABLES.edges if e.subject == node.id and e.relation == "is_a"}
        for node in TABLES.nodes
    }
    for condition in assemble.read_conditions(FOLDER / "curated"):
        if assemble.ALL in condition.many("drop_synonyms"):
            assert set(nodes[condition.id].synonyms) <= set(condition.many("synonyms"))
        if assemble.ALL in condition.many("drop_parents"):
            assert above[condition.id] == set(condition.many("parents"))


def test_codes_come_from_the_disease_ontology_where_the_table_names_its_term() -> None:
    leprosy = next(node for node in TABLES.nodes if node.id == "dermiq:leprosy")
    assert leprosy.source == "do"
    assert leprosy.codes["doid"] == "DOID:1024"
    assert leprosy.codes["mesh"] == "D007918"


def test_a_statement_in_the_same_words_is_kept_once_and_first_line_comes_first() -> None:
    free = {source.id: source.licence_class for source in TABLES.sources}
    said = [(e.subject, e.relation, e.object, e.polarity, e.qualifier, e.text, free[e.source]) for e in TABLES.edges]
    assert len(said) == len(set(said))
    psoriasis = [edge for edge in TABLES.edges if edge.subject == "MONDO:0005083" and edge.relation == "treated_by"]
    assert all(edge.text.startswith("First line") for edge in psoriasis[:2])
    assert not any(edge.text.startswith("First line") for edge in psoriasis[2:])


def test_what_happens_rarely_is_not_stored_as_absent() -> None:
    """Risk factors apart: a group that rarely gets it is not at risk."""
    rarely = [edge for edge in TABLES.edges if edge.polarity == "absent" and edge.qualifier == "rare"]
    rarely += [
        edge
        for edge in TABLES.edges
        if edge.polarity == "absent"
        and edge.relation in ("has_sign", "has_symptom", "located_at")
        and " rarely " in edge.text
    ]
    assert rarely == []
