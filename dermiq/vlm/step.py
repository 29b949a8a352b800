"""One step of a Llama as a graph for ONNX Runtime: n tokens a row in, keys and values written in place, logits out.

Weights that were rounded to few levels are multiplied as they are (`MatMulNBits`, with fp32 activations), others in
fp32; beside each lie its low-rank parts, as two thin products. Knows arrays and names, no model and no text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from dermiq.vlm.packed import BLOCK, Packed

FLOAT_ACTIVATIONS = 1  # accuracy_level: 4 would round them to 8 bits, twice as fast and no longer the same answers
OPSET, IR = 21, 10
CONTRIB = "com.microsoft"


@dataclass(frozen=True, eq=False)
class Linear:
    """x -> x @ W.T of linear layers side by side, plus x @ A @ B: W as packed parts whose sum it is, or dense."""

    parts: Sequence[Packed] = ()
    dense: Sequence[np.ndarray] = ()  # of each layer (O, I)
    low_rank: tuple[np.ndarray, np.ndarray] | None = None  # A (I, r), B (r, O of all)

    @property
    def outputs(self) -> int:
        return self.parts[0].shape[0] if self.parts else sum(map(len, self.dense))

    @property
    def inputs(self) -> int:
        return self.parts[0].shape[1] if self.parts else int(self.dense[0].shape[1])

    def thin(self) -> tuple[np.ndarray, np.ndarray] | None:
        """A' (I, R) and B' (R, O): the offsets of the packed blocks, which multiply sums over them, and A and B."""
        downs, ups = [], []
        if self.parts:
            downs.append(np.kron(np.eye(self.inputs // BLOCK, dtype=np.float32), np.ones((BLOCK, 1), np.float32)))
            ups.append(np.sum([part.offsets for part in self.parts], axis=0).T)
        if self.low_rank is not None:
            downs.append(self.low_rank[0])
            ups.append(self.low_rank[1])
        if not downs:
            return None
        return np.concatenate(downs, 1), np.ascontiguousarray(np.concatenate(ups, 0))


@dataclass(frozen=True, eq=False)
class LayerWeights:
    norm_in: np.ndarray
    qkv: Linear
    out: Linear
    norm_mlp: np.ndarray
    gate_up: Linear
    down: Linear

    @property
    def linears(self) -> Mapping[str, Linear]:
        return {"qkv": self.qkv, "out": self.out, "gate_up": self.gate_up, "down": self.down}


@dataclass(frozen=True, eq=False)
class Weights:
    layers: Sequence[LayerWeights]
    norm: np.ndarray
    head: Linear
    heads: int
    kv_heads: int
    dim: int  # of a head
    eps: float
    cos: np.ndarray  # (positions, dim / 2)
    sin: np.ndarray

    def linears(self) -> Iterator[tuple[str, Linear]]:
        """Of all layers, by the names that the graph has for them: "l0.qkv"."""
        for index, layer in enumerate(self.layers):
            yield from ((f"l{index}.{name}", linear) for name, linear in layer.linears.items())


@dataclass
class Graph:
    """The graph while it is made. With `live` what can be trained is an input, bound to the memory where it lies."""

    live: bool = False
    held: dict[str, np.ndarray] = field(default_factory=dict)  # of the live inputs
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)
    inputs: list[Any] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def weight(self, name: str, value: np.ndarray) -> str:
        """A constant, or an input where it lives."""
        if not self.live:
            return self.constant(name, value)
        self.held[name] = value
        return self.takes(name, TensorProto.FLOAT, value.shape)

    def node(self, kind: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=outputs[0], **attributes))
        return outputs[0]

    def takes(self, name: str, kind: int, shape: Sequence[str | int]) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def gives(self, name: str, shape: Sequence[str | int]) -> None:
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def model(self) -> ModelProto:
        made = helper.make_graph(self.nodes, "step", self.inputs, self.outputs, self.constants)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
        model = helper.make_model(made, opset_imports=opsets)
        model.ir_version = IR
        return model


def build(weights: Weights, *, live: bool = False) -> Graph:
    """Inputs: x (rows, n, D); `positions` (rows, n); `bias` (1, 1, n, total), added to the attention's scores; `last`
    (rows,) index of each row's last key; `total` (1,) keys; `wanted` (m,) of the n whose logits are given; `k0`, `v0`
    ... each layer's cache. Outputs: the caches, bound to the same memory, and `logits` (rows, m, V).
    """
    graph, hidden = Graph(live), len(weights.norm)
    x = graph.takes("x", TensorProto.FLOAT, ["rows", "n", hidden])
    graph.takes("positions", TensorProto.INT64, ["rows", "n"])
    graph.takes("bias", TensorProto.FLOAT, [1, 1, "n", "total_keys"])
    graph.takes("last", TensorProto.INT32, ["rows"])
    graph.takes("total", TensorProto.INT32, [1])
    graph.takes("wanted", TensorProto.INT64, ["m"])
    graph.constant("cos", weights.cos.astype(np.float32))
    graph.constant("sin", weights.sin.astype(np.float32))
    for index, layer in enumerate(weights.layers):
        x = _layer(graph, index, x, layer, weights)
    x = _normed(graph, x, graph.weight("norm", weights.norm), "normed", weights.eps)
    x = graph.node("Gather", [x, "wanted"], ["chosen"], axis=1)
    graph.node("Identity", [_linear(graph, "head", x, weights.head)], ["logits"])
    graph.gives("logits", ["rows", "m", weights.head.outputs])
    return graph


def _layer(graph: Graph, index: int, x: str, layer: LayerWeights, weights: Weights) -> str:
    name, eps = f"l{index}", weights.eps
    cache: list[str | int] = ["rows", weights.kv_heads, "capacity", weights.dim]
    normed = _normed(graph, x, graph.weight(f"{name}.n1", layer.norm_in), f"{name}.h1", eps)
    qkv = _linear(graph, f"{name}.qkv", normed, layer.qkv)
    keys = graph.takes(f"k{index}", TensorProto.FLOAT, cache), graph.takes(f"v{index}", TensorProto.FLOAT, cache)
    graph.gives(f"k{index}.new", cache)
    graph.gives(f"v{index}.new", cache)
    attended = graph.node(
        "GroupQueryAttention",
        [qkv, "", "", *keys, "last", "total", "cos", "sin", "positions", "bias"],
        [f"{name}.attended", f"k{index}.new", f"v{index}.new"],
        domain=CONTRIB,
        num_heads=weights.heads,
        kv_num_heads=weights.kv_heads,
        do_rotary=1,
        rotary_interleaved=0,
    )
    out = _linear(graph, f"{name}.out", attended, layer.out)
    hidden = graph.node(
        "SkipSimplifiedLayerNormalization",
        [x, out, graph.weight(f"{name}.n2", layer.norm_mlp)],
        [f"{name}.h2", "", "", f"{name}.x2"],
        domain=CONTRIB,
        epsilon=eps,
    )
    both = _linear(graph, f"{name}.gate_up", hidden, layer.gate_up)
    graph.node("Split", [both], [f"{name}.gate", f"{name}.up"], axis=-1, num_outputs=2)
    gate = graph.node("QuickGelu", [f"{name}.gate"], [f"{name}.silu"], domain=CONTRIB, alpha=1.0)
    gated = graph.node("Mul", [gate, f"{name}.up"], [f"{name}.gated"])
    down = _linear(graph, f"{name}.down", gated, layer.down)
    return graph.node("Add", [f"{name}.x2", down], [f"{name}.x3"])


def _normed(graph: Graph, x: str, weight: str, name: str, eps: float) -> str:
    return graph.node("SimplifiedLayerNormalization", [x, weight], [name], epsilon=eps, axis=-1)


def _linear(graph: Graph, name: str, x: str, linear: Linear) -> str:
    products = [_packed(graph, f"{name}.{number}", x, part) for number, part in enumerate(linear.parts)]
    if linear.dense:
        products.append(_dense(graph, f"{name}.w", x, linear.dense))
    thin = linear.thin()
    if thin is not None:
        down, up = (graph.weight(f"{name}.{key}", value) for key, value in zip("ab", thin, strict=True))
        narrow = graph.node("MatMul", [x, down], [f"{name}.narrow"])
        products.append(graph.node("MatMul", [narrow, up], [f"{name}.thin"]))
    total = products[0]
    for number, product in enumerate(products[1:]):
        total = graph.node("Add", [total, product], [f"{name}.sum{number}"])
    return total


def _packed(graph: Graph, name: str, x: str, part: Packed) -> str:
    numbers, scales = graph.constant(f"{name}.q", part.numbers), graph.constant(f"{name}.s", part.scales.reshape(-1))
    outputs, inputs = part.shape
    return graph.node(
        "MatMulNBits",
        [x, numbers, scales],
        [name],
        domain=CONTRIB,
        K=inputs,
        N=outputs,
        bits=4,
        block_size=BLOCK,
        accuracy_level=FLOAT_ACTIVATIONS,
    )


def _dense(graph: Graph, name: str, x: str, layers: Sequence[np.ndarray]) -> str:
    """Constants are laid out for the product; what lives is read as it lies, output by output."""
    if not graph.live:
        matrix = graph.constant(name, np.concatenate(list(layers)).T.astype(np.float32))
        return graph.node("MatMul", [x, matrix], [f"{name}.0"])
    flat = graph.constant(f"{name}.flat", np.array([-1, layers[0].shape[1]], np.int64))
    rows = graph.node("Reshape", [x, flat], [f"{name}.rows"])
    found = [
        graph.node("Gemm", [rows, graph.weight(f"{name}.{number}", layer)], [f"{name}.{number}.y"], transB=1)
        for number, layer in enumerate(layers)
    ]
    joined = graph.node("Concat", found, [f"{name}.joined"], axis=-1) if len(found) > 1 else found[0]
    shape = graph.node("Shape", [x], [f"{name}.shape"], end=2)
    width = graph.constant(f"{name}.width", np.array([-1], np.int64))
    back = graph.node("Concat", [shape, width], [f"{name}.back"], axis=0)
    return graph.node("Reshape", [joined, back], [f"{name}.out"])
