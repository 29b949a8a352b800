"""docs/faults.md is what the tests say, and quotes what the program says."""

from __future__ import annotations

from tests.faults.table import FAULTS, PAGE, ROOT, page, rows, said


def test_the_page_is_what_the_tests_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(rows()), "Run `python -m tests.faults`."


def test_every_fault_has_a_row() -> None:
    assert {row.fault for row in rows()} == set(FAULTS)


def test_every_test_of_the_table_is_there() -> None:
    for row in rows():
        path, _, name = row.test.partition("::")
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8"), row.test


def test_what_is_quoted_is_said_by_the_program() -> None:
    quoted = [(quote, row.test) for row in rows() for quote in row.quotes()]
    assert [pair for pair in quoted if pair[0] not in said()] == []
