"""Bad calls of recurrent layers and stacks: weights, masks, states, delays."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

import snn_neuromod as nm
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

DELAYS = [0, -1, -2, -(2**40), 2**40, 2**62, -(2**63), -7]


def _delay(draw: Draw, n: int) -> Any:
    return draw.choice(
        [
            1,
            3,
            torch.tensor([draw.choice([1, 2, 4]) for _ in range(n)]),
            torch.randint(1, 5, (n, n)),
        ]
    )


def recurrent(draw: Draw, s: Any, **options: Any) -> tuple[str, Any]:
    among = ("ALIF", "ALIF", "STDPALIF", "Izhikevich", "SRC", "MSRC", "BSRC")
    name, neuron = any_neuron(draw, s.n, among)
    delay = options.pop("delay", _delay(draw, s.n))
    rule = draw.choice(["bptt", "eprop"])
    masks = {}
    if draw.random() < 0.3:
        masks["mask_rec"] = torch.rand(s.n, s.n) < 0.5
    layer = nm.Recurrent(neuron, s.i, learning_rule=rule, delay=delay, **masks, **options)  # type: ignore[arg-type]
    kinds = delay if isinstance(delay, int) else f"of {tuple(delay.shape)}"
    return f"Recurrent({name}, delay {kinds}, {rule})", layer


@kind
def recurrent_input(draw: Draw) -> tuple[str, Thunk]:
    s = sizes(draw)
    name, layer = recurrent(draw, s)
    what = draw.choice(["width", "type", "empty", "vector", "bytes"])
    x = torch.rand(s.t, s.b, s.i)
    if what in ("width", "bytes"):
        x = torch.rand(s.t, s.b, other(draw, s.i))
        x = (x < 0.1).byte() if what == "bytes" else x
    elif what == "type":
        x = x.to(draw.choice(DTYPES))
    else:
        x = x[:0] if what == "empty" else x[0, 0]
    return f"{name} input {what} {tuple(x.shape)} {x.dtype}", run(layer, x)


@kind
def recurrent_state(draw: Draw) -> tuple[str, Thunk]:
    s = sizes(draw)
    name, layer = recurrent(draw, s)
    x = torch.rand(s.t, s.b, s.i)
    state = layer.initial_state(x[0])
    what = draw.choice(["spikes", "earlier", "neuron", "meta spikes", "dtype"])
    if what == "spikes":
        state = state._replace(spikes=torch.zeros(another_shape(draw, (s.b, s.n))))
    elif what == "earlier" and state.earlier is not None:
        shape = another_shape(draw, tuple(state.earlier.shape))
        state = state._replace(earlier=draw.choice([None, torch.zeros(shape)]))
    elif what == "meta spikes":
        state = state._replace(spikes=state.spikes.to("meta"))
    elif what == "dtype":
        state = state._replace(spikes=state.spikes.to(torch.complex64) + 1j)
    else:
        parts = list(state.neuron)
        k = draw.randrange(len(parts))
        parts[k] = torch.zeros(another_shape(draw, (s.b, s.n)))
        state = state._replace(neuron=type(state.neuron)(*parts))
    return f"{name} state {what}", run(layer, x, state)


@kind
def recurrent_weights(draw: Draw) -> tuple[str, Thunk]:
    s = sizes(draw)
    name, layer = recurrent(draw, s)
    which = draw.choice(["w_in", "w_rec"])
    old = getattr(layer, which)
    what = draw.choice(["shape", "shape", "meta", "complex"])
    if what == "shape":
        new = torch.rand(another_shape(draw, tuple(old.shape)))
    else:
        new = old.detach().to("meta") if what == "meta" else old.detach().to(torch.complex64)
    setattr(layer, which, nn.Parameter(new))
    return f"{name} {which} {what} {tuple(new.shape)}", run(layer, torch.rand(s.t, s.b, s.i))


@kind
def recurrent_mask(draw: Draw) -> tuple[str, Thunk]:
    s = sizes(draw)
    name, layer = recurrent(draw, s, mask_in=torch.rand(s.n, s.i) < 0.7)
    layer.register_buffer("mask_rec", torch.rand(s.n, s.n) < 0.5)
    which = draw.choice(["mask_in", "mask_rec"])
    old = getattr(layer, which)
    what = draw.choice(["shape", "meta", "type"])
    if what == "shape":
        new = torch.ones(another_shape(draw, tuple(old.shape)), dtype=torch.bool)
        new = new if new.ndim > 1 else torch.ones(s.n, other(draw, s.n), dtype=torch.bool)
    else:
        new = old.to("meta") if what == "meta" else old + 0.5
    setattr(layer, which, new)
    return f"{name} {which} {what} {tuple(new.shape)}", run(layer, torch.rand(s.t, s.b, s.i))


def _bad_delays(draw: Draw, old: Tensor) -> Tensor:
    """Some delays, off the diagonal, that no synapse can have."""
    new, places = old.clone(), list(range(old.numel()))
    if old.ndim == 2:
        places = [i for i in places if i // len(old) != i % len(old)]
    for place in draw.sample(places, draw.choice([1, 2, len(places)])):
        new.view(-1)[place] = draw.choice(DELAYS)
    return new


@kind
def recurrent_delays_loaded(draw: Draw) -> tuple[str, Thunk]:
    """Any value in the saved delays."""
    s = sizes(draw)
    n = s.n
    delay = draw.choice([torch.randint(1, 5, (n,)), torch.randint(1, 5, (n, n))])
    name, layer = recurrent(draw, s, delay=delay)
    saved = layer.state_dict()
    what = draw.choice(["values", "values", "values", "values", "fraction", "nan", "shape"])
    new = _bad_delays(draw, delay)
    if what == "fraction":
        new = delay + 0.5
    elif what == "nan":
        new = delay * float("nan")
    elif what == "shape":
        new = torch.ones(another_shape(draw, tuple(delay.shape)), dtype=torch.int64)
    saved["delays.delay"] = new
    assign = draw.random() < 0.3
    x = torch.rand(s.t, s.b, s.i)

    def call() -> Any:
        layer.load_state_dict(saved, assign=assign)
        return finish(layer(x))

    return f"{name} loaded delays {what} assign={assign} {new.flatten()[:4].tolist()}", call


@kind
def recurrent_delays_set(draw: Draw) -> tuple[str, Thunk]:
    """Delays changed in place after the layer was made."""
    s = sizes(draw)
    delay = draw.choice([torch.randint(1, 5, (s.n,)), torch.randint(1, 5, (s.n, s.n))])
    name, layer = recurrent(draw, s, delay=delay)
    new, x = _bad_delays(draw, delay), torch.rand(s.t, s.b, s.i)

    def call() -> Any:
        layer.delays.delay.copy_(new)
        return finish(layer(x))

    return f"{name} delays set in place {new.flatten()[:4].tolist()}", call


@kind
def recurrent_meta(draw: Draw) -> tuple[str, Thunk]:
    s = sizes(draw)
    name, layer = recurrent(draw, s)
    part = draw.choice(["all", "neuron"])
    (layer if part == "all" else layer.neuron).to("meta")
    return f"{name} {part} on meta", run(layer, torch.rand(s.t, s.b, s.i))


@kind
def stack_call(draw: Draw) -> tuple[str, Thunk]:
    s = sizes(draw)
    lower_name, lower = recurrent(draw, s)
    _, upper = recurrent(draw, s._replace(i=s.n))
    stack = nm.RecurrentStack([lower, upper])
    x = torch.rand(s.t, s.b, s.i)
    _, state = stack(x)
    what = draw.choice(["input", "few", "swapped batch", "weights"])
    if what == "input":
        return f"stack of {lower_name} input", run(stack, torch.rand(s.t, s.b, other(draw, s.i)))
    if what == "few":
        return f"stack of {lower_name} one state", run(stack, x, state[:1])
    if what == "weights":
        upper.w_in = nn.Parameter(torch.rand(s.n, other(draw, s.n)))
        return f"stack of {lower_name} w_in of another width", run(stack, x)
    return f"stack of {lower_name} state of another batch", run(stack, torch.cat([x, x], 1), state)
