"""The language of the page: English in the code, every other one in a file of its own, `CODE.po` of this folder.

    use("de")                                 # once, for the whole app; InputError at a language that has no file
    _("Send")                                 "Senden"
    ngettext("{n} fact", "{n} facts", n).format(n=n)
    N_("Send")                                marks a constant, which `_` translates where it is shown
    said("The age “x” is not ...")            a sentence that was made below the page: an error, a status

Messages are GNU gettext's: the English text is the id, and what a file lacks stays English. `python -m dermiq.language`
brings the files up to date with the code. Knows no page.
"""

from __future__ import annotations

import gettext
import io
import re
from functools import lru_cache
from pathlib import Path

from dermiq.errors import InputError
from dermiq.language import po

SOURCE = "en"
FOLDER = Path(__file__).resolve().parent

_code = SOURCE
_translation = gettext.NullTranslations()


def languages() -> tuple[str, ...]:
    """Codes of those that the page can speak, English first."""
    return (SOURCE, *sorted(path.stem for path in FOLDER.glob("*.po")))


def use(code: str) -> None:
    """From now on everywhere in this process. InputError at a language that there is not."""
    global _code, _translation
    if code not in languages():
        raise InputError(
            f"The page does not speak {code!r}. It speaks {', '.join(languages())}: set --language or DERMIQ_LANGUAGE "
            "to one of these. CONTRIBUTING.md says how one is added."
        )
    _code, _translation = code, _of(code)


@lru_cache
def _of(code: str) -> gettext.NullTranslations:
    if code == SOURCE:
        return gettext.NullTranslations()
    return gettext.GNUTranslations(io.BytesIO(po.compiled(catalogue(code))))


def catalogue(code: str) -> list[po.Message]:
    """The messages of one file. ValueError at a line that is none of its form."""
    return po.read((FOLDER / f"{code}.po").read_text(encoding="utf-8"))


def current() -> str:
    return _code


def is_english() -> bool:
    return _code == SOURCE


def _(text: str) -> str:
    return _translation.gettext(text) if text else ""  # the empty id is the file's header


def N_(text: str) -> str:
    """The text as it is; the file of every language has it."""
    return text


def ngettext(one: str, many: str, n: int) -> str:
    return _translation.ngettext(one, many, n)


def of_scripts() -> list[str]:
    """The ids that stand in the page's scripts."""
    if is_english():
        return []
    return [one.id for one in catalogue(_code) if any(".js" in line for line in one.comments if line.startswith("#:"))]


# --- sentences that were made below the page --------------------------------------------------


def said(text: object) -> str:
    """A finished English sentence in the page's language; as it is where the file does not have it.

    What stands below the page (reading an image, a patient's age, uploads) speaks English to logs, programs and reports
    alike. Its sentences are in the files with placeholders, by which they are found again here.
    """
    sentence = str(text)
    if is_english() or not sentence:
        return sentence
    known = _(sentence)
    if known != sentence:
        return known
    for pattern, message in _patterns(_code):
        if match := pattern.fullmatch(sentence):
            return _(message).format(**{name: said(value) for name, value in match.groupdict().items()})
    return sentence


PLACEHOLDER = re.compile(r"\{(\w*)[^{}]*\}")


@lru_cache
def _patterns(code: str) -> list[tuple[re.Pattern[str], str]]:
    """The ids with placeholders that can be told from one another, the longest first."""
    ids = [m.id for m in catalogue(code) if m.is_translated and not m.plural and _is_pattern(m.id)]
    return [(_pattern(one), one) for one in sorted(ids, key=len, reverse=True)]


def _is_pattern(text: str) -> bool:
    names = PLACEHOLDER.findall(text)
    literal = re.sub(r"\W", "", PLACEHOLDER.sub("", text))
    return bool(names) and len(literal) >= 10 and len(set(names)) == len(names) and all(names)


def _pattern(text: str) -> re.Pattern[str]:
    parts = PLACEHOLDER.split(text)  # literal, name, literal, name ... literal
    made = "".join(re.escape(part) if at % 2 == 0 else f"(?P<{part}>.+?)" for at, part in enumerate(parts))
    return re.compile(made, re.DOTALL)
