"""Bad calls of readouts and of products with spikes."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

import snn_neuromod as nm
from tests.borders.kinds import (
    DTYPES,
    Draw,
    Thunk,
    another_shape,
    finish,
    kind,
    other,
    run,
    sizes,
)


@kind
def readout_call(draw: Draw) -> tuple[str, Thunk]:
    s = sizes(draw)
    feedback = draw.choice(["symmetric", "random", "adaptive"])
    inside = draw.random() < 0.5
    readout = nm.LeakyReadout(s.n, s.i, feedback=feedback, bias_inside=inside)  # type: ignore[arg-type]
    name, x, state = f"LeakyReadout({feedback})", torch.rand(s.t, s.b, s.n), None
    x.requires_grad_()
    what = draw.choice(
        ["width", "type", "empty", "vector", "state", "w_out", "bias", "b_feedback", "meta", "tau"]
    )
    if what == "width":
        x = torch.rand(s.t, s.b, other(draw, s.n))
    elif what == "type":
        x = x.detach().to(draw.choice(DTYPES))
    elif what in ("empty", "vector"):
        x = x[:0] if what == "empty" else x[0, 0]
    elif what == "state":
        state = (torch.zeros(another_shape(draw, (s.b, s.i))),)
    elif what == "bias":
        readout.bias = nn.Parameter(torch.zeros(other(draw, s.i)))
    elif what == "tau":
        readout.filter.tau = torch.ones(other(draw, s.i))
    elif what == "meta":
        readout.to("meta")
    elif what == "b_feedback" and readout.b_feedback is not None:
        readout.b_feedback = nn.Parameter(torch.rand(s.i, other(draw, s.n)), feedback == "adaptive")
    else:
        readout.w_out = nn.Parameter(torch.rand(another_shape(draw, (s.i, s.n))))
    return f"{name} {what}", run(readout, x, state)


@kind
def population_readout(draw: Draw) -> tuple[str, Thunk]:
    s = sizes(draw)
    readout = nm.PopulationReadout(4 * s.i, s.i)
    x = torch.rand(s.t, s.b, 4 * s.i)
    what = draw.choice(["width", "type", "state", "w_out", "meta"])
    state = (torch.zeros(another_shape(draw, (s.b, s.i))),) if what == "state" else None
    if what == "width":
        x = torch.rand(s.t, s.b, other(draw, 4 * s.i))
    elif what == "type":
        x = x.to(draw.choice(DTYPES))
    elif what == "w_out":
        readout.w_out = torch.rand(another_shape(draw, (s.i, 4 * s.i)))
    elif what == "meta":
        readout.to("meta")
    return f"PopulationReadout {what}", run(readout, x, state)


@kind
def product(draw: Draw) -> tuple[str, Thunk]:
    """SpikeLinear with bytes, and with floats that are mostly zero, of a wrong width or type."""
    rows, inputs = draw.choice([(8, 784), (200, 784), (64, 2048), (3, 40)])
    outputs = draw.choice([3, 10, 64, 130])
    layer = nm.SpikeLinear(inputs, outputs, backend=draw.choice([None, None, "auto", "eager"]))
    wide = draw.choice(["right", "right", "other"])
    widths = [inputs - 1, inputs + 1, 2 * inputs, 1, inputs + 4096]
    width = inputs if wide == "right" else draw.choice(widths)
    x = torch.rand(rows, width) < 0.05
    x[:, -1] = True
    dtype = draw.choice([torch.uint8, torch.bool, torch.float32])
    spoilt = ["type", "weight", "bias", "bias type", "meta", "weight meta", "scalar"]
    what = "width" if wide == "other" else draw.choice(spoilt)
    given: Any = x.to(dtype)
    if what == "type":
        given = x.to(draw.choice([*DTYPES, torch.float64]))
    elif what == "weight":
        layer.weight = nn.Parameter(torch.rand(another_shape(draw, (outputs, inputs))[:3]))
        if layer.weight.ndim == 2 and layer.weight.shape[1] == inputs:
            layer.weight = nn.Parameter(torch.rand(outputs, inputs + 3))
        elif layer.weight.ndim == 1:
            layer.weight = nn.Parameter(torch.rand(inputs + 2))
    elif what == "bias":
        layer.bias = nn.Parameter(torch.rand(draw.choice([2, outputs + 1, outputs - 1 or 2])))
        if len(layer.bias) in (1, outputs):
            layer.bias = nn.Parameter(torch.rand(outputs + 7))
    elif what == "bias type":
        layer.bias = nn.Parameter(torch.rand(outputs, dtype=torch.float64))
    elif what == "meta":
        given = given.to("meta")
    elif what == "weight meta":
        layer.to("meta")
    elif what == "scalar":
        given = given[0, 0]
    label = f"SpikeLinear({inputs}, {outputs}, {layer.backend}) {what}"
    return f"{label} {tuple(given.shape)} {given.dtype}", lambda: finish(layer(given))
