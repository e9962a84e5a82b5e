"""Bad calls of layers of neurons."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tests.borders.kinds import (
    DTYPES,
    Draw,
    Thunk,
    another_shape,
    any_neuron,
    finish,
    kind,
    other,
    run,
    sizes,
)


@kind
def layer_current_shape(draw: Draw) -> tuple[str, Thunk]:
    s = sizes(draw)
    name, layer = any_neuron(draw, s.n)
    shape = draw.choice(
        [(s.t, s.b, other(draw, s.n)), (s.n,), (), (0, s.b, s.n), (s.t, s.b, 0), (s.t, s.n, s.b)]
    )
    return f"{name} current {shape}", run(layer, torch.rand(shape))


@kind
def layer_current_type(draw: Draw) -> tuple[str, Thunk]:
    s = sizes(draw)
    name, layer = any_neuron(draw, s.n)
    x: Any = torch.ones(s.t, s.b, s.n, dtype=draw.choice([*DTYPES, torch.bool, torch.uint8]))
    if draw.random() < 0.3:
        x = draw.choice([None, x.tolist(), x.numpy(), "spikes", 3.0])
    return f"{name} current {getattr(x, 'dtype', type(x))}", run(layer, x)


@kind
def layer_step(draw: Draw) -> tuple[str, Thunk]:
    s = sizes(draw)
    name, layer = any_neuron(draw, s.n)
    what = draw.choice(["current", "state", "dtype"])
    x = torch.rand(s.b, s.n)
    if what == "current":
        x = torch.rand(s.b, other(draw, s.n))
        return f"{name}.step current {tuple(x.shape)}", lambda: finish(layer.step(x))
    state = list(layer.initial_state(x))
    k = draw.randrange(len(state))
    shape = another_shape(draw, (s.b, s.n))
    state[k] = torch.zeros(shape) if what == "state" else state[k].double()
    return f"{name}.step state {k} {tuple(state[k].shape)} {state[k].dtype}", lambda: finish(
        layer.step(x, tuple(state))
    )


@kind
def layer_state(draw: Draw) -> tuple[str, Thunk]:
    s = sizes(draw)
    name, layer = any_neuron(draw, s.n)
    x = torch.rand(s.t, s.b, s.n)
    state = list(layer.initial_state(x[0]))
    k = draw.randrange(len(state))
    what = draw.choice(["shape", "dtype", "few", "many", "none", "meta"])
    if what == "shape":
        state[k] = torch.zeros(another_shape(draw, (s.b, s.n)))
    elif what == "dtype":
        state[k] = state[k].to(draw.choice([torch.float64, torch.float16, torch.int64]))
    elif what == "few":
        del state[k]
    elif what == "many":
        state.append(state[0])
    elif what == "none":
        state[k] = None
    else:
        state[k] = state[k].to("meta")
    return f"{name} state {k} {what}", run(layer, x, tuple(state))


def _tensors(module: nn.Module) -> list[str]:
    return [
        n
        for n, _ in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    ]


def _put(module: nn.Module, name: str, value: Tensor) -> None:
    if name in module._parameters and value.is_floating_point():
        value = nn.Parameter(value)
    elif name in module._parameters:
        del module._parameters[name]
        module.register_buffer(name, value)
        return
    setattr(module, name, value)


@kind
def layer_parameter_length(draw: Draw) -> tuple[str, Thunk]:
    """A parameter replaced by a tensor of another length."""
    s = sizes(draw)
    name, layer = any_neuron(draw, s.n)
    parameter = draw.choice([n for n in _tensors(layer) if n != "start"])
    old = getattr(layer, parameter)
    shape = draw.choice([(2,), (s.n - 1,), (s.n + 1,), (2 * s.n,), (s.n, 2), (3, 2)])
    _put(layer, parameter, old.detach().mean().expand(shape).clone())
    return f"{name} {parameter} {shape}", run(layer, torch.rand(s.t, s.b, s.n))


@kind
def layer_parameter_complex(draw: Draw) -> tuple[str, Thunk]:
    s = sizes(draw)
    name, layer = any_neuron(draw, s.n)
    parameter = draw.choice([n for n in _tensors(layer) if n != "start"])
    value = getattr(layer, parameter).detach().to(torch.complex64)
    _put(layer, parameter, value + 1j)
    return f"{name} {parameter} complex", run(layer, torch.rand(s.t, s.b, s.n))


@kind
def layer_meta(draw: Draw) -> tuple[str, Thunk]:
    """The layer, or one of its parameters, on another device than the input, or the other way round."""
    s = sizes(draw)
    name, layer = any_neuron(draw, s.n)
    x = torch.rand(s.t, s.b, s.n)
    what = draw.choice(["layer", "parameter", "step"])
    if what == "parameter":
        parameter = draw.choice([n for n in _tensors(layer) if n != "start"])
        _put(layer, parameter, getattr(layer, parameter).detach().to("meta"))
        return f"{name} {parameter} on meta", run(layer, x)
    layer = layer.to("meta")
    if what == "step":
        return f"{name}.step on meta", lambda: finish(layer.step(x[0]))
    return f"{name} on meta", run(layer, x)


@kind
def layer_modulation(draw: Draw) -> tuple[str, Thunk]:
    s = sizes(draw)
    name, layer = any_neuron(draw, s.n)
    x = torch.rand(s.t, s.b, s.n)
    shape = draw.choice([(s.t, s.b, other(draw, s.n)), (s.t + 1, 1, 1), (s.n + 1,), (2, *x.shape)])
    m = torch.rand(shape)
    if draw.random() < 0.2:
        m, shape = torch.rand(x.shape, device="meta"), ("meta",)
    return f"{name} modulation {shape}", lambda: finish(layer(x, modulation=m))
