"""The files of messages against the code, and what they are read and written by."""

from __future__ import annotations

import gettext
import io
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from dermiq import language
from dermiq.decoder.formats import ACCEPTED
from dermiq.errors import InputError
from dermiq.language import _, catalogue, languages, ngettext, po, said, use
from dermiq.language.__main__ import updated
from dermiq.language.extract import Found, ids, marked, sentences
from dermiq.lesion.drawn import drawn_examples
from dermiq.patient import age_of, site_of
from dermiq.ui.consult.controller import _title

ROOT = Path(__file__).resolve().parents[1]
OTHERS = languages()[1:]


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    yield
    use("en")


def fields(text: str) -> list[str]:
    return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name is not None)


# --- each file against the code ---------------------------------------------------------------


@pytest.mark.parametrize("code", OTHERS)
def test_a_file_has_every_text_of_the_code_in_its_order_and_none_that_is_gone(code: str) -> None:
    found = [(one.id, one.plural) for one in ids(ROOT)]
    assert [(one.id, one.plural) for one in catalogue(code) if one.id] == found, "run: python -m dermiq.language"


@pytest.mark.parametrize("code", OTHERS)
def test_every_text_is_translated(code: str) -> None:
    assert not [one.id for one in catalogue(code) if one.id and not one.is_translated]


@pytest.mark.parametrize("code", OTHERS)
def test_placeholders_are_those_of_the_english_text(code: str) -> None:
    for one in catalogue(code)[1:]:
        first, *more = one.texts
        assert fields(first) == fields(one.id) or (one.plural and fields(first) == fields(one.plural)), one.id
        assert all(fields(text) == fields(one.plural) for text in more), one.id


@pytest.mark.parametrize("code", OTHERS)
def test_no_translation_holds_markup_or_ends_otherwise_than_the_english(code: str) -> None:
    for one in catalogue(code)[1:]:
        for text in one.texts:
            assert not re.search(r"[<>]|&\w+;", text), one.id
            assert text == text.strip(), one.id
            assert text[-1:] == one.id[-1] or one.id[-1] not in ".?:" or text in one.id, one.id


@pytest.mark.parametrize("code", OTHERS)
def test_a_file_is_as_the_command_writes_it(code: str) -> None:
    text = (language.FOLDER / f"{code}.po").read_text(encoding="utf-8")
    assert po.write(updated(catalogue(code), ids(ROOT))) == text, "run: python -m dermiq.language"


def test_texts_that_are_named_elsewhere_are_in_the_files() -> None:
    known = {one.id for one in ids(ROOT)}
    assert {ACCEPTED, *(_title(title) for title, _ in drawn_examples())} <= known


# --- which language ---------------------------------------------------------------------------


def test_english_is_there_without_a_file_and_what_a_file_lacks_stays_english() -> None:
    assert languages()[0] == "en"
    assert {"de", "es"} <= {*languages()}
    assert _("Send") == "Send"
    use("de")
    assert _("Send") == "Senden"
    assert _("no such text") == "no such text"
    assert _("") == ""


def test_an_unknown_language_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(InputError, match=r"'none'.*en, .*de, .*es.*--language or DERMIQ_LANGUAGE"):
        use("none")
    assert language.current() == "en"


@pytest.mark.parametrize(("n", "words"), [(1, "1 Zitat berichtigt"), (2, "2 Zitate berichtigt")])
def test_numbers_choose_the_form(n: int, words: str) -> None:
    use("de")
    assert ngettext("{n} citation put right", "{n} citations put right", n).format(n=n) == words


def test_a_sentence_from_below_the_page_is_found_again_with_its_values() -> None:
    use("de")
    with pytest.raises(InputError) as refused:
        age_of("999")
    assert said(refused.value).startswith("Das Alter „999“ ist keine ganze Zahl")
    assert said("downloading the language model, 34 %") == "Sprachmodell wird heruntergeladen, 34 %"
    assert said("AVIF files cannot be read: use JPEG, PNG, WebP, TIFF, BMP or HEIC.").endswith("BMP oder HEIC.")
    assert said("Melanoma is likely.") == "Melanoma is likely."


def test_in_english_a_sentence_stays_as_it_is() -> None:
    with pytest.raises(InputError) as refused:
        site_of("12")
    assert said(refused.value) == str(refused.value)


# --- the form of the files --------------------------------------------------------------------

FILE = """# A note
msgid ""
msgstr ""
"Content-Type: text/plain; charset=UTF-8\\n"
"Plural-Forms: nplurals=2; plural=(n != 1);\\n"

#: dermiq/ui/app.py
msgid "A \\"quoted\\" word"
msgstr "Ein Wort in „Anführung“"

msgid "{n} fact"
msgid_plural "{n} facts"
msgstr[0] "{n} Fakt"
msgstr[1] "{n} Fakten"

#, fuzzy
msgid "soon"
msgstr "bald"
"""


def test_a_file_is_read_and_written_as_it_was() -> None:
    assert po.write(po.read(FILE)) == FILE


def test_a_file_becomes_what_gettext_reads_without_what_is_fuzzy_or_empty() -> None:
    made = gettext.GNUTranslations(io.BytesIO(po.compiled(po.read(FILE))))
    assert made.gettext('A "quoted" word') == "Ein Wort in „Anführung“"
    assert [made.ngettext("{n} fact", "{n} facts", n) for n in (0, 1, 2)] == ["{n} Fakten", "{n} Fakt", "{n} Fakten"]
    assert made.gettext("soon") == "soon"


@pytest.mark.parametrize("text", ['msgid "a" b', "msgid a", '"a"', 'msgctx "a"'])
def test_a_line_that_is_none_of_the_form_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="Line 3"):
        po.read(f"# A note\n\n{text}\n")


def test_long_texts_stand_on_several_lines() -> None:
    long = po.Message("word " * 60, ("Wort\n" * 3,))
    assert max(map(len, po.write([long]).splitlines())) <= po.WIDTH + 2
    assert po.read(po.write([long])) == [long]


# --- what is found in the code ----------------------------------------------------------------


def test_marked_texts_are_found_whole_and_in_order() -> None:
    import ast

    code = 'x = N_("a " "b")\nngettext("{n} c", "{n} cs", n)\n_(x)\n_("d").format(n=1)'
    assert list(marked(ast.parse(code))) == [("a b", ""), ("{n} c", "{n} cs"), ("d", "")]
    for wrong in ('_(f"{n} facts")', "N_(x)"):
        with pytest.raises(ValueError, match="Line 1"):
            list(marked(ast.parse(wrong)))


def test_sentences_below_the_page_are_found_without_docstrings() -> None:
    import ast

    code = 'def f(a):\n    """A doc string."""\n    raise E(f"The age “{a[:4]}” is above {b.MOST:g}.", "no sentence")'
    assert list(sentences(ast.parse(code))) == ["The age “{a}” is above {most}."]


def test_the_command_keeps_translations_adds_what_is_new_and_drops_what_is_gone() -> None:
    before = [po.Message("", ("Language: de\n",)), po.Message("a", ("A",), comments=("# note", "#: old.py"))]
    after = updated([*before, po.Message("gone", ("weg",))], [Found("new", "news"), Found("a", places=("new.py",))])
    assert [one.id for one in after] == ["", "new", "a"]
    assert after[1].texts == ("", "")
    assert after[2] == po.Message("a", ("A",), comments=("# note", "#: new.py"))
