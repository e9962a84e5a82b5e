"""The "reference" backend: a neuron's own `step` in a loop, differentiated by autograd."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from snn_neuromod.dynamics.over_time import loop
from snn_neuromod.kernels.backends.served import Served, always
from snn_neuromod.kernels.call import Call
from snn_neuromod.kernels.synapses import Synapses


def forward(call: Call) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Run a sequence; results as of the other backends, nothing kept: autograd has seen it."""
    neuron, states, fields = call.neuron, call.paths.states, call.neuron.module.State._fields
    params = [*zip(call.trimmed, call.per_step, strict=True)]

    def step(t: int, state: Any, current: Tensor) -> tuple[Tensor, Any]:
        return neuron.plain([p[t] if varies else p for p, varies in params], state, current)

    groups = call.synapses if call.recurrent else []
    spikes, last = loop(
        step,
        neuron.module.State(*call.state),
        call.current,
        {group.delay: _among_all(group) for group in groups},
        call.recurrent[0].unbind(0) if groups else [],
        hops=call.paths.hops,
        follow=None if states is None else [fields[k] for k in states],
    )
    return spikes, list(last), []


def _among_all(group: Synapses) -> Tensor:
    """Weights of one delay among all neurons, (neuron to, neuron from)."""
    weights, num = group.weights, group.weights.shape[0]
    if group.sources is None:
        return weights
    return weights.new_zeros(num, num).index_copy(1, group.sources, weights)


SERVED = Served(always, forward)
