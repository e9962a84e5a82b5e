"""Maps for nirtorch: this package's modules for the nodes of NIR, and nodes for its layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nir
import torch
from torch import Tensor, nn

from snn_neuromod.layers import ALIF, LeakyIntegrator, LeakyReadout, Recurrent
from snn_neuromod.nir import modules
from snn_neuromod.nir.neurons import Reset, Synapse
from snn_neuromod.nir.reading import nodes
from snn_neuromod.nir.reading.conventions import conventions
from snn_neuromod.nir.writing import to_nir
from snn_neuromod.surrogate import Psi


class Step(nn.Module):
    """One step of a module over sequences that has no state.

    Args:
        module: Takes (T, batch, ...).
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """Run on (batch, ...)."""
        y: Tensor = self.module(x[None])
        return y[0]


class StatefulStep(nn.Module):
    """One step of a module over sequences that has a state.

    Args:
        module: Takes (T, batch, ...) and a state.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Run on (batch, ...) and the state of the step before; None: at rest."""
        y, state = self.module(x[None], state)
        return y[0], state


def nirtorch_map(
    dt: float | None = None,
    *,
    reset: Reset | None = None,
    synapse: Synapse | None = None,
    unit_step: bool | None = None,
    psi: Psi = Psi(),
) -> dict[Any, Callable[[Any], Any]]:
    """What nirtorch makes of NIR's nodes, and of this package's layers.

    `nirtorch.nir_to_torch(graph, nirtorch_map(dt))` builds a network that takes one step a call, of which some nodes
    may be modules of your own; `nirtorch.torch_to_nir(network, nirtorch_map(dt), stateful_modules=...)` writes one of
    which some layers are `ALIF`, `Recurrent`, `LeakyIntegrator` and `LeakyReadout`, each as a graph in the graph.

    Args:
        dt: Time step in ms; None: for graphs without time constants, and for layers their own.
        reset: As of `from_nir`; None: "value".
        synapse: As of `from_nir`; None: "old".
        unit_step: As of `from_nir`; None: False.
        psi: Pseudo-derivative of the spikes.

    Returns:
        A function for each class of node and each class of layer.

    Examples:
        >>> import nirtorch
        >>> import torch
        >>> from snn_neuromod import ALIF
        >>> graph = to_nir(torch.nn.Sequential(torch.nn.Linear(5, 20), ALIF(20)))
        >>> network = nirtorch.nir_to_torch(graph, nirtorch_map(dt=1.0))
        >>> spikes, state = network(torch.rand(8, 5))
        >>> spikes, state = network(torch.rand(8, 5), state)
    """
    chosen = conventions(
        {},
        dt=dt,
        reset=reset,
        synapse=synapse,
        unit_step=unit_step,
        learning_rule="bptt",
        learn=frozenset(),
        psi=psi,
        dtype=torch.get_default_dtype(),
    )

    def read(node: Any) -> nn.Module:
        made = nodes.module(type(node).__name__, node, chosen)
        return (Step if isinstance(made, modules.STATELESS) else StatefulStep)(made)

    def write(layer: nn.Module) -> Any:
        return to_nir(layer, dt=dt)

    ends = (nir.Input, nir.Output)
    return {
        **{kind: read for kind in nodes.KNOWN if kind not in ends},
        **dict.fromkeys((ALIF, Recurrent, LeakyIntegrator, LeakyReadout), write),
    }
