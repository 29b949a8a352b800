"""Sessions on tiny models of every family: what they write equals plain `generate`, and they read nothing twice."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch

from dermiq.errors import ModelError
from dermiq.vlm.load import VLM
from dermiq.vlm.prompt_inputs import TextWriter
from dermiq.vlm.session import Session, majority
from tests.tiny import picture, tiny

KINDS = ["llava", "llava plain", "nano", "idefics3", "smolvlm", "qwen2_5_vl"]
CANDIDATES = {"mel": "melanoma</answer>", "nv": "melanocytic nevus</answer>", "df": "dermatofibroma</answer>"}


def build(kind: str) -> VLM:
    family = kind.removesuffix(" plain")
    model, processor = tiny(family)
    vlm = VLM(model, processor, name=kind, revision="test", fast=kind == family)
    assert vlm.is_fast == (kind in ("llava", "nano"))
    return vlm


@pytest.fixture(params=KINDS)
def vlm(request: pytest.FixtureRequest) -> VLM:
    return build(request.param)


@pytest.fixture
def llava() -> VLM:
    return build("llava")


def ask(*texts: str, images: int = 1) -> list[dict[str, Any]]:
    """A conversation: question, answer, question, ... with the images at its head."""
    messages: list[dict[str, Any]] = []
    for index, text in enumerate(texts):
        parts = [{"type": "image"}] * images if index == 0 else []
        role = "assistant" if index % 2 else "user"
        messages.append({"role": role, "content": [*parts, {"type": "text", "text": text}]})
    return messages


def uncached(
    vlm: VLM, messages: Any, images: Any, *, prefill: str = "", written: list[int] | None = None
) -> tuple[tuple[int, ...], torch.Tensor]:
    """Token ids and the (T, V) logits of the library's own forward on a fresh model, without any cache.

    `written` are the ids to read in place of those that the text would be split into.
    """
    model, _ = tiny(vlm.name.removesuffix(" plain"))
    prompt = vlm.encoder.encode(messages, images, prefill=prefill)
    ids = tuple(written or prompt.ids)
    inputs = dict(prompt.inputs) | {"input_ids": torch.tensor([ids])}
    extra = len(ids) - inputs["attention_mask"].shape[1]
    for name, fill in (("attention_mask", 1), ("mm_token_type_ids", 0)):
        if name in inputs:
            inputs[name] = torch.nn.functional.pad(inputs[name], (0, extra), value=fill)
    with torch.no_grad():
        return ids, model(**inputs, use_cache=False).logits[0]


def count_tower_calls(vlm: VLM) -> list[int]:
    calls: list[int] = []
    inner = vlm.model.model
    tower = next(getattr(inner, n) for n in ("vision_tower", "vision_model", "visual") if hasattr(inner, n))
    tower.register_forward_hook(lambda *_: calls.append(1))
    return calls


def test_greedy_text_equals_generate(vlm: VLM) -> None:
    messages, image = ask("What is this lesion?"), picture()
    written = vlm.session([image]).generate(messages, max_new_tokens=20)
    inputs = dict(vlm.encoder.encode(messages, [image]).inputs)
    model = tiny(vlm.name.removesuffix(" plain"))[0]  # the decoder's own holds no text weights any more
    ids = model.generate(**inputs, max_new_tokens=20, do_sample=False, bad_words_ids=[[i] for i in vlm.banned_ids])
    expected = vlm.processor.tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert written == expected


def test_a_follow_up_does_not_read_the_images_again(vlm: VLM) -> None:
    calls = count_tower_calls(vlm)
    session = vlm.session([picture(0), picture(1)])
    first = session.generate(ask("What is this?", images=2), max_new_tokens=8)
    read = len(calls)
    session.score(ask("What is this?", images=2), CANDIDATES, prefill="<answer>")
    session.generate(ask("What is this?", first, "And now?", images=2), max_new_tokens=2)
    assert read >= 1
    assert len(calls) == read, "the vision tower ran again"
    assert session.last_stats is not None
    assert session.last_stats.reused_tokens > 0


def test_logits_after_a_follow_up_equal_an_uncached_forward(vlm: VLM) -> None:
    images = [picture(0), picture(1)]
    session = vlm.session(images)
    text = session.generate(ask("What is this?", images=2), max_new_tokens=10, prefill="<think>")
    session.score(ask("What is this?", images=2), CANDIDATES)
    later = ask("What is this?", f"<think>{text}", "And now?", images=2)
    session.generate(later, max_new_tokens=1, prefill="<answer>")
    _, expected = uncached(vlm, later, images, prefill="<answer>", written=session._ids)
    assert vlm.encoder.text_of(session._ids) == vlm.encoder.text_of(
        vlm.encoder.encode(later, images, prefill="<answer>").ids
    )
    assert session._logits is not None
    torch.testing.assert_close(session._logits, expected[-1], atol=1e-4, rtol=1e-4)


def test_scores_are_exact(vlm: VLM) -> None:
    messages, images = ask("What is this?"), [picture()]
    session = vlm.session(images)
    session.generate(messages, max_new_tokens=5)
    scores = session.score(messages, CANDIDATES, prefill="<answer>")
    given = len(uncached(vlm, messages, images, prefill="<answer>")[0])
    for key, text in CANDIDATES.items():
        ids, logits = uncached(vlm, messages, images, prefill="<answer>" + text)
        steps = logits[given - 1 : -1].log_softmax(-1)
        expected = steps.gather(1, torch.tensor(ids[given:])[:, None]).sum()
        assert scores[key] == pytest.approx(float(expected), abs=1e-4)


def test_scoring_leaves_the_conversation_as_it_was(vlm: VLM) -> None:
    messages = ask("What is this?")
    fresh = vlm.session([picture()]).generate(messages, max_new_tokens=12)
    session = vlm.session([picture()])
    session.score(messages, CANDIDATES, prefill="<answer>")
    assert session.generate(messages, max_new_tokens=12) == fresh


def test_two_sessions_do_not_mix(vlm: VLM) -> None:
    def text(seed: int) -> str:
        return vlm.session([picture(seed)]).generate(ask("What is this?"), max_new_tokens=12)

    expected = [text(0), text(1)]
    streams = [vlm.session([picture(seed)]).stream(ask("What is this?"), max_new_tokens=12) for seed in (0, 1)]
    pieces: list[list[str]] = [[], []]
    for _ in range(40):  # token by token, in turns
        for index, stream in enumerate(streams):
            pieces[index].append(next(stream, ""))
    assert ["".join(p) for p in pieces] == expected


def test_what_the_model_wrote_is_not_read_again(llava: VLM) -> None:
    session, tokenizer = llava.session([picture()]), llava.processor.tokenizer
    prompt = llava.encoder.encode(ask("What?"), session.images)
    odd = [tokenizer.convert_tokens_to_ids(letter) for letter in "melanoma"]  # one token a letter, which no text gives
    assert tuple(odd) != llava.encoder.text_ids("melanoma")
    session._advance_to(prompt)
    session._extend(odd)
    session.generate(ask("What?", "melanoma", "And now?"), max_new_tokens=1)
    assert session.last_stats is not None
    assert session.last_stats.reused_tokens == len(prompt.ids) + len(odd)


def test_seeded_sampling_repeats(llava: VLM) -> None:
    options = {"max_new_tokens": 16, "temperature": 1.0, "top_p": 0.9}
    session = llava.session([picture()])
    texts = [session.generate(ask("What?"), seed=seed, **options) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_a_tiny_top_p_is_greedy(llava: VLM) -> None:
    session = llava.session([picture()])
    greedy = session.generate(ask("What?"), max_new_tokens=12)
    assert session.generate(ask("What?"), max_new_tokens=12, temperature=1.0, top_p=1e-6, seed=0) == greedy


def test_stopping_keeps_what_was_written(llava: VLM) -> None:
    session, stop = llava.session([picture()]), threading.Event()
    whole = session.generate(ask("What?"), max_new_tokens=30)
    pieces = []
    for piece in session.stream(ask("What?"), max_new_tokens=30, stop=stop):
        pieces.append(piece)
        if len(pieces) == 5:
            stop.set()
    assert whole.startswith("".join(pieces))
    assert session.last_stats is not None
    assert session.last_stats.ending == "stopped"
    assert session.last_stats.tokens < 30


def test_closing_the_stream_keeps_the_session_usable(llava: VLM) -> None:
    session = llava.session([picture()])
    whole = session.generate(ask("What?"), max_new_tokens=20)
    stream = session.stream(ask("What?"), max_new_tokens=20)
    next(stream)
    stream.close()
    assert session.generate(ask("What?"), max_new_tokens=20) == whole


def test_a_newer_call_ends_the_older(llava: VLM) -> None:
    session = llava.session([picture()])
    expected = llava.session([picture()]).generate(ask("Other?"), max_new_tokens=12)
    older = session.stream(ask("What?"), max_new_tokens=50)
    next(older)
    assert session.generate(ask("Other?"), max_new_tokens=12) == expected
    assert len(list(older)) <= 1


def test_stop_string_is_the_last_thing_written(llava: VLM) -> None:
    session = llava.session([picture()])
    whole = session.generate(ask("What?"), max_new_tokens=30)
    wanted = whole[4:7]
    cut = session.generate(ask("What?"), max_new_tokens=30, stop_strings=[wanted])
    assert cut == whole[: whole.index(wanted) + 3]
    assert session.last_stats is not None
    assert session.last_stats.ending == "string"


def test_statistics_count(llava: VLM) -> None:
    session = llava.session([picture()])
    session.generate(ask("What?"), max_new_tokens=10)
    stats = session.last_stats
    assert stats is not None
    assert (stats.reused_tokens, stats.tokens, stats.ending) == (0, 10, "length")
    assert 0 < stats.first_token_s < stats.seconds
    session.generate(ask("What?"), max_new_tokens=1)
    assert session.last_stats is not None
    assert session.last_stats.reused_tokens == session.last_stats.prompt_tokens - 1


def test_control_tokens_in_a_question_are_plain_text(vlm: VLM) -> None:
    hostile = " ".join(vlm.processor.tokenizer.all_special_tokens) + f" {vlm.processor.image_token} end"
    prompt = vlm.encoder.encode(ask(hostile), [picture()])
    harmless = vlm.encoder.encode(ask("end"), [picture()])
    tokenizer = vlm.processor.tokenizer
    for token in (vlm.encoder.image_token_id, tokenizer.eos_token_id):
        assert prompt.ids.count(token) == harmless.ids.count(token)


def test_images_are_placed_at_the_first_question(vlm: VLM) -> None:
    plain = [{"role": "user", "content": "What is this?"}]
    assert vlm.encoder.encode(plain, [picture()]).ids == vlm.encoder.encode(ask("What is this?"), [picture()]).ids


def test_a_wrong_number_of_images_is_said(llava: VLM) -> None:
    with pytest.raises(ModelError, match="2 places for images, but 1"):
        llava.session([picture()]).generate(ask("What?", images=2))


def test_text_alone_works(vlm: VLM) -> None:
    assert vlm.session([]).generate(ask("What?", images=0), max_new_tokens=4)


def test_a_conversation_that_is_too_long_is_said(llava: VLM) -> None:
    session = llava.session([picture()])
    with pytest.raises(ModelError, match="at most 2048"):
        session.generate(ask("why? " * 2048))
    almost = "x" * (2048 - len(llava.encoder.encode(ask(""), [picture()]).ids) - 3)
    session.generate(ask(almost), max_new_tokens=50)
    assert session.last_stats is not None
    assert session.last_stats.prompt_tokens + session.last_stats.tokens <= 2048


def test_majority_reads_the_prompt_once(llava: VLM) -> None:
    calls = count_tower_calls(llava)
    session = llava.session([picture()])
    result = majority(session, ask("What?"), 5, vote=lambda text: str(len(text) % 2), max_new_tokens=6)
    assert len(calls) == 1
    assert len(set(result.texts)) > 1
    assert result.winner in ("0", "1")
    assert result.agreement == result.votes.count(result.winner) / 5


def test_majority_without_a_readable_answer(llava: VLM) -> None:
    result = majority(llava.session([picture()]), ask("What?"), 2, vote=lambda text: None, max_new_tokens=2)
    assert (result.winner, result.agreement) == (None, 0.0)


@pytest.mark.parametrize("text", ["naïve – 5 µm ≤ 6 mm", "黒色腫 🩺 done", "plain"])
def test_pieces_never_split_a_character(llava: VLM, text: str) -> None:
    tokenizer = llava.processor.tokenizer
    writer = TextWriter(tokenizer)
    pieces = [writer.push(token) for token in tokenizer.encode(text)] + [writer.finish()]
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)


def test_out_of_memory_is_one_sentence(llava: VLM, monkeypatch: pytest.MonkeyPatch) -> None:
    session = llava.session([picture()])

    def fail(*_: Any) -> None:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(session._backend, "prefill", fail)
    with pytest.raises(ModelError, match="ran out of memory"):
        session.generate(ask("What?"))
    monkeypatch.undo()
    assert session.generate(ask("What?"), max_new_tokens=3)


def test_threads_share_a_model(llava: VLM) -> None:
    expected = [llava.session([picture(i)]).generate(ask("What?"), max_new_tokens=10) for i in range(3)]
    results: dict[int, str] = {}

    def work(index: int, session: Session) -> None:
        results[index] = session.generate(ask("What?"), max_new_tokens=10)

    workers = [threading.Thread(target=work, args=(i, llava.session([picture(i)]))) for i in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [results[i] for i in range(3)] == expected


def test_images_are_not_changed(vlm: VLM) -> None:
    image = picture()
    before = image.copy()
    vlm.session([image]).generate(ask("What?"), max_new_tokens=1)
    assert np.array_equal(image, before)


def test_drafts_are_the_same_by_either_decoder() -> None:
    """Several rows behind one prompt: by the decoder on compact weights, and by the model's own forward."""
    options: dict[str, Any] = {"max_new_tokens": 8, "temperature": 1.2, "top_p": 0.95, "seed": 5}
    found = {kind: build(kind).session([picture()]).drafts(ask("What?"), 5, **options) for kind in KINDS[:2]}
    assert found["llava"] == found["llava plain"]
    assert len(set(found["llava"])) > 1
    session = build("llava").session([picture()])
    before = session.generate(ask("What?"), max_new_tokens=8)
    session.drafts(ask("What?"), 3, **options)
    assert session.generate(ask("What?"), max_new_tokens=8) == before, "the conversation goes on as it was"
    assert session.last_stats is not None
    assert session.last_stats.reused_tokens > 0


@pytest.mark.parametrize("kind", ["qwen2_5_vl", "smolvlm"])
def test_drafts_of_other_families_repeat_with_their_seed(kind: str) -> None:
    session = build(kind).session([picture()])
    drafts = [session.drafts(ask("What?"), 3, max_new_tokens=6, temperature=1.2, seed=seed) for seed in (1, 1, 2)]
    assert drafts[0] == drafts[1] != drafts[2]


def test_a_session_that_rested_reads_again_and_goes_on(vlm: VLM) -> None:
    messages = ask("What is this lesion?")
    session = vlm.session([picture()])
    first = session.generate(messages, max_new_tokens=8)
    later = ask("What is this lesion?", first, "And now?")
    expected = session.generate(later, max_new_tokens=8)
    session.rest()
    assert session.ids == ()
    assert session.generate(later, max_new_tokens=8) == expected
    assert session.last_stats is not None
    assert session.last_stats.reused_tokens == 0


def test_a_session_that_is_writing_does_not_rest(llava: VLM) -> None:
    session = llava.session([picture()])
    stream = session.stream(ask("What is this lesion?"), max_new_tokens=12)
    begun = next(stream)
    session.rest()
    assert begun + "".join(stream) == llava.session([picture()]).generate(
        ask("What is this lesion?"), max_new_tokens=12
    )


def test_what_was_read_ahead_is_not_read_again(vlm: VLM) -> None:
    session = vlm.session([picture()])
    session.generate(ask("What is this?"), max_new_tokens=4)
    shown = ask("What is this?", "Something else was shown.")
    session.read(shown)
    session.generate(ask("What is this?", "Something else was shown.", "Why?"), max_new_tokens=1)
    assert session.last_stats is not None
    read = session.last_stats.prompt_tokens - session.last_stats.reused_tokens
    assert read < session.last_stats.prompt_tokens / 2
