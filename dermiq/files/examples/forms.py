"""Rows as people and other tools write them, in TRL's columns. Knows no file.

Read are TRL's own columns, with the prompt in a column of its own or at the beginning of both answers; sharegpt and
LLaVA (conversations of from and value), LLaMA-Factory (instruction, input, history, system), Anthropic's dialogues,
UltraFeedback, RLAIF-V and RLHF-V, questions with answers (VQA-RAD, SLAKE), and exports of Label Studio and Argilla
(see `dermiq.files.examples.exports`). For what is none of these, a sentence says which column is meant.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from dermiq.errors import DataError
from dermiq.files.columns import split_in, tells_split
from dermiq.files.examples import exports
from dermiq.files.examples.cells import LOOKS_LIKE_ONE, value_of
from dermiq.files.examples.pictures import COLUMNS as IMAGE_COLUMNS
from dermiq.files.examples.pictures import images_of
from dermiq.files.examples.turns import Turns, common, messages, normal, placed, places_of, text_of
from dermiq.types import Json

Row = Json
Kind = Literal["pairs", "answers", "any"]
"""Two answers to each question, one, or whichever a row has."""

PAIR = ("chosen", "rejected")
QUESTIONS = ("prompt", "question", "instruction", "query", "input")  # the first that says something
DIALOGUES = ("conversations", "conversation", "messages")
COMPLETIONS = ("completion", "answer", "response", "output")
STRUCTURED = (
    *("prompt", "completion", *PAIR, *DIALOGUES, "history", *IMAGE_COLUMNS),
    *("boxes", "scores", "reasons", "made", "models", "findings", "text"),
)
"""Columns whose value may be a list or a dictionary, which a table keeps as text."""

OPENAI = ("preferred_output", "non_preferred_output")
SWIFT = "rejected_response"

MEANT = {
    "chosen": ("preferred", "accepted", "accept", "better", "winner", "win", "positive", "good", "best"),
    "rejected": ("dispreferred", "reject", "worse", "loser", "lose", "negative", "bad", "worst"),
    "prompt": ("text", "user", "context", "problem", "human", "caption"),
    "completion": ("answers", "target", "reply", "caption", "report", "assistant", "solution", "text"),
}
"""What others call a column, as a word of its name."""


LABELLED = " These are labelled images, not answers: training takes them as CSV with the columns image and label."


def columns_of(row: Mapping[str, object], kind: Kind) -> list[Row]:
    """The examples of a row. DataError with what is wrong."""
    plain = _named({name: value for name, value in row.items() if name in exports.TELLING or _says_something(value)})
    _refuse_halves_of_characters(plain)
    return [example for one in exports.rows_in(plain) for example in _examples(_of_others(_read(one), kind), kind)]


def _examples(row: Row, kind: Kind) -> Iterator[Row]:
    if kind == "pairs" or (kind == "any" and any(name in row for name in PAIR)):
        yield _pair(row)
    else:
        yield from _answers(row)


# --- columns ----------------------------------------------------------------------------


def _says_something(value: object) -> bool:
    """A table has nan where a row has nothing; NaN and null are the same."""
    return value is not None and not (isinstance(value, float) and math.isnan(value)) and not _is_empty(value)


def _is_empty(value: object) -> bool:
    return isinstance(value, (str, list, tuple, dict)) and len(value) == 0


def _named(row: Row) -> Row:
    """Names as they are, but for the case and the spaces around those that are known."""
    known = {*QUESTIONS, *DIALOGUES, *COMPLETIONS, *STRUCTURED, *PAIR, "split", "margin", "system"}
    return {
        (low if (low := name.strip().lower()) in known and low not in row else name): value
        for name, value in row.items()
    }


def _read(row: Row) -> Row:
    """With the lists and dictionaries that are kept as texts, and numbers. DataError for a list that cannot be read."""
    made = {name: _structured(name, value) for name, value in row.items()}
    inner = made.get("text")  # RLHF-V keeps question, chosen and rejected in it
    if isinstance(inner, Mapping) and all(name in inner for name in PAIR):
        made = {**{name: value for name, value in made.items() if name != "text"}, **inner}
    if "margin" in made:
        made["margin"] = _margin(made["margin"])
    return made


def _of_others(row: Row, kind: Kind) -> Row:
    """Pairs as OpenAI and ms-swift name them, in TRL's columns."""
    if kind == "answers":
        return row
    if all(name in row for name in OPENAI) and isinstance(row.get("input"), Mapping):
        rest = {name: value for name, value in row.items() if name not in (*OPENAI, "input")}
        return {**rest, "prompt": row["input"].get("messages"), "chosen": row[OPENAI[0]], "rejected": row[OPENAI[1]]}
    if SWIFT in row and not any(name in row for name in PAIR):
        rest = {name: value for name, value in row.items() if name not in (SWIFT, "response", "messages")}
        said = row.get("messages")
        if isinstance(said, list) and len(said) > 1:
            return {**rest, "prompt": said[:-1], "chosen": said[-1:], "rejected": row[SWIFT]}
        if "response" in row:
            return {**rest, "chosen": row["response"], "rejected": row[SWIFT]}
    return row


def _structured(name: str, value: object) -> object:
    if not isinstance(value, str) or name not in STRUCTURED:
        return value
    is_list_of_images = name in (*IMAGE_COLUMNS, "boxes", "reasons", "findings") and value.lstrip()[:1] == "["
    if not is_list_of_images and not LOOKS_LIKE_ONE.match(value):
        return value
    try:
        return value_of(value)
    except ValueError as error:
        if name in ("reasons", "findings"):  # words of a person
            return value
        raise DataError(
            f"{name} holds {value.strip()[:60]!r}, which begins like a list or a dictionary and cannot be read as one."
        ) from error


def _margin(value: Any) -> float:
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise DataError(f"the margin is {str(value)[:40]!r}, which is no number.")
    if found < 0:
        raise DataError(f"the margin is {found:g}: that would prefer the rejected one.")
    return found


def _refuse_halves_of_characters(row: Row) -> None:
    """JSON can hold halves of characters, which no tokenizer and no database takes."""
    try:
        json.dumps(row, ensure_ascii=False, default=lambda _: "").encode()
    except UnicodeEncodeError as error:
        raise DataError(f"a text holds half of a character ({error.object[error.start]!r}): write it anew.") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError("a value is nested too deeply, or refers to itself.") from error


def _missing(names: Sequence[str], row: Row, hint: str = "") -> DataError:
    told = f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} missing"
    return DataError(f"{told}. The line has {', '.join(map(str, row)) or 'nothing'}.{hint or _hint(names, row)}")


def _hint(names: Sequence[str], row: Row) -> str:
    """Which columns are meant, as far as their names tell."""
    meant = []
    for name in names:
        for column in row:
            words = str(column).lower().replace("-", "_").split("_")
            if column not in (*PAIR, *QUESTIONS, *COMPLETIONS) and (name in words or set(words) & set(MEANT[name])):
                meant.append(f"{column} to {name}")
                break
    return f" Rename {' and '.join(meant)}." if meant else ""


# --- what is asked ----------------------------------------------------------------------


def _asked(row: Row, images: list[object]) -> str | Turns | None:
    """The prompt; None where no column has it."""
    found = next((name for name in ("prompt", *QUESTIONS, *DIALOGUES) if name in row), None)
    if found is None:
        return None
    if found == "instruction" and isinstance(row.get("input"), str):
        asked: str | Turns = f"{row[found]}\n{row['input']}"
    else:
        asked = normal(row[found], images)
    before = [*_system(row), *_history(row)]
    return [*before, *messages(asked, "user")] if before else asked


def _system(row: Row) -> Turns:
    return messages(str(row["system"]), "system") if str(row.get("system", "")).strip() else []


def _history(row: Row) -> Turns:
    """Of LLaMA-Factory: questions with their answers."""
    found = row.get("history", [])
    if not isinstance(found, list) or not all(isinstance(one, (list, tuple)) and len(one) == 2 for one in found):
        return []
    return [
        turn for asked, said in found for turn in (*messages(str(asked), "user"), *messages(str(said), "assistant"))
    ]


def _checked_prompt(prompt: str | Turns, images: int) -> str | Turns:
    turns = messages(prompt, "user")
    if not turns or turns[-1]["role"] != "user" or not text_of(turns).strip():
        raise DataError("the prompt does not end with a user's turn.")
    if not images and "<img>" in text_of(turns):  # as Qwen-VL's first sets have it
        raise DataError("the prompt names its image in <img>: put the path into images, and <image> in its place.")
    return placed(prompt, images)


def _with(row: Row, prompt: str | Turns, found: list[object], **answers: str | Turns) -> Row:
    """The example. `found` are the images that stand in its messages."""
    images = images_of(row) or images_of({"images": found})
    boxes = _boxes(row, len(images))
    kept = [place for place, image in enumerate(images) if image is not None]
    left_out = (*IMAGE_COLUMNS, "boxes", *DIALOGUES, "history", "system", *COMPLETIONS, *PAIR)
    made = {
        **{name: value for name, value in row.items() if name not in left_out},
        **({"split": split} if (split := _split(row)) else {}),
        "prompt": _checked_prompt(prompt, len(kept)),
        **answers,
        "images": [images[place] for place in kept],
    }
    return {**made, "boxes": [boxes[place] for place in kept]} if boxes else made


def _split(row: Row) -> str:
    """ "" where no column says it."""
    split = split_in(row)
    if split is None:
        words = [str(value) for name, value in row.items() if tells_split(name)]
        raise DataError(f"the split {words[0][:40]!r} is not known: write train, val or test.")
    return split


def _boxes(row: Row, images: int) -> list[object]:
    """One box or null an image: whole numbers, top, left, bottom, right, with something between them."""
    boxes = row.get("boxes")
    if boxes is None:
        return []
    if not isinstance(boxes, (list, tuple)) or len(boxes) != images or not all(map(_is_box, boxes)):
        raise DataError("boxes must hold, for each image, null or [top, left, bottom, right] in pixels.")
    if any(box and not (box[0] < box[2] and box[1] < box[3]) for box in boxes):
        raise DataError(
            "boxes must hold, for each image, null or [top, left, bottom, right]: one holds nothing of an image."
        )
    return [box and list(box) for box in boxes]


def _is_box(box: object) -> bool:
    if box is None:
        return True
    return isinstance(box, (list, tuple)) and len(box) == 4 and all(type(edge) is int and edge >= 0 for edge in box)


# --- two answers ------------------------------------------------------------------------


def _pair(row: Row) -> Row:
    _refuse_what_is_no_pair(row)
    found: list[object] = []
    chosen, rejected = (normal(row[name], []) for name in PAIR)
    prompt = _asked(row, found)
    if prompt is None:
        if isinstance(chosen, str) or isinstance(rejected, str):
            raise _missing(["prompt"], row)
        prompt = common(chosen, rejected)
        chosen, rejected = chosen[len(prompt) :], rejected[len(prompt) :]
    else:
        prompt, chosen, rejected = _without_repeated(prompt, chosen, rejected)
    _check_pair(chosen, rejected)
    return _with(row, prompt, found, chosen=chosen, rejected=rejected)


def _refuse_what_is_no_pair(row: Row) -> None:
    missing = [name for name in PAIR if name not in row]
    if not missing:
        return
    if _is_kto(row):
        raise _missing(
            missing, row, " One answer with a verdict (KTO) cannot be learned from: give two answers to a prompt."
        )
    if any(name in row for name in COMPLETIONS) and len(missing) == 2:
        raise _missing(missing, row, _hint(missing, row) or " One answer to a question is for train.sft.")
    two = exports.two_answers(row)
    if len(missing) == 2 and _is_labelled(row):
        raise _missing(missing, row, LABELLED)
    if two and len(missing) == 2:
        raise _missing(
            missing, row, f" Name the better one of {two[0]} and {two[1]} chosen, and the other one rejected."
        )
    raise _missing(missing, row)


def _without_repeated(
    prompt: str | Turns, chosen: str | Turns, rejected: str | Turns
) -> tuple[str | Turns, str | Turns, str | Turns]:
    """Where both answers repeat the whole dialogue, as UltraFeedback's do: the dialogue, and the last turns."""
    if isinstance(chosen, str) or isinstance(rejected, str) or min(len(chosen), len(rejected)) < 2:
        return prompt, chosen, rejected
    before, asked = chosen[:-1], messages(prompt, "user")
    plain = [[(turn["role"], text_of([turn]).strip()) for turn in turns] for turns in (before, asked)]
    said = [turn for turn in plain[1] if turn[0] != "system"]
    if before != rejected[:-1] or not said or not any(turn == said[-1] or turn == said[0] for turn in plain[0]):
        return prompt, chosen, rejected
    return (before if len(before) > len(asked) else prompt), chosen[-1:], rejected[-1:]


def _check_pair(chosen: str | Turns, rejected: str | Turns) -> None:
    answers = [messages(value, "assistant") for value in (chosen, rejected)]
    if any([turn["role"] for turn in turns] != ["assistant"] for turns in answers):
        raise DataError("chosen or rejected is not one turn of the assistant: the prompt must not be repeated in it.")
    if any(map(places_of, answers)):
        raise DataError("an answer has a place for an image; only the prompt can have places for images.")
    texts = [text_of(turns).strip() for turns in answers]
    if not all(texts):
        raise DataError(f"{'rejected' if texts[0] else 'chosen'} is empty.")
    if texts[0] == texts[1]:
        raise DataError(f"chosen and rejected are the same text: {texts[0][:80]!r}.")


# --- one answer -------------------------------------------------------------------------


def _answers(row: Row) -> Iterator[Row]:
    if _is_kto(row):
        raise DataError(
            "an answer with a verdict (label, as for KTO) cannot be learned from: leave out the bad answers, and the "
            "column."
        )
    name = next((name for name in COMPLETIONS if name in row), None)
    if name is None:
        yield from _of_dialogue(row)
        return
    found: list[object] = []
    prompt = _asked(row, found)
    if prompt is None:
        raise _missing(["prompt"], row)
    yield _with(row, prompt, found, completion=_completion(row[name], name))


def _completion(value: object, name: str) -> str | Turns:
    if isinstance(value, (int, float)):
        return str(value)  # the number of something, or yes or no
    answer = normal(value, [])
    turns = messages(answer, "assistant")
    if turns[0]["role"] != "assistant" or turns[-1]["role"] != "assistant" or places_of(turns):
        raise DataError(f"{name} is no turn of the assistant: the prompt must not be repeated in it.")
    if not text_of(turns).strip():
        raise DataError(f"{name} is empty.")
    return answer


def _of_dialogue(row: Row) -> Iterator[Row]:
    """An example for each answer in it, of all that was said before."""
    name = next((name for name in DIALOGUES if name in row), None)
    if name is None:
        is_pair = all(one in row for one in PAIR)
        missing = ["completion"] if is_pair or any(one in row for one in QUESTIONS) else ["prompt", "completion"]
        hint = " Pairs of answers are for train.dpo." if is_pair else LABELLED if _is_labelled(row) else ""
        raise _missing(missing, row, hint)
    found: list[object] = []
    said = normal(row[name], found)
    turns = [*_system(row), *messages(said, "user")]
    ends = [place for place, turn in enumerate(turns) if turn["role"] == "assistant"]
    if not ends:
        raise DataError(f"{name} has no turn of the assistant: there is nothing to learn.")
    for place in ends:
        answer = _completion([turns[place]], name)
        yield _with(row, turns[:place], found, completion=answer)


def _is_labelled(row: Row) -> bool:
    return any(name in row for name in ("label", "dx", "diagnosis", "class")) and not any(n in row for n in QUESTIONS)


def _is_kto(row: Row) -> bool:
    """Whether the one answer of a row is called good or bad."""
    verdict = row.get("kto_tag", row.get("label"))
    said = verdict.strip().lower() in ("true", "false") if isinstance(verdict, str) else isinstance(verdict, bool)
    return said and any(name in row for name in COMPLETIONS)
