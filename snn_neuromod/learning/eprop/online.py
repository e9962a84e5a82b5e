r"""e-prop online: forwards in time, with memory that does not grow with the sequence.

`OnlineEprop` runs a recurrent layer and its readout one step, or one segment of steps, at a time. What it gives is
attached to the weights as if the whole past were in the graph, through eligibility traces that it carries along; so
`loss.backward()` after each step adds that step's share of e-prop's gradient to `.grad`, and the shares of all steps
add up to the gradient of the whole sequence exactly. Weights may be changed at any time: after each step, every k
steps, or at the end.

For each synapse and sample the traces take one number for each state variable of the neuron and one for each distinct
time constant of the readout; their update is described in `snn_neuromod.learning.eprop.carried`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from snn_neuromod.errors import ConfigError, RunError
from snn_neuromod.kernels import backends
from snn_neuromod.kernels.products import spike_linear
from snn_neuromod.learning.eprop import network
from snn_neuromod.learning.eprop.carried import (
    Sensitivities,
    Traces,
    advance,
    arrive,
    carry,
    sensitivities,
)
from snn_neuromod.learning.eprop.feedback import linear_with_feedback
from snn_neuromod.learning.rules import EProp


class OnlineEprop:
    r"""A recurrent layer and its readout, run and learned from step by step.

    Everything is computed in the precision of the weights, inside autocast too.

    Args:
        layer: A `Recurrent` around any neuron, or a `RecurrentStack` with `credit="broadcast"`. Its `learning_rule` is
            not read: online, the rule is e-prop.
        readout: A `LeakyReadout` of the layer's spikes, with any feedback.

    Raises:
        TypeError: If `layer` or `readout` is of another kind.
        ValueError: If a stack passes credit through its layers, which local traces cannot follow, or the readout reads
            another number of neurons.

    Examples:
        >>> import torch
        >>> from snn_neuromod import ALIF, LeakyReadout, Recurrent
        >>> layer, readout = Recurrent(ALIF(20), in_features=5), LeakyReadout(20, 3)
        >>> optimiser = torch.optim.Adam([*layer.parameters(), *readout.parameters()])
        >>> online = OnlineEprop(layer, readout)
        >>> for x, target in zip(torch.rand(40, 8, 5), torch.rand(40, 8, 3)):
        ...     y, spikes = online.step(x)
        ...     (y - target).square().sum().backward()
        >>> optimiser.step()
    """

    def __init__(self, layer: nn.Module, readout: nn.Module) -> None:
        layers = network.local_layers("OnlineEprop", layer, readout)
        self.layer = layer
        self.readout: Any = readout
        self._layers = layers
        self._decays = network.Decays(readout)
        self.reset()

    def reset(self) -> None:
        """Forget the past: states, traces and outputs start anew with the next step."""
        self._runs: list[_Run] = []
        self._output: _Output | None = None

    def step(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Advance by one step.

        Args:
            x: Input of this step, (batch, in_features).

        Returns:
            y: Output of the readout, (batch, out_features).
            spikes: (batch, neuron).

        Raises:
            ValueError: If `x` has another shape, or another batch size than the steps before.
        """
        y, spikes = self.segment(x.unsqueeze(0))
        return y[0], spikes[0]

    def segment(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Advance by several steps at once, which is faster; the gradient is the same.

        The loss of a segment must be sent back before the next one is run.

        Args:
            x: Input, time first, (T, batch, in_features).

        Returns:
            y: Outputs of the readout, (T, batch, out_features).
            spikes: (T, batch, neuron).

        Raises:
            ValueError: If `x` has another shape, or another batch size than the segments before.
            RuntimeError: If it is called in a backward pass, as by `torch.utils.checkpoint`.
        """
        if torch._C._current_graph_task_id() >= 0:
            raise RunError(
                "OnlineEprop: a step must not be taken in a backward pass, which is where torch.utils.checkpoint takes "
                "it a second time; call it without, its memory does not grow with the sequence"
            )
        if x.ndim != 3 or x.shape[0] == 0:
            raise ConfigError(
                f"OnlineEprop: x must have shape (T, batch, in_features) with at least one step, got {tuple(x.shape)}"
            )
        if self._output is not None and x.shape[1] != len(self._output.y):
            raise ConfigError(
                f"OnlineEprop: x must have the batch size {len(self._output.y)} of the steps before, "
                f"got {x.shape[1]}; call reset() between sequences"
            )
        with torch.enable_grad(), torch.autocast(x.device.type, enabled=False):
            return self._segment(x.to(self._layers[0].w_in.dtype))

    def _segment(self, x: Tensor) -> tuple[Tensor, Tensor]:
        groups = self._decays.groups(x.dtype)
        if self._output is None:
            out_features = self.readout.w_out.shape[0]
            empty = x.new_zeros(x.shape[1], out_features)
            self._output = _Output(empty, x.new_zeros(out_features))
        emitted, filtered, runs = [], [], []
        for r, layer in enumerate(self._layers):
            run = self._runs[r] if self._runs else _start(layer, x[0], len(groups))
            spikes, carried, run = _advance(layer, run, x, groups)
            emitted.append(spikes)
            filtered.append(carried)
            runs.append(run)
            x = spikes.detach()
        spikes = torch.cat(emitted, -1)
        past = [torch.cat(parts, -1) for parts in zip(*filtered, strict=True)]
        y, output = _read(self.readout, spikes, past, groups, self._output)
        self._runs, self._output = runs, output
        return y, spikes


class _Run(NamedTuple):
    """What one layer keeps between segments: state, filtered spikes and traces; the latter before the last segment."""

    state: Any
    filtered: tuple[Tensor, ...]
    traces: Traces
    by: Sensitivities | None
    sources: list[network.Source]


class _Output(NamedTuple):
    """What the readout keeps: outputs of its filter, (batch, out), and filtered ones, (out,)."""

    y: Tensor
    ones: Tensor


def _start(layer: Any, x: Tensor, num_groups: int) -> _Run:
    state = layer.initial_state(x)
    v = state.neuron[0].detach()
    filtered = tuple(torch.zeros_like(v) for _ in range(num_groups))
    return _Run(state, filtered, Traces({}, {}, []), None, [])


def _filter_names(num_groups: int) -> list[str]:
    return [f"filtered {g}" for g in range(num_groups)]


def _advance(
    layer: Any, run: _Run, x: Tensor, groups: list[network.Group]
) -> tuple[Tensor, list[Tensor], _Run]:
    """Run a layer over one segment: spikes, filtered spikes at the segment's start, and what it keeps."""
    traces, backend = run.traces, backends.requested(layer.neuron.backend)
    w_in, w_rec = layer.weights()
    if run.by is not None:
        traces = advance(traces, run.by, run.sources, len(w_rec), backend=backend)
    weights, sources = torch.cat([w_in, w_rec], 1), list[network.Source]()
    current = spike_linear(x, w_in.detach(), backend=backend)
    current = arrive(current, weights, sources, backend=backend)
    if not current.requires_grad:
        current.requires_grad_()
    learned = _learned(layer, current)
    values = {
        **run.state.neuron._asdict(),
        **dict(zip(_filter_names(len(groups)), run.filtered, strict=True)),
    }
    starts = carry(values, traces, weights, learned, backend=backend)
    here = {name: value.clone() for name, value in learned.items()}  # apart from what `carry` saw
    neuron = type(run.state.neuron)(*(starts[name] for name in run.state.neuron._fields))
    before = run.state._replace(neuron=neuron)
    spikes, after = layer.run(current, before, w_rec.detach(), rule=EProp(), params=here)
    sources += network.sources(layer, run.state, x.detach(), spikes[:-1].detach())
    past = [starts[name] for name in _filter_names(len(groups))]
    filtered = [
        _filter(group.kappa, before, spikes) for group, before in zip(groups, past, strict=True)
    ]
    ends = {
        **after.neuron._asdict(),
        **dict(zip(_filter_names(len(groups)), filtered, strict=True)),
    }
    by = sensitivities(ends, current, starts, here)
    state = torch.utils._pytree.tree_map(network.detached, after)
    return spikes, past, _Run(state, tuple(f.detach() for f in filtered), traces, by, sources)


def _learned(layer: Any, current: Tensor) -> dict[str, Tensor]:
    """Parameters of the neurons that are learned, one value for each sample and neuron."""
    params: Mapping[str, Tensor] = layer.neuron.params(current.dtype)._asdict()
    return {
        name: value.expand(current.shape[1:])
        for name, value in params.items()
        if value.requires_grad
    }


def _powers(kappa: Tensor, num_steps: int) -> Tensor:
    """kappa^(T-1), ..., kappa, 1, along a further axis."""
    steps = torch.arange(num_steps - 1, -1, -1, dtype=kappa.dtype, device=kappa.device)
    return kappa.unsqueeze(-1) ** steps


def _filter(kappa: Tensor, before: Tensor, spikes: Tensor) -> Tensor:
    """Filtered spikes after a segment, (batch, neuron)."""
    powers = _powers(kappa, len(spikes))
    return kappa ** len(spikes) * before + torch.einsum("t,tbn->bn", powers, spikes)


def _read(
    readout: Any,
    spikes: Tensor,
    past: list[Tensor],
    groups: list[network.Group],
    output: _Output,
) -> tuple[Tensor, _Output]:
    """Run the readout over one segment; its state reaches weights and feedback through the filtered spikes."""
    parts = []
    for group, filtered in zip(groups, past, strict=True):
        w_out = readout.w_out[group.outputs]
        if readout.b_feedback is None:
            parts.append(torch.nn.functional.linear(filtered, w_out))
        else:
            b = readout.b_feedback[group.outputs]
            parts.append(linear_with_feedback(filtered, w_out, b))
    order = torch.cat([group.outputs for group in groups])
    weighted = torch.cat(parts, -1)[:, order.argsort()]
    kappa = network.decay(readout, spikes.dtype)
    inside = readout.bias is not None and readout.bias_inside
    from_past = network.gain(readout, kappa) * (
        weighted + readout.bias * output.ones if inside else weighted
    )
    start = output.y + (
        from_past - from_past.detach()
    )  # the state's own value, also after an update
    y, state = readout(spikes, type(readout.filter.initial_state(start))(start))
    ones = kappa ** len(spikes) * output.ones + _powers(kappa, len(spikes)).sum(-1)
    return y, _Output(state.y.detach(), ones)
