"""Bad calls of the operators: a good call, recorded as it goes through, with one argument spoilt.

What the arguments are is read from the operator's schema, so that another schema needs no other test.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import snn_neuromod as nm
from tests.borders.kinds import Draw, Thunk, another_shape, any_neuron, finish, kind, other, sizes
from tests.borders.recurrent_kinds import recurrent


class Recorder(TorchDispatchMode):
    """Keeps the arguments of calls of one operator."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name, self.calls = f"snn_neuromod::{name}", list[dict[str, Any]]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._schema.name == self.name:
            names = [argument.name for argument in func._schema.arguments]
            self.calls.append({**dict(zip(names, args, strict=False)), **(kwargs or {})})
        return func(*args, **(kwargs or {}))


def recorded(name: str, run: Callable[[], Any]) -> dict[str, Any]:
    """Arguments of a good call of an operator."""
    with Recorder(name) as recorder:
        run()
    assert recorder.calls, f"{name} was not called"
    return recorder.calls[0]


def spoil_tensor(
    draw: Draw, x: Tensor, *, broadcasts: bool = False, time_first: bool = False
) -> tuple[str, Tensor]:
    """A tensor of another shape, type or device; of the first axis any number of steps is right."""
    what = draw.choice(["shape", "shape", "dtype", "meta"])
    if what == "meta":
        return what, x.to("meta")
    if what == "dtype":
        kinds = [torch.float64, torch.int64, torch.int32, torch.float32, torch.complex64]
        return what, x.to(draw.choice([k for k in kinds if k != x.dtype]))
    shape = tuple(x.shape)
    if broadcasts:
        shape = (*shape[:-1], other(draw, shape[-1])) if shape else (2,)
    elif time_first:
        shape = (shape[0], *another_shape(draw, shape[1:]))
    else:
        shape = another_shape(draw, shape)
    return f"shape {shape}", torch.zeros(shape, dtype=x.dtype)


def spoil_list(
    draw: Draw, values: list[Any], *, broadcasts: bool, past_first: bool
) -> tuple[str, list[Any]]:
    """A list that is too short or too long, or holds something else."""
    new, k = list(values), draw.randrange(max(1, len(values)))
    what = draw.choice(["one", "one", "one", "short", "long"])
    if what == "one" and values and isinstance(values[k], Tensor):
        time_first = past_first and k == 0  # a longer past than delays need is right
        what, new[k] = spoil_tensor(draw, values[k], broadcasts=broadcasts, time_first=time_first)
        return f"[{k}] {what}", new
    if what == "one" and values and isinstance(values[k], int) and not isinstance(values[k], bool):
        new[k] = draw.choice([0, -1, -(2**40), 2**40, 1000])
        return f"[{k}] = {new[k]}", new
    if what == "short" and values:
        del new[k]
        return f"without [{k}]", new
    return "one more", [*new, new[-1] if new else torch.zeros(3)]


def spoil(
    draw: Draw, name: str, arguments: dict[str, Any], among: list[str]
) -> tuple[str, dict[str, Any]]:
    """One of the arguments replaced by something that does not fit."""
    argument = draw.choice([a for a in among if a in arguments])
    value = arguments[argument]
    if isinstance(value, Tensor):
        what, new = spoil_tensor(draw, value, time_first=argument == "current")
    elif isinstance(value, (list, tuple)):
        what, new = spoil_list(
            draw, list(value), broadcasts=argument == "params", past_first=argument == "recurrent"
        )  # type: ignore[assignment]
    elif isinstance(value, str):
        what, new = "nonsense", draw.choice(["nonsense", "", "alif ", "{}", "c++"])  # type: ignore[assignment]
    else:
        what, new = "negative", draw.choice([-1, -(2**40)])  # type: ignore[assignment]
    return f"{name} {argument} {what}", {**arguments, argument: new}


def call(name: str, arguments: dict[str, Any]) -> Thunk:
    return lambda: finish(getattr(torch.ops.snn_neuromod, name)(**arguments))


def fit_for_spoiling(arguments: dict[str, Any]) -> list[str]:
    """Arguments of which any spoilt value is wrong: flags may be either, and None is left alone."""
    return [
        n
        for n, v in arguments.items()
        if v is not None and not isinstance(v, bool) and not _flags(v)
    ]


def _flags(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and (not value or isinstance(value[0], bool))


@kind
def operator_sequence(draw: Draw) -> tuple[str, Thunk]:
    s = sizes(draw)
    name, layer = any_neuron(draw, s.n)
    layer.backend = draw.choice([None, None, "eager"])
    x = torch.rand(s.t, s.b, s.n)
    arguments = recorded("sequence", lambda: layer(x))
    # without recurrence nothing reads delays
    among = [a for a in fit_for_spoiling(arguments) if a not in ("delays", "sources", "recurrent")]
    label, arguments = spoil(draw, "sequence", arguments, among)
    return f"{label} of {name}", call("sequence", arguments)


@kind
def operator_sequence_recurrent(draw: Draw) -> tuple[str, Thunk]:
    s = sizes(draw)
    name, layer = recurrent(draw, s)
    layer.neuron.backend = draw.choice([None, None, "eager"])
    x = torch.rand(s.t, s.b, s.i)
    arguments = recorded("sequence", lambda: layer(x))
    label, arguments = spoil(draw, "sequence", arguments, fit_for_spoiling(arguments))
    return f"{label} of {name}", call("sequence", arguments)


@kind
def operator_sequence_sources(draw: Draw) -> tuple[str, Thunk]:
    """Indices of neurons that are not there."""
    s = sizes(draw)
    delay = torch.tensor([1 + k % 3 for k in range(s.n)])
    name, layer = recurrent(draw, s, delay=delay)
    layer.neuron.backend = draw.choice([None, None, "eager"])
    x = torch.rand(s.t, s.b, s.i)
    arguments = recorded("sequence", lambda: layer(x))
    sources = [source.clone() for source in arguments["sources"]]
    k = draw.randrange(len(sources))
    sources[k][draw.randrange(len(sources[k]))] = draw.choice([s.n, -1, 2**40, -(2**40), s.n + 5])
    arguments["sources"] = sources
    return f"sequence sources {sources[k][:4].tolist()} of {name}", call("sequence", arguments)


def _product(draw: Draw) -> tuple[nm.SpikeLinear, Tensor]:
    """A layer and spikes for it, as bytes or as numbers."""
    rows, inputs, outputs = draw.choice([(200, 784, 10), (100, 1000, 130), (70, 1000, 3)])
    x = (torch.rand(rows, inputs) < 0.03).to(draw.choice([torch.uint8, torch.float32]))
    return nm.SpikeLinear(inputs, outputs), x


def choose(draw: Draw, spoilt: dict[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    what = draw.choice(sorted(spoilt))
    return what, spoilt[what]


@kind
def operator_spike_linear(draw: Draw) -> tuple[str, Thunk]:
    linear, x = _product(draw)
    good = recorded("spike_linear", lambda: linear(x))
    weight, bias = good["weight"], good["bias"]
    width = draw.choice([x.shape[1] - 1, x.shape[1] + 1, 2, 5000])
    wrong_type = draw.choice([torch.int64, torch.int32, torch.complex64])
    what, spoilt = choose(draw, {
        "width of x": {"x": torch.ones(len(x), width).to(x.dtype)},
        "type of x": {"x": x.to(wrong_type)},
        "x meta": {"x": x.to("meta")},
        "x without axes": {"x": x[0, 0]},
        "width of weight": {"weight": torch.rand(len(weight), width)},
        "axes of weight": {"weight": weight[0] if draw.random() < 0.5 else weight[None]},
        "type of weight": {"weight": weight.to(wrong_type)},
        "weight meta": {"weight": weight.to("meta")},
        "length of bias": {"bias": torch.rand(draw.choice([2, len(weight) + 1, 500]))},
        "type of bias": {"bias": bias.double()},
        "bias meta": {"bias": bias.to("meta")},
        "backend": {"backend": draw.choice(["nonsense", "", "c++"])},
    })  # fmt: skip
    return f"spike_linear {what} {x.dtype}", call("spike_linear", {**good, **spoilt})


@kind
def operator_spike_linear_weight(draw: Draw) -> tuple[str, Thunk]:
    linear, x = _product(draw)
    good = recorded("spike_linear_weight", lambda: linear(x).sum().backward())
    grad, more = good["grad"].contiguous(), draw.choice([1, 64, 5000])
    what, spoilt = choose(draw, {
        "rows of x": {"x": torch.cat([x, x[:1].expand(more, -1)])},
        "rows of grad": {"grad": grad[: len(grad) // 2]},
        "type of grad": {"grad": grad.to(draw.choice([torch.int64, torch.complex64]))},
        "x meta": {"x": x.to("meta")},
        "grad meta": {"grad": grad.to("meta")},
        "axes of x": {"x": x[0] if draw.random() < 0.5 else x[0, 0]},
        "backend": {"backend": draw.choice(["nonsense", "", "c++"])},
    })  # fmt: skip
    return f"spike_linear_weight {what} {x.dtype}", call("spike_linear_weight", {**good, **spoilt})


@kind
def operator_rate_code(draw: Draw) -> tuple[str, Thunk]:
    samples, pixels = draw.choice([(5, 784), (64, 100), (3, 7)])
    limit = torch.randint(0, 1 << 24, (samples, pixels), dtype=torch.int32)
    key = torch.randint(0, 1 << 30, (samples, 2), dtype=torch.int32)
    arguments = {"limit": limit, "key": key, "num_steps": 9, "blank_steps": 2}
    known = {a.name for a in torch.ops.snn_neuromod.rate_code.default._schema.arguments}
    arguments = {name: value for name, value in arguments.items() if name in known}
    if draw.random() < 0.3:
        shape = draw.choice(
            [(samples - 1, 2), (samples, 1), (2,), (1, 2), (samples, 3), (samples + 1, 2)]
        )
        spoilt = {**arguments, "key": key.new_zeros(shape)}
        return f"rate_code key {shape}", call("rate_code", spoilt)
    label, spoilt = spoil(draw, "rate_code", arguments, list(arguments))
    new = spoilt["limit"]
    if (
        isinstance(new, Tensor)
        and new.ndim == 2
        and new.shape != limit.shape
        and len(new) == samples
    ):
        label, spoilt["limit"] = (
            "rate_code limit without samples",
            limit[0],
        )  # any number of pixels is right
    return label, call("rate_code", spoilt)
