"""Neurons of the snnTorch form in a loop over steps, by a printed kernel and in plain PyTorch."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

import snn_neuromod as nm
from snn_neuromod import snntorch as ours
from snn_neuromod.kernels.backends.c import library
from snn_neuromod.kernels.fusion import jit
from snn_neuromod.snntorch.base import Neuron

T, B, N = 12, 3, 37
needs_compiler = pytest.mark.skipif(
    library.load()[0] is None or jit.unable() is not None,
    reason="no compiled library, or no compiler",
)


def every_class() -> Iterator[tuple[str, Any]]:
    for name in ours.__all__:
        kind = getattr(ours, name)
        if inspect.isclass(kind) and issubclass(kind, Neuron) and kind is not Neuron:
            yield name, kind


def made(kind: Any, **options: Any) -> Any:
    beta = (0.9,) if "beta" in inspect.signature(kind).parameters else ()
    if kind is ours.Custom:
        return kind("snn_neuromod.dynamics.alif", **options)
    if hasattr(kind, "_connect"):
        options = {"linear_features": N, **options}
    return kind(*beta, **options)


class Own(torch.autograd.Function):
    """A surrogate as users write it."""

    @staticmethod
    def forward(ctx: Any, distance: Tensor) -> Tensor:
        ctx.save_for_backward(distance)
        return (distance > 0).to(distance.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (distance,) = ctx.saved_tensors
        return grads[0] * torch.exp(-2 * distance.abs())


CLASSES = dict(every_class())
OPTIONS: dict[str, Callable[..., Any]] = {
    "ALIF learned, zero": lambda **k: ours.ALIF(
        torch.rand(N), learn_beta=True, learn_adapt_strength=True, reset_mechanism="zero", **k
    ),
    "ALIF learned threshold, none": lambda **k: ours.ALIF(
        0.9, learn_threshold=True, learn_adapt_decay=True, reset_mechanism="none", **k
    ),
    "Leaky of ours, graded": lambda **k: ours.ALIF(
        0.9, adapt_strength=0.0, graded_spikes_factor=0.5, learn_graded_spikes_factor=True, **k
    ),
    "reset at once": lambda **k: ours.ALIF(0.9, adapt_strength=0.0, reset_delay=False, **k),
    "a surrogate of one's own": lambda **k: ours.ALIF(0.9, spike_grad=Own.apply, **k),
    "no surrogate": lambda **k: ours.STDPALIF(0.9, surrogate_disable=True, learn_beta=True, **k),
    "Izhikevich learned, attached": lambda **k: ours.Izhikevich(
        num_neurons=N, learn=["a", "d"], detach_reset=False, clip_jacobian=None, **k
    ),
    "MSRC attached": lambda **k: ours.MSRC(
        num_neurons=N, learn=["r", "z_hyp"], learn_modulation=True, detach_recurrence=False, **k
    ),
    "BSRC, the synapse's decay learned": lambda **k: ours.BSRC(learn=["alpha", "rho"], **k),
    "per channel": lambda **k: ours.ALIF(torch.rand(5, 1), learn_beta=True, **k),
}
EVERY: dict[str, Callable[..., Any]] = {
    **{name: (lambda kind=kind, **k: made(kind, **k)) for name, kind in CLASSES.items()},
    **OPTIONS,
}
THRESHOLD = {name for name in EVERY if "SRC" not in name}


@contextmanager
def plainly() -> Iterator[None]:
    with nm.kernels.use("eager"):
        yield


def inputs(neuron: Any, dtype: torch.dtype = torch.float64) -> Tensor:
    shape = (T, B, 5, N) if neuron.graded_spikes_factor.ndim or _channels(neuron) else (T, B, N)
    return torch.rand(shape, dtype=dtype) * neuron.input_scale


def _channels(neuron: Any) -> bool:
    return getattr(neuron, "beta", torch.tensor(0)).ndim == 2


def results(neuron: Any, x: Tensor, *, fused: bool) -> list[Tensor]:
    """Spikes, last state, and gradients of input and parameters, of a loop in which all results are used."""
    neuron, x = copy.deepcopy(neuron), x.clone().requires_grad_()
    spikes, state = [], ()
    for step in x.unbind(0):
        spk, *state = neuron(step, *state)
        state = [spk, *state] if neuron.state_names[0] == "spk" else state
        spikes.append(spk)
    bound = vars(neuron).get("_bound_step")
    plans = bound.step._plans if bound and bound.step else {}  # those of other tests too
    mine = [plan for key, plan in plans.items() if key[0] == x.shape[1:]]
    assert fused == bool(mine and None not in mine)
    stacked = torch.stack(spikes)
    weights = torch.linspace(-1, 1, stacked.numel(), dtype=x.dtype).view_as(stacked)
    loss = (stacked * weights).sum() + sum((s * weights[0]).sum() for s in state)
    wanted = [x, *neuron.parameters()]
    grads = torch.autograd.grad(loss, wanted, allow_unused=True)
    return [stacked.detach(), *(s.detach() for s in state), *(g for g in grads if g is not None)]
