r"""e-prop as a rule of autograd: exact, factorised, at the price of a reverse scan per neuron and matrix products.

e-prop is the exact gradient with the presynaptic spike trains held fixed. The local derivatives of a neuron do not
depend on the presynaptic neuron, so that the sum over time can be turned round and no trace per synapse is needed:

$$
\begin{aligned}
r_k[t] &= \frac{\partial E}{\partial y_k[t]} + \kappa_k\, r_k[t+1] && \text{error, filtered in reverse} \\
\Lambda_j[t] &= \sum_k B_{kj}\, r_k[t] && \text{one matrix product} \\
\lambda_j[t] &= \Lambda_j[t]\, \frac{\partial z_j[t]}{\partial h_j[t]}
+ \Big( \frac{\partial h_j[t+1]}{\partial h_j[t]} \Big)^{\!\top} \lambda_j[t+1] && \text{reverse scan of each neuron} \\
\frac{dE}{dW} &= \sum_t \delta[t]\, s[t]^\top, \qquad
\delta_j = \Big( \frac{\partial h_j}{\partial I_j} \Big)^{\!\top} \lambda_j && \text{one matrix product}
\end{aligned}
$$

with $s[t] = [x[t], z[t-1]]$. This is what the backward pass of a `Recurrent` layer with `learning_rule="eprop"`
computes, and all there is to call is `loss.backward()`. `run` does the same for a layer whatever its `learning_rule`;
`gradients` returns the gradient, in the form that `traces.gradients` has.

It takes work of T B N elements and matrix products, where explicit traces take T B N^2 elements. It does not hold for
weights that change within a sequence: see `online`.

References:
    Bellec et al., Nat. Commun. 11:3625 (2020).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from snn_neuromod.learning.rules import EProp, using

Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""A loss of the readout's outputs (T, batch, out_features) and the spikes (T, batch, neuron): one number."""


def run(layer: nn.Module, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
    """Run recurrent layers so that their backward pass is e-prop, whatever their `learning_rule`.

    Args:
        layer: A `Recurrent`, a `RecurrentStack` or any other network of them.
        x: Input, time first, (T, batch, in_features).
        state: State after an earlier sequence; None: at rest.

    Returns:
        What the layer returns: spikes (T, batch, neuron) and the state after the last step.
    """
    with using(EProp()):
        out: tuple[Tensor, Any] = layer(x, state)
    return out


def gradients(layer: nn.Module, readout: nn.Module, x: Tensor, loss: Loss) -> dict[str, Tensor]:
    """Gradient of a loss under e-prop.

    Args:
        layer: A `Recurrent` or a `RecurrentStack`, run from rest.
        readout: A `LeakyReadout` of its spikes.
        x: Input, time first, (T, batch, in_features).
        loss: Of outputs and spikes.

    Returns:
        The gradient of each learned parameter, named "layer.w_in", "readout.w_out" and so on.

    Examples:
        >>> import torch
        >>> from snn_neuromod import ALIF, LeakyReadout, Recurrent
        >>> layer, readout = Recurrent(ALIF(20), in_features=5), LeakyReadout(20, 3)
        >>> found = gradients(layer, readout, torch.rand(30, 8, 5), lambda y, spikes: y.square().sum())
        >>> list(found)
        ['layer.w_in', 'layer.w_rec', 'readout.w_out', 'readout.bias']
    """
    parameters = learned(layer, readout)
    spikes, _ = run(layer, x)
    y, _ = readout(spikes)
    found = torch.autograd.grad(loss(y, spikes), list(parameters.values()), allow_unused=True)
    return {
        name: torch.zeros_like(p) if grad is None else grad
        for (name, p), grad in zip(parameters.items(), found, strict=True)
    }


def learned(layer: nn.Module, readout: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters of both that require a gradient, by name."""
    both = {"layer": layer, "readout": readout}
    return {
        f"{part}.{name}": parameter
        for part, module in both.items()
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    }
