"""Exact gradients of a group's loss, with its prompt and images computed once.

    loss = accumulate_gradients(model, group, targets, settings)    # adds to every trainable parameter's .grad
    logps = log_probabilities(model, group)                         # (G, T), no gradients

A prompt of P tokens and G completions of R cost P + G R tokens instead of G (P + R). The chain rule is cut twice:

1. the prompt is read once with its graph; its keys, values and last hidden state become leaves;
2. each chunk of completions runs behind the leaves up to its hidden states, which become leaves again;
3. each tile of those is projected to the vocabulary, and the loss of its tokens goes back to the hidden states;
4. they go back through the chunk, which adds to the parameters and to the prompt's leaves;
5. once all chunks are done, the leaves' gradients go back through the prompt.

Memory is that of the prompt, one chunk and one tile. A chunk that runs out of memory adds nothing and is tried again in
halves; to that end gradients are taken with `torch.autograd.grad` and added when the chunk is complete. Hooks
on gradient accumulation therefore do not run: with several processes, average the gradients after the step.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dermiq.errors import ModelError
from dermiq.memory import trim
from dermiq.vlm.hub import Model
from train.rl.memory import free_bytes, is_out_of_memory, release, row_bytes
from train.rl.policy_loss import LossSettings, Targets, TokenLoss, token_loss
from train.rl.prefix import Group, Policy, Prefix, keys_stay_grouped
from train.rl.products import frozen_products

TILE = 64  # tokens that are projected to the vocabulary at a time
CPU_CHUNK_TOKENS = 256  # a seventh faster than half as many on two cores; more is no faster, and only costs memory
CUDA_CHUNK_TOKENS = 16_384
_SHARE = 0.7  # of the free memory that a chunk may take


@dataclass
class GroupLoss:
    """The loss of one group, and what was seen on the way. Everything (G, T) is 0 where nothing was learnt."""

    loss: float
    log_probabilities: Tensor  # (G, T) before the step
    entropies: Tensor  # (G, T)
    ratios: Tensor  # (G, T)
    clipped: Tensor  # (G, T) bool
    kl: Tensor  # (G, T)
    chunk: int  # rows a chunk, at the end


def accumulate_gradients(
    model: Model,
    group: Group,
    targets: Targets,
    settings: LossSettings | None = None,
    *,
    prefix: Prefix | None = None,
    chunk: int | None = None,
    tile: int = TILE,
) -> GroupLoss:
    """Add the gradient of sum(weights * token losses) to the trainable parameters. `chunk` rows; None: what fits.

    `prefix`: the group's prompt as these same weights have just read it, with its graph, which is used up.
    """
    settings = settings or LossSettings()
    if settings.beta and targets.reference is None:
        raise ModelError("A loss with beta needs the log-probabilities of the reference.")
    policy = Policy(model)
    trainable = policy.trainable
    if not trainable:
        raise ModelError("Nothing of this model would be trained: no parameter requires a gradient.")
    result = _empty(group)
    learnt = group.mask & (targets.weights != 0)
    rows = _longest_first(learnt)
    if not rows:
        return result
    with _lean(policy):
        prefix = prefix or policy.read(group.inputs)
        leaves = prefix.leaves()
        trim()
        sums: list[Tensor | None] = [None] * len(leaves.tensors)

        def run(part: list[int]) -> None:
            gradients, update = _chunk_gradients(policy, leaves, group, learnt, part, targets, settings, tile)
            for index, gradient in enumerate(gradients[: len(sums)]):  # from here on nothing is allocated that may fail
                sums[index] = _added(sums[index], gradient)
            _add_to(trainable, gradients[len(sums) :])
            _record(result, update)

        result.chunk = _in_chunks(rows, chunk or _fitting_rows(policy, group, tile), run)
        _backward_prefix(prefix, sums, trainable)
    return result


def read_prompt(model: Model, inputs: Mapping[str, Tensor]) -> Prefix:
    """A prompt with its graph, for sampling and then for `accumulate_gradients`: read once for both."""
    policy = Policy(model)
    with torch.enable_grad(), _lean(policy):
        return policy.read(inputs)


@torch.no_grad()
def log_probabilities(
    model: Model, group: Group, *, temperature: float = 1.0, chunk: int | None = None, tile: int = TILE
) -> Tensor:
    """(G, T) log-probabilities of the completions' tokens, 0 where the mask is False. For old policy and reference."""
    policy = Policy(model)
    result = torch.zeros(group.mask.shape, device=group.mask.device)
    rows = _longest_first(group.mask)
    with _lean(policy):
        prefix = policy.read(group.inputs)

        def run(part: list[int]) -> None:
            hidden, places, ids = _predictors(policy, prefix, group, group.mask, part)
            for own in _tiles(len(ids), tile):
                logps, _ = policy.scores(hidden[own], ids[own], temperature=temperature)
                result[places[0][own], places[1][own]] = logps.to(result.device)

        _in_chunks(rows, chunk or _fitting_rows(policy, group, tile), run)
    return result


@contextlib.contextmanager
def _lean(policy: Policy) -> Iterator[None]:
    """What forward and backward passes have in common that compute the same in less time and memory on the CPU."""
    with frozen_products(policy.model), keys_stay_grouped(policy.head.weight.device):
        yield


Places = tuple[Tensor, Tensor]  # rows and columns of n tokens


def _predictors(
    policy: Policy, prefix: Prefix, group: Group, wanted: Tensor, rows: Sequence[int]
) -> tuple[Tensor, Places, Tensor]:
    """The hidden states (n, D) behind the wanted tokens of these rows, the tokens' places, and the tokens (n,)."""
    index = torch.tensor(rows, device=group.mask.device)
    width = int(group.lengths[index].max())  # padding comes after a completion, so nothing ever attends to it
    ids, mask = group.completions[index, :width], wanted[index, :width]
    hidden = policy.hidden(prefix, ids.to(prefix.last.device))
    row, column = mask.nonzero(as_tuple=True)
    return hidden[mask.to(hidden.device)], (index[row], column), ids[mask].to(hidden.device)


def _chunk_gradients(
    policy: Policy,
    leaves: Prefix,
    group: Group,
    learnt: Tensor,
    rows: Sequence[int],
    targets: Targets,
    settings: LossSettings,
    tile: int,
) -> tuple[list[Tensor | None], list[tuple[Places, Tensor, Tensor, TokenLoss, Tensor]]]:
    """Gradients of the leaves, then of the trainable parameters; and what is to be recorded of each tile."""
    trainable, head = policy.trainable, [p for p in policy.head.parameters() if p.requires_grad]
    with torch.enable_grad():
        hidden, places, ids = _predictors(policy, leaves, group, learnt, rows)
        at_hidden, at_head = torch.empty_like(hidden), [torch.zeros_like(p) for p in head]
        seen = []
        for own in _tiles(len(ids), tile):
            leaf = hidden[own].detach().requires_grad_()
            place = (places[0][own], places[1][own])
            aims = targets.at(*place)
            logps, entropies = policy.scores(leaf, ids[own], temperature=settings.temperature)
            tokens = token_loss(logps, entropies, aims, settings)
            loss = (aims.weights * tokens.loss).sum()
            at_leaf, *more = torch.autograd.grad(loss, [leaf, *head])
            at_hidden[own] = at_leaf
            for total, gradient in zip(at_head, more, strict=True):
                total += gradient
            seen.append((place, logps.detach(), entropies.detach(), tokens, loss.detach()))
        wanted = [tensor for tensor in (*leaves.tensors, *trainable) if tensor.requires_grad]
        reached = torch.autograd.grad(hidden, wanted, at_hidden, allow_unused=True) if hidden.requires_grad else ()
    by_id = {id(tensor): gradient for tensor, gradient in zip(wanted, _distinct(reached), strict=False)}
    for parameter, gradient in zip(head, at_head, strict=True):  # also the embedding's, where the two are tied
        by_id[id(parameter)] = _added(by_id.get(id(parameter)), gradient)
    return [by_id.get(id(tensor)) for tensor in (*leaves.tensors, *trainable)], seen


def _backward_prefix(prefix: Prefix, sums: Sequence[Tensor | None], trainable: Sequence[Tensor]) -> None:
    """The leaves' gradients go back through the prompt, once."""
    pairs = [(t, g) for t, g in zip(prefix.tensors, sums, strict=True) if g is not None and t.requires_grad]
    if pairs:
        tensors, gradients = zip(*pairs, strict=True)
        _add_to(trainable, _distinct(torch.autograd.grad(tensors, trainable, gradients, allow_unused=True)))


def _in_chunks(rows: list[int], size: int, run: Callable[[list[int]], object]) -> int:
    """`run` on `rows`, `size` at a time; half as many where that is too much. The size at the end."""
    size, start = min(size, len(rows)), 0
    while start < len(rows):
        if _fits(run, rows[start : start + size]):
            start += size
            trim()  # freed pieces between held ones would add up from chunk to chunk
            continue
        release()
        if size == 1:
            raise ModelError(
                "One completion alone does not fit into memory. Use fewer new tokens, smaller images, a smaller model, "
                "or gradient checkpointing."
            )
        size //= 2
    return size


def _fits(run: Callable[[list[int]], object], rows: list[int]) -> bool:
    """Whether it ran; its own function, so that what the failed attempt held is let go of with the exception."""
    try:
        run(rows)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True


def _fitting_rows(policy: Policy, group: Group, tile: int) -> int:
    """Rows whose activations fit into the free memory beside one tile, but no more than keep the device busy."""
    device, config = policy.head.weight.device, policy.config
    longest = max(1, int(group.lengths.max()))
    prompt = group.inputs["input_ids"].shape[1]
    checkpointed = policy.model.training and any(
        getattr(module, "gradient_checkpointing", False) for module in policy.backbone.modules()
    )
    row = row_bytes(
        config, prompt=prompt, completion=longest, element=policy.model.dtype.itemsize, checkpointed=checkpointed
    )
    spare = _SHARE * free_bytes(device) - 3 * tile * config.vocab_size * 4  # logits, probabilities, gradient
    busy = (CUDA_CHUNK_TOKENS if device.type == "cuda" else CPU_CHUNK_TOKENS) // longest
    return max(1, min(len(group.mask), busy, int(spare // row)))


def _longest_first(mask: Tensor) -> list[int]:
    """Rows with anything in them: alike lengths share a chunk, and memory runs out at once or never."""
    lengths = mask.sum(1)
    order = torch.argsort(lengths, descending=True, stable=True)
    return [row for row in order.tolist() if lengths[row] > 0]


def _tiles(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def _distinct(gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Copies in place of repeats: one tensor may be the gradient of two inputs, and each is added to in place."""
    seen: set[int] = set()
    result = []
    for gradient in gradients:
        result.append(gradient.clone() if gradient is not None and id(gradient) in seen else gradient)
        seen.add(id(gradient))
    return result


def _added(total: Tensor | None, gradient: Tensor | None) -> Tensor | None:
    if total is None or gradient is None:
        return gradient if total is None else total
    return total.add_(gradient)


def _add_to(parameters: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> None:
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if gradient is not None:
            parameter.grad = _added(parameter.grad, gradient)


def _empty(group: Group) -> GroupLoss:
    def zeros(dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.zeros(group.mask.shape, dtype=dtype, device=group.mask.device)

    return GroupLoss(0.0, zeros(), zeros(), zeros(), zeros(torch.bool), zeros(), 0)


def _record(result: GroupLoss, seen: Sequence[tuple[Places, Tensor, Tensor, TokenLoss, Tensor]]) -> None:
    for place, logps, entropies, tokens, loss in seen:
        result.loss += float(loss)
        result.log_probabilities[place] = logps
        result.entropies[place] = entropies
        result.ratios[place] = tokens.ratio
        result.clipped[place] = tokens.clipped
        result.kl[place] = tokens.kl
