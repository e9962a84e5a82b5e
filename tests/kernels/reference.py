"""The reference scan next to the operator: same arguments, plain autograd."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from snn_neuromod import dynamics, surrogate
from snn_neuromod.kernels import backends, neurons, operator
from snn_neuromod.kernels.backends.eager import sequence
from snn_neuromod.kernels.call import Paths
from snn_neuromod.kernels.synapses import grouped

DTYPE = torch.float64
SRC_FAMILY = ("src", "msrc", "bsrc")


class Case(NamedTuple):
    """A neuron with options, and everything that a gradient may be taken with respect to."""

    neuron: str
    options: dict[str, Any]
    current: Tensor
    params: list[Tensor]
    state: list[Tensor]
    w_rec: Tensor | None = None
    spikes: Tensor | None = None
    hops: int | None = None
    delay: int | Tensor = 1

    @property
    def module(self) -> Any:
        return getattr(dynamics, self.neuron)

    @property
    def leaves(self) -> dict[str, Tensor]:
        recurrent = {} if self.w_rec is None else {"w_rec": self.w_rec, "spikes": self.spikes}
        return {
            "current": self.current,
            **dict(zip(self.module.Params._fields, self.params, strict=True)),
            **{
                f"initial {k}": s
                for k, s in zip(self.module.State._fields, self.state, strict=True)
            },
            **recurrent,
        }

    def operator(self, *, generic: bool = False) -> tuple[Tensor, list[Tensor]]:
        """The operator with printed derivatives, or with those of a step that cannot be printed."""
        return operator.run(
            _unprinted(self.neuron, tuple(self.step_options.items())).key
            if generic
            else neurons.encode(self.neuron, **self.options),
            self.current,
            self.params,
            self.state,
            w_rec=self.w_rec,
            spikes=self.spikes,
            delays=grouped(self.delay),
            paths=Paths(self.hops),
        )

    @property
    def step_options(self) -> dict[str, Any]:
        options = dict(self.options)
        if "psi" in options:
            options["spike_fn"] = options.pop("psi")
        if "straight_through" in options:
            straight = options.pop("straight_through")
            options["spike_fn"] = surrogate.straight_through_relu if straight else torch.relu
        return options

    def reference(self) -> tuple[Tensor, list[Tensor]]:
        options = self.step_options
        state, out = self.module.State(*self.state), []
        for t, current in enumerate(self.current.unbind(0)):
            if self.w_rec is not None:
                current = current + self._recurrent_input(out)
            before, state = self.module.step(self._params_at(t), state, current, **options)
            out.append(before)
        return torch.stack(out), list(state)

    def _recurrent_input(self, spikes: list[Tensor]) -> Tensor:
        """Input by every synapse on its own, sum_i W_ji z_i[t - d_ji], after these spikes."""
        first = self.spikes if self.spikes.ndim == self.current.ndim else self.spikes[None]
        past = torch.stack([*first.unbind(0), *spikes])
        past = past if self.hops is None else past.detach()
        num = past.shape[-1]
        delay = torch.as_tensor(self.delay).expand(num, num)
        arriving = torch.stack([past[-delay[j], ..., torch.arange(num)] for j in range(num)])
        return torch.einsum("ji,ji...->...j", self.w_rec, arriving)

    def _params_at(self, t: int) -> Any:
        ndim = self.current.ndim
        return self.module.Params(
            *(
                p if p.ndim < ndim else p.expand(len(self.current), *p.shape[1:])[t]
                for p in self.params
            )
        )


@cache
def _unprinted(neuron: str, options: tuple[tuple[str, Any], ...]) -> neurons.Neuron:
    """The neuron with a step that looks at values, which no trace can follow."""
    module = getattr(dynamics, neuron)

    def step(params: Any, state: Any, current: Tensor, **options: Any) -> Any:
        current.detach().sum().item()
        return module.step(params, state, current, **options)

    own = SimpleNamespace(Params=module.Params, State=module.State, step=step)
    return neurons.Neuron(own, dict(options))


def make_case(
    neuron: str,
    options: dict[str, Any],
    *,
    shape: Sequence[int] = (20, 3, 4),
    recurrent: bool = False,
    hops: int | None = None,
    delay: int | Tensor = 1,
    dtype: torch.dtype = DTYPE,
    seed: int = 0,
    **params: Any,
) -> Case:
    """Case with currents at which the neuron is alive, and random weights and states around rest."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, dtype=DTYPE)

    module = getattr(dynamics, neuron)
    mean, spread = {"src": (3, 3), "msrc": (1, 2), "bsrc": (1, 2), "izhikevich": (30, 10)}.get(
        neuron, (0.5, 1)
    )
    current = mean + spread * normal(*shape)
    state = [s + 0.01 * normal(*shape[1:]) for s in module.initial_state(current[0])]
    if "z" in module.State._fields:
        state[module.State._fields.index("z")].round_()
    if "held" in module.State._fields:
        state[module.State._fields.index("held")].zero_()
    num = shape[-1]
    leaf = [current, *(torch.as_tensor(p, dtype=DTYPE) for p in module.Params(**params)), *state]
    longest = int(torch.as_tensor(delay).max())
    past = (normal(longest, *shape[1:]) > 0.5).to(DTYPE)
    leaf += [0.5 * normal(num, num), past if longest > 1 else torch.zeros(shape[1:], dtype=DTYPE)]
    leaf = [tensor.detach().to(dtype).clone().requires_grad_() for tensor in leaf]
    count = len(module.Params._fields)
    weights = leaf[-2:] if recurrent else [None, None]
    return Case(
        neuron,
        options,
        leaf[0],
        leaf[1 : 1 + count],
        leaf[1 + count : -2],
        *weights,
        hops,
        delay,
    )


def gradients(
    case: Case, *, fast: bool, generic: bool = False
) -> tuple[Tensor, list[Tensor], dict[str, Tensor]]:
    """Spikes, last state, and the gradient of a random function of both by every leaf."""
    spikes, state = case.operator(generic=generic) if fast else case.reference()
    generator = torch.Generator().manual_seed(7)
    loss = sum(
        (x * torch.randn(x.shape, generator=generator, dtype=DTYPE).to(x.dtype)).sum()
        for x in (spikes, *state)
        if x.requires_grad
    )
    leaves = case.leaves
    found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    return (
        spikes,
        state,
        {
            name: torch.zeros_like(leaf) if grad is None else grad
            for (name, leaf), grad in zip(leaves.items(), found, strict=True)
        },
    )


def assert_equal_gradients(
    case: Case, *, tolerance: float = 1e-10, segments: Sequence[int] = (0,)
) -> dict[str, Tensor]:
    """Operator equals reference in spikes, state and gradients, on a live network.

    By differentiation of the step, printed, and as the kernels that serve by themselves; under "c" only as those.
    The backward pass of "eager" is taken once for each number of steps in `segments`; 0: as many as it takes itself.
    """
    spikes, state, expected = gradients(case, fast=False)
    threshold = 0.5 if case.neuron in SRC_FAMILY else 0
    assert (spikes > threshold).any(), "silent network"
    assert (spikes <= threshold).any(), "network fires at every step"
    forms = [(True, "eager", 0), *((False, "eager", n) for n in segments), (False, "auto", 0)]
    for generic, backend, steps in [(False, "c", 0)] if backends.requested() == "c" else forms:
        with backends.use(backend), pytest.MonkeyPatch.context() as patch:
            if steps:
                patch.setattr(sequence, "SEGMENT_ELEMENTS", steps * case.current[0].numel())
            fast_spikes, fast_state, found = gradients(case, fast=True, generic=generic)
        for name, a, b in [
            ("spikes", spikes, fast_spikes),
            *zip(case.module.State._fields, state, fast_state, strict=True),
            *((f"gradient of {name}", expected[name], found[name]) for name in expected),
        ]:
            assert a.shape == b.shape, name
            error = (a - b).abs().max() / a.abs().max().clamp(min=1e-300)
            assert error < tolerance, (
                f"{name}: relative error {error:.1e}, {backend}, generic: {generic}, {steps} steps"
            )
    assert expected["current"].abs().max() > 0
    return found
