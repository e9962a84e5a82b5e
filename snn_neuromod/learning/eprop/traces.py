r"""e-prop by explicit eligibility traces: the rule as the papers write it, readable, and the oracle of the other forms.

$$
\begin{aligned}
\epsilon_{ji}[t] &= \frac{\partial h_j[t]}{\partial h_j[t-1]}\, \epsilon_{ji}[t-1]
+ \frac{\partial h_j[t]}{\partial I_j[t]}\, s_i[t] && \text{eligibility vector} \\
e_{ji}[t] &= \frac{\partial z_j[t]}{\partial h_j[t-1]}\, \epsilon_{ji}[t-1]
+ \frac{\partial z_j[t]}{\partial I_j[t]}\, s_i[t] && \text{eligibility trace} \\
\bar e_{ji}[t] &= \kappa\, \bar e_{ji}[t-1] + e_{ji}[t] && \text{filtered as the readout filters spikes} \\
\frac{dE}{dW_{ji}} &= \sum_t L_j[t]\, \bar e_{ji}[t], \qquad
L_j[t] = \sum_k B_{kj}\, \frac{\partial E}{\partial y_k[t]} && \text{gradient, learning signal}
\end{aligned}
$$

h is the whole state of a neuron, its own last spike included where its equations read it; $s_i[t]$ is the input
$x_i[t]$ or the recurrent spike $z_i[t-1]$, both held fixed. The papers write
$e = (\partial z[t] / \partial h[t])\, \epsilon[t]$, which is the same by the chain rule; for ALIF it is
$\psi_j (\epsilon^v_{ji} - \beta\, \epsilon^a_{ji})$. For a mean squared error or a cross-entropy
$\partial E / \partial y_k$ is their $\pi_k - \pi^*_k$. A loss of the spikes themselves, such as a firing-rate
regularisation, adds $\partial E / \partial z_j[t]\; e_{ji}[t]$, not filtered. Outputs with different $\kappa$ have one
$\bar e$ for each.

The derivatives come from the neuron's own `step` by automatic differentiation of that step alone, so that this holds
for any neuron. It takes work of T B N^2 elements; `loss.backward()` and `online` give the same gradient faster.

References:
    Bellec et al., Nat. Commun. 11:3625 (2020), Methods. Traub et al., arXiv 2006.09988 (2020).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from snn_neuromod.learning.eprop import network
from snn_neuromod.learning.eprop.derivatives import differentiate
from snn_neuromod.learning.eprop.rule import Loss, learned, run


class Step(NamedTuple):
    """One step of a layer with its eligibility traces.

    Attributes:
        spikes: (batch, neuron).
        state: State of the neurons after the step, each (batch, neuron).
        eps: Eligibility vector, state variable -> (batch, neuron, synapse): inputs first, then recurrent synapses.
        e: Eligibility trace, (batch, neuron, synapse).
        e_params: The same of the neurons' own learned parameters, name in `Params` -> (batch, neuron).
    """

    spikes: Tensor
    state: Any
    eps: dict[str, Tensor]
    e: Tensor
    e_params: dict[str, Tensor]


class Record(NamedTuple):
    """Eligibility traces over a sequence, for plots.

    Attributes:
        spikes: (T, batch, neuron).
        state: State at each step, each (T, batch, neuron).
        eps: Eligibility vector, state variable -> (T, batch, neuron, synapse): inputs first, then recurrent synapses.
        e: Eligibility trace, (T, batch, neuron, synapse).
        filtered: Filtered eligibility trace for each distinct decay of the readout, likewise.
        learning_signal: Learning signal for each distinct decay of the readout, (T, batch, neuron).
    """

    spikes: Tensor
    state: Any
    eps: dict[str, Tensor]
    e: Tensor
    filtered: list[Tensor]
    learning_signal: list[Tensor]


def steps(layer: nn.Module, x: Tensor) -> Iterator[Step]:
    """Run a layer from rest, step by step, with its traces.

    Args:
        layer: A `Recurrent` around any neuron.
        x: Input, time first, (T, batch, in_features).

    Yields:
        Each step. Memory does not grow with their number.
    """
    known: Any = layer
    weights = torch.cat(known.weights(), 1).detach()
    state = torch.utils._pytree.tree_map(network.detached, known.initial_state(x[0]))
    zeros = torch.zeros_like(state.spikes)
    eps = dict.fromkeys(state.neuron._fields, zeros.unsqueeze(-1) * weights)
    none = dict.fromkeys(state.neuron._fields, zeros)
    eps_params: dict[str, dict[str, Tensor]] = {}
    for x_t in x.detach():
        s = network.by_neuron(network.sources(known, state, x_t[None], state.spikes[None][:0]))
        spikes, neuron, by = differentiate(known.neuron, state.neuron, (s * weights).sum(-1))
        traces = {
            y: _chain(row, eps, row.get("I", zeros).unsqueeze(-1) * s)
            for y, row in by.states.items()
        }
        e = traces.pop("spikes")
        e_params = {}
        for name, direct in by.params.items():
            before = eps_params.get(name, none)
            after = {y: _chain(row, before, direct[y]) for y, row in by.states.items()}
            e_params[name], eps_params[name] = after.pop("spikes"), after
        eps = traces
        state = network.following(state, neuron, spikes)
        yield Step(spikes, neuron, eps, e, e_params)


def _chain(row: Mapping[str, Tensor], before: Mapping[str, Tensor], direct: Tensor) -> Tensor:
    """What a variable has of the traces before the step, and what comes in at this step."""
    for x, trace in before.items():
        if x in row:
            direct = direct + (row[x] if trace.ndim == 2 else row[x].unsqueeze(-1)) * trace
    return direct


def gradients(layer: nn.Module, readout: nn.Module, x: Tensor, loss: Loss) -> dict[str, Tensor]:
    """Gradient of a loss under e-prop; arguments and result as of `rule.gradients`.

    Raises:
        TypeError: If `layer` or `readout` is of another kind.
        ValueError: If a stack passes credit through its layers.

    Examples:
        >>> import torch
        >>> from snn_neuromod import ALIF, LeakyReadout, Recurrent
        >>> layer, readout = Recurrent(ALIF(20), in_features=5), LeakyReadout(20, 3)
        >>> found = gradients(layer, readout, torch.rand(30, 8, 5), lambda y, spikes: y.square().sum())
        >>> found["layer.w_rec"].shape
        torch.Size([20, 20])
    """
    layers = network.local_layers("traces.gradients", layer, readout)
    spikes, error, direct = _errors(layer, readout, x, loss)
    signals = _learning_signals(readout, error)
    found = _readout_gradients(readout, spikes, error)
    start = 0
    for part in layers:
        stop = start + part.w_rec.shape[0]
        own = [(kappa, signal[..., start:stop]) for kappa, signal in signals]
        found |= _layer_gradients(part, x, own, direct[..., start:stop])
        x, start = spikes[..., start:stop], stop
    return {name: found.get(p, torch.zeros_like(p)) for name, p in learned(layer, readout).items()}


def record(
    layer: nn.Module,
    readout: nn.Module,
    x: Tensor,
    loss: Loss,
    *,
    neurons: Sequence[int] | None = None,
) -> Record:
    """Traces and learning signal of a layer over a sequence, all steps at once.

    Args:
        layer: A `Recurrent`, run from rest.
        readout: A `LeakyReadout` of its spikes.
        x: Input, time first, (T, batch, in_features).
        loss: Of outputs and spikes.
        neurons: Which neurons to keep; None: all.

    Returns:
        What was kept; the neuron axis has `neurons` only.

    Raises:
        TypeError: If `layer` or `readout` is of another kind.
    """
    (part,) = network.local_layers("traces.record", layer, readout)
    _, error, _ = _errors(layer, readout, x, loss)
    signals = _learning_signals(readout, error)
    chosen = torch.arange(part.w_rec.shape[0]) if neurons is None else torch.tensor([*neurons])
    kept = []
    filtered = [torch.zeros((), dtype=x.dtype, device=x.device) for _ in signals]
    for step in steps(part, x):
        e = step.e[:, chosen]
        filtered = [kappa * f + e for f, (kappa, _) in zip(filtered, signals, strict=True)]
        state = type(step.state)(*(s[:, chosen] for s in step.state))
        eps = {name: trace[:, chosen] for name, trace in step.eps.items()}
        kept.append((step.spikes[:, chosen], state, eps, e, filtered))
    spikes, states, vectors, traces, means = zip(*kept, strict=True)
    return Record(
        torch.stack(spikes),
        type(states[0])(*(torch.stack(values) for values in zip(*states, strict=True))),
        {name: torch.stack([eps[name] for eps in vectors]) for name in vectors[0]},
        torch.stack(traces),
        [torch.stack(values) for values in zip(*means, strict=True)],
        [signal[..., chosen] for _, signal in signals],
    )


def _errors(
    layer: nn.Module, readout: nn.Module, x: Tensor, loss: Loss
) -> tuple[Tensor, Tensor, Tensor]:
    """Spikes, and the derivatives of the loss by the outputs and by the spikes themselves."""
    with torch.no_grad():
        spikes, _ = run(layer, x)
        y, _ = readout(spikes)
    spikes, y = spikes.requires_grad_(), y.requires_grad_()
    with torch.enable_grad():
        found = torch.autograd.grad(loss(y, spikes), (y, spikes), allow_unused=True)
    error, direct = (
        torch.zeros_like(of) if grad is None else grad
        for of, grad in zip((y, spikes), found, strict=True)
    )
    return spikes.detach(), error, direct


def _learning_signals(readout: nn.Module, error: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Each distinct decay of the readout and the learning signal of its outputs, (T, batch, neuron)."""
    b = network.feedback(readout)
    return [
        (kappa, network.gain(readout, kappa) * error[..., outputs] @ b[outputs])
        for kappa, outputs in network.Decays(readout).groups(error.dtype)
    ]


_SYNAPSES = "synapses"


def _layer_gradients(
    layer: Any, x: Tensor, signals: list[tuple[Tensor, Tensor]], direct: Tensor
) -> dict[Any, Tensor]:
    """Gradient of each learned parameter of one layer."""
    totals: dict[str, Tensor] = {}
    filtered: list[dict[str, Tensor]] = [{} for _ in signals]
    for t, step in enumerate(steps(layer, x)):
        for name, e in {_SYNAPSES: step.e, **step.e_params}.items():
            total = _weighed(direct[t], e)
            for (kappa, signal), mean in zip(signals, filtered, strict=True):
                mean[name] = kappa * mean[name] + e if name in mean else e
                total = total + _weighed(signal[t], mean[name])
            totals[name] = totals[name] + total if name in totals else total
    by_synapse = totals.pop(_SYNAPSES).split(x.shape[-1:] + layer.w_rec.shape[1:], 1)
    w_in, w_rec = layer.weights()
    params = layer.neuron.params(x.dtype)._asdict()
    acting = dict(zip((w_in, w_rec), by_synapse, strict=True))
    acting |= {params[name]: grad.sum_to_size(params[name].shape) for name, grad in totals.items()}
    acting = {tensor: grad for tensor, grad in acting.items() if tensor.requires_grad}
    raw = [p for p in layer.parameters() if p.requires_grad]
    found = torch.autograd.grad(list(acting), raw, list(acting.values()), allow_unused=True)
    return {p: grad for p, grad in zip(raw, found, strict=True) if grad is not None}


def _weighed(signal: Tensor, e: Tensor) -> Tensor:
    """Sum over the batch of signal times trace, (neuron, synapse); for a parameter (batch, neuron)."""
    return signal * e if e.ndim == 2 else torch.einsum("bn,bnf->nf", signal, e)


def _readout_gradients(readout: Any, spikes: Tensor, error: Tensor) -> dict[Any, Tensor]:
    """Error times filtered spikes, and for the bias error times a filtered one."""
    kappa = network.decay(readout, error.dtype).expand(error.shape[-1])
    weight = network.gain(readout, kappa)
    w_out = torch.zeros_like(readout.w_out)
    of_bias = torch.zeros_like(kappa)
    mean = spikes.new_zeros(len(kappa), *spikes.shape[1:])
    ones = torch.zeros_like(kappa)
    for z, err in zip(spikes, error, strict=True):
        mean = kappa[:, None, None] * mean + weight[:, None, None] * z
        ones = kappa * ones + weight
        w_out += torch.einsum("bk,kbn->kn", err, mean)
        of_bias += err.sum(0) * (ones if readout.bias_inside else 1.0)
    found = {readout.w_out: w_out}
    if readout.bias is not None:
        found[readout.bias] = of_bias
    if readout.b_feedback is not None:
        found[readout.b_feedback] = w_out
    return found
