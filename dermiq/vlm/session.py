"""One visitor's conversation with a model: streamed text, likelihoods, and a cache that lives between turns.

A session keeps the token ids that its cache holds. A new call renders the whole conversation, finds the longest common
prefix with those ids, and reads only the rest, so a follow-up question does not read the image again. Knows neither
the graph nor the page.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
import torch

from dermiq.errors import ModelError, ran_out_of_memory
from dermiq.vlm.backend import Backend
from dermiq.vlm.drafts import Rows, SamplingSettings, drawn
from dermiq.vlm.hub import Processor
from dermiq.vlm.lookup import guessed
from dermiq.vlm.prompt_inputs import Message, Prompt, PromptEncoder, TextWriter

Ending = Literal["end", "length", "stopped", "string"]
"""Why a text ended: the model ended its turn, `max_new_tokens`, the visitor or a newer call, a stop string."""


@dataclass(frozen=True)
class Stats:
    """What one call took."""

    prompt_tokens: int
    reused_tokens: int  # of them, those that the cache already held
    first_token_s: float  # from the call to the first token
    tokens: int  # written
    seconds: float  # from the call to the last token
    ending: Ending

    @property
    def tokens_per_s(self) -> float:
        """The rate after the first token."""
        return (self.tokens - 1) / (self.seconds - self.first_token_s) if self.tokens > 1 else 0.0


class Model(Protocol):
    """What a session needs of the model that made it: `dermiq.vlm.load.VLM`."""

    encoder: PromptEncoder
    processor: Processor  # of which the tokenizer is used
    end_ids: frozenset[int]  # any of them ends the model's turn
    banned_ids: frozenset[int]  # never written
    max_tokens: int  # of a conversation

    @property
    def lock(self) -> AbstractContextManager[object]:
        """Held for one forward."""


class Session:
    """Made by `VLM.session(images)`. One call at a time: a newer call ends an unfinished older one."""

    def __init__(self, vlm: Model, images: Sequence[np.ndarray], backend: Backend) -> None:
        self.vlm = vlm
        self.images = tuple(images)
        self.last_stats: Stats | None = None
        self._backend = backend
        self._ids: list[int] = []  # what the cache holds
        self._logits: torch.Tensor | None = None  # after the last of them
        # read on a guess behind them: tokens, and the logits after each
        self._ahead: list[tuple[int, torch.Tensor]] = []
        self._call = 0
        self._writing = False
        self.guesses = backend.guesses

    @property
    def ids(self) -> tuple[int, ...]:
        """What was read and written so far."""
        return tuple(self._ids)

    def stream(
        self,
        messages: Sequence[Message],
        *,
        max_new_tokens: int = 320,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int | None = None,
        prefill: str = "",
        stop: threading.Event | None = None,
        stop_strings: Sequence[str] = (),
    ) -> Generator[str, None, None]:
        """Yield the text that follows `prefill`, as it is written. A stop string is the last thing written."""
        started = time.perf_counter()
        self._call += 1
        call = self._call
        prompt = self._encode(messages, prefill=prefill)
        sampler = _Sampler(temperature, top_p, seed, banned=self.vlm.banned_ids)
        writer, strings = TextWriter(self.vlm.processor.tokenizer), _StopStrings(stop_strings)
        reused, first_token_s = 0, 0.0
        ending: Ending = "length"
        self._writing = True
        try:
            with self._step(call):
                reused = self._advance_to(prompt)
            max_new_tokens = min(max_new_tokens, self.vlm.max_tokens - len(self._ids))
            for index in range(max_new_tokens):
                assert self._logits is not None
                token = sampler.pick(self._logits)
                if index == 0:
                    first_token_s = time.perf_counter() - started
                if token in self.vlm.end_ids:
                    ending = "end"
                    break
                delta, found = strings.push(writer.push(token))
                if delta:
                    yield delta
                if found:
                    ending = "string"
                    break
                if (stop is not None and stop.is_set()) or call != self._call:
                    ending = "stopped"
                    break
                if index + 1 < max_new_tokens:
                    with self._step(call):
                        self._follow(token, room=max_new_tokens - index - 2)
            if ending != "string" and (delta := strings.push(writer.finish())[0]):
                yield delta
        except GeneratorExit:  # the reader went away: what was written stays in the cache
            ending = "stopped"
            raise
        except _Overtaken:
            ending = "stopped"
        finally:
            self._writing = False
            self.last_stats = Stats(
                prompt_tokens=len(prompt.ids),
                reused_tokens=reused,
                first_token_s=first_token_s,
                tokens=len(writer.ids),
                seconds=time.perf_counter() - started,
                ending=ending,
            )

    def generate(self, messages: Sequence[Message], **options: Any) -> str:
        """The whole text of `stream`."""
        return "".join(self.stream(messages, **options))

    def rest(self) -> None:
        """Lets go of the cache, unless it is being written to: the next call reads the conversation again."""
        with self.vlm.lock:
            if not self._writing:
                self._backend.forget()
                self._ids, self._logits = [], None
                self._ahead.clear()

    def read(self, messages: Sequence[Message]) -> None:
        """Reads a conversation ahead of its next question, which then begins to be answered so much sooner."""
        self._call += 1
        with self._step(self._call):
            self._advance_to(self._encode(messages))

    def drafts(
        self,
        messages: Sequence[Message],
        count: int,
        *,
        prefill: str = "",
        max_new_tokens: int = 320,
        temperature: float = 0.7,
        top_p: float = 0.95,
        seed: int = 0,
    ) -> list[str]:
        """So many texts that follow `prefill`, drawn side by side at little more than the time of one."""
        self._call += 1
        prompt = self._encode(messages, prefill=prefill)
        with self._step(self._call):
            self._advance_to(prompt)
            assert self._logits is not None
            settings = SamplingSettings.of(
                self.vlm,
                new_tokens=max(1, min(max_new_tokens, self.vlm.max_tokens - len(self._ids))),
                temperature=temperature,
                top_p=top_p,
            )
            rows = self.rows(count, room=settings.max_new_tokens)
            return drawn(rows, self._logits[None].cpu(), count, settings, seed=seed).texts(self.vlm.processor.tokenizer)

    def rows(self, count: int, *, room: int) -> Rows:
        """Equal rows behind what was read and written so far, with room for so many tokens each."""
        self._forget_guesses()
        return self._backend.rows(count, room=room)

    def score(
        self, messages: Sequence[Message], candidates: Mapping[str, str], *, prefill: str = ""
    ) -> dict[str, float]:
        """The log-likelihood (natural) of each string as what follows `prefill`. End each with a terminator."""
        if not candidates:
            return {}
        self._call += 1
        encoder = self.vlm.encoder
        prompt = self._encode(messages)
        rows = [encoder.text_ids(prefill + text) for text in candidates.values()]
        # tokens may merge across the end of the prefill: what all rows share with it is given, the rest is scored
        given = min(_common(row[:-1], encoder.text_ids(prefill)) for row in rows)
        full = Prompt(ids=prompt.ids + rows[0][:given], inputs=prompt.inputs, image_end=prompt.image_end)
        self._refuse(len(full.ids) + sum(len(row) - given for row in rows))  # they lie in one cache
        with self._step(self._call):
            self._advance_to(full)
            self._forget_guesses()
            assert self._logits is not None
            totals = self._backend.continuations(self._logits, [row[given:] for row in rows])
        return dict(zip(candidates, totals, strict=True))

    def ending(self, messages: Sequence[Message], *, prefill: str) -> float:
        """The probability that the model's text ends behind `prefill`."""
        self._call += 1
        with self._step(self._call):
            self._advance_to(self._encode(messages, prefill=prefill))
            assert self._logits is not None
            shares = torch.softmax(self._logits.float().cpu(), dim=-1)
        return float(shares[sorted(self.vlm.end_ids)].sum())

    def room(self, messages: Sequence[Message]) -> int:
        """How many tokens the model can still read or write behind a conversation; below 0 where it is too long."""
        return self.vlm.max_tokens - len(self.vlm.encoder.encode(messages, self.images, prefill="").ids)

    def _encode(self, messages: Sequence[Message], *, prefill: str = "") -> Prompt:
        prompt = self.vlm.encoder.encode(messages, self.images, prefill=prefill)
        self._refuse(len(prompt.ids) + 1)
        return prompt

    def _refuse(self, tokens: int) -> None:
        if tokens > self.vlm.max_tokens:
            raise ModelError(
                f"The conversation has grown to {tokens} tokens, and this model reads at most {self.vlm.max_tokens}. "
                "Start a new case or ask a shorter question."
            )

    def _advance_to(self, prompt: Prompt) -> int:
        """Make the cache hold exactly the prompt; how many of its tokens were there already."""
        prompt = self._as_written(prompt)
        keep = _common(self._ids, prompt.ids)
        if keep == len(prompt.ids) == len(self._ids) and self._logits is not None:
            return keep
        keep = min(keep, len(prompt.ids) - 1)  # the last token is read again for its logits
        self._ahead.clear()
        if keep < max(prompt.image_end, 1) or not self._backend.crop(keep):
            self._ids = []
            self._logits = self._backend.prefill(prompt)
            self._ids = list(prompt.ids)
            return 0
        del self._ids[keep:]
        self._extend(prompt.ids[keep:])
        return keep

    def _as_written(self, prompt: Prompt) -> Prompt:
        """The same text with the tokens that the cache holds, where the model split its own words in another way."""
        keep = _common(self._ids, prompt.ids)
        if keep == len(self._ids) or keep < max(prompt.image_end, 1):
            return prompt
        encoder = self.vlm.encoder
        held, wanted = encoder.text_of(self._ids[keep:]), encoder.text_of(prompt.ids[keep:])
        exact = "\ufffd" not in held and encoder.text_ids(wanted) == prompt.ids[keep:]
        if not exact or not wanted.startswith(held):
            return prompt
        ids = (*self._ids, *encoder.text_ids(wanted[len(held) :]))
        return replace(prompt, ids=ids) if len(ids) < self.vlm.max_tokens else prompt

    def _extend(self, ids: Sequence[int]) -> None:
        self._logits = self._backend.extend(ids)
        self._ids.extend(ids)

    def _follow(self, token: int, *, room: int) -> None:
        """One more token. Those that are likely to come next are read with it, which takes little longer."""
        if self._ahead and self._ahead[0][0] == token:
            self._logits = self._ahead.pop(0)[1]
            self._ids.append(token)
            return
        self._forget_guesses()
        ids = (*self._ids, token)
        guesses = guessed(ids, most=min(self.guesses, room)) if self.guesses else ()
        if not guesses:
            self._extend([token])
            return
        logits = self._backend.read((token, *guesses))
        self._ids.append(token)
        self._logits = logits[0]
        self._ahead = list(zip(guesses, logits[1:], strict=True))

    def _forget_guesses(self) -> None:
        if self._ahead:
            self._ahead.clear()
            self._backend.crop(len(self._ids))

    @contextmanager
    def _step(self, call: int) -> Iterator[None]:
        """One forward at a time on the model; a failure leaves an empty cache, never a wrong one."""
        with self.vlm.lock:
            if call != self._call:
                raise _Overtaken
            try:
                yield
            except Exception as error:
                self._ids, self._logits, self._ahead = [], None, []
                self._backend.forget()
                if ran_out_of_memory(error):
                    _give_back(error)
                    raise ModelError(
                        "The model ran out of memory. Use a smaller model or image, or start with --load-in-4bit.",
                        detail=repr(error),
                    ) from error
                raise


@dataclass(frozen=True)
class Majority:
    """k sampled texts and what they vote for."""

    texts: tuple[str, ...]
    votes: tuple[str | None, ...]  # None: the text has no readable answer

    @property
    def winner(self) -> str | None:
        """The most frequent vote, the earliest of equals; None where no text has one."""
        counts = Counter(vote for vote in self.votes if vote is not None)
        return counts.most_common(1)[0][0] if counts else None

    @property
    def agreement(self) -> float:
        """The winner's share of all k texts, 0 to 1."""
        return self.votes.count(self.winner) / len(self.votes) if self.winner is not None else 0.0


def majority(
    session: Session,
    messages: Sequence[Message],
    k: int,
    *,
    vote: Callable[[str], str | None],
    temperature: float = 0.7,
    top_p: float = 0.95,
    seed: int = 0,
    **options: Any,
) -> Majority:
    """k seeded samples, side by side; `vote` reads the answer out of a text. The prompt is read once."""
    texts = tuple(session.drafts(messages, k, temperature=temperature, top_p=top_p, seed=seed, **options))
    return Majority(texts=texts, votes=tuple(vote(text) for text in texts))


def _give_back(error: Exception) -> None:
    """What the failed forward held goes back now, not when the last who looks at the error lets go of it."""
    traceback.clear_frames(error.__traceback__)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


class _Overtaken(Exception):
    """A newer call on the same session took over."""


def _common(left: Sequence[int], right: Sequence[int]) -> int:
    """The length of the longest common prefix."""
    for index, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return index
    return min(len(left), len(right))


class _Sampler:
    """Greedy at temperature 0, else seeded nucleus sampling. Banned ids (image placeholders) are never written."""

    def __init__(self, temperature: float, top_p: float, seed: int | None, *, banned: Iterable[int]) -> None:
        self.temperature, self.top_p = temperature, top_p
        self.banned = torch.tensor(sorted(banned), dtype=torch.long)
        self.generator = torch.Generator()
        if seed is None:
            self.generator.seed()
        else:
            self.generator.manual_seed(seed)

    @torch.inference_mode()
    def pick(self, logits: torch.Tensor) -> int:
        logits = logits.index_fill(0, self.banned.to(logits.device), float("-inf"))
        if self.temperature <= 0:
            return int(logits.argmax())
        probabilities = torch.softmax(logits.cpu() / self.temperature, dim=-1)
        if self.top_p < 1:
            ordered, indices = probabilities.sort(descending=True)
            ordered[ordered.cumsum(-1) - ordered >= self.top_p] = 0  # the token that crosses top_p stays
            return int(indices[torch.multinomial(ordered, 1, generator=self.generator)])
        return int(torch.multinomial(probabilities, 1, generator=self.generator))


class _StopStrings:
    """Cuts the text after the first stop string, also where it spans several pieces."""

    def __init__(self, strings: Sequence[str]) -> None:
        self.strings = tuple(strings)
        self._tail = ""  # the end of what was written, where a stop string may have begun
        self._reach = max((len(s) for s in self.strings), default=1) - 1

    def push(self, piece: str) -> tuple[str, bool]:
        """The part of `piece` to write, and whether a stop string ends in it."""
        text = self._tail + piece
        ends = [at + len(s) for s in self.strings if (at := text.find(s)) >= 0]
        if ends:
            return text[len(self._tail) : min(ends)], True
        self._tail = text[max(0, len(text) - self._reach) :]
        return piece, False
