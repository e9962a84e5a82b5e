r"""Values that remember how they came about: what a segment of a sequence needs to know of all segments before it.

A variable y of neuron j at the start of a segment (membrane, adaptation, filtered spikes, ...) depends on all earlier
input through the weights. With presynaptic spikes held fixed, as e-prop does, that dependence is a number for each
synapse, its eligibility trace $\epsilon^y_{ji} = \partial y_j / \partial W_{ji}$. `carry` attaches the traces to the
values as their derivatives, so that the gradient of a segment reaches the weights also through what came before it;
`advance` takes them to the segment's end:

$$
\epsilon^y \leftarrow \sum_x \frac{\partial y}{\partial x} \epsilon^x
+ \sum_t \frac{\partial y}{\partial I_t} s_t^\top
$$

where x runs over the values at the segment's start, $I_t$ is the input current and $s_t$ the presynaptic spikes. The
derivatives come from one reverse pass over the segment for each y. The traces themselves are advanced in one pass over
memory by compiled kernels where these serve, else by one batched matrix product for each y.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from snn_neuromod.kernels import backends
from snn_neuromod.kernels.jobs import Advance, Gather
from snn_neuromod.learning.eprop.network import Source


class Traces(NamedTuple):
    """Eligibility traces of one layer.

    Attributes:
        synapses: Trace of each variable by its name, (batch, synapse, neuron); (batch, synapse, 1) where all neurons
            have the same; absent where it is zero.
        parameters: Derivative by each of the neurons' own parameters, (variable, parameter) -> (batch, neuron).
        pending: What takes the synapses' traces to where they stand; taken out and run when they are first read.
    """

    synapses: dict[str, Tensor]
    parameters: dict[tuple[str, str], Tensor]
    pending: list[Advance]


class Sensitivities(NamedTuple):
    """Derivatives of the variables at a segment's end.

    Attributes:
        inputs: By the input currents, variable -> (steps, batch, neuron).
        starts: By the variables at the segment's start, (variable, variable at the start) -> (batch, neuron).
        parameters: By the neurons' own parameters, (variable, parameter) -> (batch, neuron).
    """

    inputs: dict[str, Tensor]
    starts: dict[tuple[str, str], Tensor]
    parameters: dict[tuple[str, str], Tensor]


class _Carry(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        traces: Traces,
        names: list[str],
        parameter_names: list[str],
        backend: str,
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        ctx.backend = backend
        ctx.names, ctx.parameter_names, ctx.by_parameter = names, parameter_names, traces.parameters
        ctx.traced, ctx.pending = list(traces.synapses), traces.pending
        ctx.save_for_backward(*traces.synapses.values())
        ctx.set_materialize_grads(False)
        return tuple(value.clone() for value in tensors[1 + len(parameter_names) :])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        try:
            traces = dict(zip(ctx.traced, ctx.saved_tensors, strict=True))
        except RuntimeError as error:  # autograd found that `advance` has overwritten them
            raise RuntimeError(
                "OnlineEprop: the loss of a step or segment must be sent back before the next one is run; "
                "call backward() after each, or run all of them as one segment"
            ) from error
        by_trace: dict[str, Tensor] = {}
        parameters: dict[str, Tensor] = {}
        for y, grad in zip(ctx.names, grads, strict=True):
            if grad is None:
                continue
            if y in traces and _any(grad):
                by_trace[y] = grad.resolve_neg()
            for (variable, parameter), trace in ctx.by_parameter.items():
                if variable == y:
                    earlier = parameters.get(parameter, 0.0)
                    parameters[parameter] = earlier + grad * trace
        weights = None
        if by_trace:
            after = ctx.pending.pop() if ctx.pending else None
            job = Gather([*traces.values()], [by_trace.get(y) for y in traces], after)
            weights = backends.serving(job, _asked(job, ctx.backend)).forward(job).T
        found = [parameters.get(name) for name in ctx.parameter_names]
        return None, None, None, None, weights, *found, *(None for _ in grads)


def _asked(job: Advance | Gather, backend: str) -> str:
    """What was asked for; "c" asks for the library, not for kernels of every segment, and takes plain PyTorch there."""
    return "auto" if backend == "c" and job.traces[0].device.type == "cpu" else backend


class _Arrive(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, sources: list[Source], backend: str, weights: Tensor, current: Tensor
    ) -> Tensor:
        ctx.sources, ctx.backend = sources, backend
        return current.view_as(current)

    @staticmethod
    def backward(ctx: Any, delta: Tensor) -> tuple[Any, ...]:
        found = None
        if ctx.needs_input_grad[2]:
            product = torch.ops.snn_neuromod.spike_linear_weight
            parts = [(product(s.values, delta, ctx.backend), s.mask) for s in ctx.sources]
            found = sum(grad if mask is None else grad * mask for grad, mask in parts)
        return None, None, found, delta


def arrive(current: Tensor, weights: Tensor, sources: list[Source], *, backend: str) -> Tensor:
    """The same currents, with what came in at each step as their derivative.

    A derivative by the currents themselves, as `sensitivities` asks for, then does not cost one by the weights.

    Args:
        current: Input currents of a segment, (steps, batch, neuron).
        weights: Weights of the synapses, (neuron, synapse), which their gradient reaches.
        sources: What the synapses brought; read when the gradient is sent back, since spikes are found out later.
        backend: Asked for, see `snn_neuromod.kernels.backends`.
    """
    found: Tensor = _Arrive.apply(sources, backend, weights, current)
    return found


def carry(
    values: Mapping[str, Tensor],
    traces: Traces,
    weights: Tensor,
    parameters: Mapping[str, Tensor],
    *,
    backend: str,
) -> dict[str, Tensor]:
    """The same values, with their traces as derivatives.

    Args:
        values: Variables at the start of a segment, each (batch, neuron).
        traces: Their eligibility traces; the values take hold of them, not of copies.
        weights: Weights of the synapses, (neuron, synapse).
        parameters: The neurons' own parameters that are learned, each (batch, neuron).
        backend: Asked for, see `snn_neuromod.kernels.backends`.

    Returns:
        The values; their gradient reaches `weights` and `parameters`.
    """
    names = list(values)
    out = _Carry.apply(
        traces, names, list(parameters), backend, weights, *parameters.values(), *values.values()
    )
    return dict(zip(names, out, strict=True))


def sensitivities(
    ends: Mapping[str, Tensor],
    current: Tensor,
    starts: Mapping[str, Tensor],
    parameters: Mapping[str, Tensor],
) -> Sensitivities:
    """Derivatives of variables at a segment's end; what is zero is left out.

    Args:
        ends: The variables at the segment's end, with their graph, each (batch, neuron).
        current: Input currents of the segment, (steps, batch, neuron).
        starts: The variables at its start.
        parameters: The neurons' own parameters that are learned, each (batch, neuron).

    Returns:
        One number for each neuron, since neurons of a layer do not see one another but through spikes.
    """
    found = Sensitivities({}, {}, {})
    inputs = [current, *starts.values(), *parameters.values()]
    for y, end in ends.items():
        if not end.requires_grad:
            continue
        by_current, *others = torch.autograd.grad(
            end.sum(), inputs, retain_graph=True, allow_unused=True
        )
        if by_current is not None and _any(by_current):
            found.inputs[y] = by_current
        for x, by in zip([*starts, *parameters], others, strict=True):
            if by is not None and _any(by):
                (found.starts if x in starts else found.parameters)[y, x] = by
    return found


def advance(
    traces: Traces, by: Sensitivities, sources: Sequence[Source], num: int, *, backend: str
) -> Traces:
    """Take the traces from a segment's start to its end.

    Args:
        traces: At its start; the synapses' will be overwritten, in one pass with what first reads the new ones.
        by: Derivatives of the variables at its end.
        sources: What the synapses brought at the segment's steps.
        num: Number of neurons.
        backend: Asked for, see `snn_neuromod.kernels.backends`.

    Returns:
        The traces at its end.
    """
    for job in traces.pending:  # nothing was sent back since
        backends.serving(job, _asked(job, backend)).forward(job)
    traces.pending.clear()
    synapses = dict(traces.synapses)
    onwards = [y for y, x in by.starts if x in synapses]
    reads = {
        y: [x for x in synapses if (y, x) in by.starts]
        for y in dict.fromkeys([*synapses, *onwards, *by.inputs])
    }
    values = sources[0].values
    alone = values.device.type == "cpu" and len(sources) == 1 and sources[0].mask is None
    shared = _shared(synapses, by, reads) if alone else set()
    for y in reads:
        wide = 1 if y in shared else num
        if y not in synapses:
            synapses[y] = values.new_empty(values.shape[1], values.shape[-1], wide)
        elif synapses[y].shape[-1] != wide:
            synapses[y] = synapses[y].expand(-1, -1, num).contiguous()
    index = {y: k for k, y in enumerate(reads)}
    job = Advance(
        [synapses[y].data for y in reads],  # whenever it runs, autograd has counted it below
        {(index[y], index[x]): by.starts[y, x] for y in reads for x in reads[y]},
        {index[y]: delta for y, delta in by.inputs.items()},
        [(source.values, source.mask) for source in sources],
    )
    # So that autograd finds out when a graph still needed the old ones.
    increment_version([*synapses.values()])
    parameters = dict(by.parameters)
    for (y, x), factor in by.starts.items():
        for (variable, parameter), earlier in traces.parameters.items():
            if variable == x:
                more = factor * earlier
                known = parameters.get((y, parameter))
                parameters[y, parameter] = more if known is None else known + more
    return Traces(synapses, parameters, [job] if reads else [])


def _shared(
    synapses: Mapping[str, Tensor], by: Sensitivities, reads: Mapping[str, Sequence[str]]
) -> set[str]:
    """Variables whose trace is the same for all neurons, such as a membrane's with one decay and a detached reset."""
    found = []
    for y in reads:
        own = [by.starts[y, x] for x in reads[y]] + [d for v, d in by.inputs.items() if v == y]
        if (y not in synapses or synapses[y].shape[-1] == 1) and all(map(_alike, own)):
            found.append(y)
    while more := [y for y in found if not set(reads[y]) <= set(found)]:
        found = [y for y in found if y not in more]
    return set(found)


def _alike(tensor: Tensor) -> bool:
    """Whether all neurons have the same."""
    return bool((tensor == tensor[..., :1]).all())


def _any(tensor: Tensor) -> bool:
    """Whether anything in it is not 0; elsewhere than on a CPU, where to look would mean to wait, it may be."""
    if tensor.device.type != "cpu":
        return True
    return bool(tensor[-1:].any()) or bool(tensor.any())  # of sequences the last step mostly tells
