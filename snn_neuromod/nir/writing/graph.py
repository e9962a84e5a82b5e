"""From networks to NIR."""

from __future__ import annotations

import sys
import warnings
from typing import get_args

import nir
import numpy as np
from torch import Tensor, nn

from snn_neuromod.errors import ConfigError
from snn_neuromod.layers import Layer, LeakyReadout, Recurrent
from snn_neuromod.nir.modules import OverTime
from snn_neuromod.nir.writing import our_layers, torch_layers, tracing
from snn_neuromod.nir.writing.draft import Draft
from snn_neuromod.nir.writing.parts import Export, SoftReset
from snn_neuromod.nir.writing.torch_layers import Writer


def to_nir(
    network: nn.Module,
    sample: Tensor | None = None,
    *,
    dt: float | None = None,
    soft_reset: SoftReset = "graph",
) -> nir.NIRGraph:
    """Write a network as a NIR graph; `nir.write(path, graph)` makes a file of it.

    The network is made of `nn.Linear`, `SpikeLinear`, convolutions, `AvgPool2d`, `Flatten`, `Dropout` (left out),
    `ALIF`, `Recurrent` around an `ALIF`, `LeakyIntegrator`, `LeakyReadout`, these in snnTorch's and Norse's form,
    `snntorch.Leaky`, `RLeaky` and `Synaptic`, Norse's `LIF`, `LIFRecurrent`, `LI`, `IAF` and box cells, or it is what
    `from_nir` returned. They stand in an `nn.Sequential`, a `SequentialState`, or in a module of your own that calls
    each once and adds signals at most. What it does is taken from a symbolic trace: loops over time must stay outside.
    Weights and parameters are copied. How a layer is written: `snn_neuromod.nir.subgraphs`.

    Surrogate gradients, learning rules and which parameters are learned are no part of NIR.

    Args:
        network: The network; only the exact classes above are known, not their subclasses.
        sample: An input of the network, with the axes before its features. Needed only where the layers do not tell the
            shape of the input: a convolution, or neurons, first.
        dt: Time step in ms, > 0, that the reader will take; a step of the network is one of the reader's, so time
            constants follow. None: that of the layers; 1 where they have none, those in snnTorch's form. snnTorch's
            importer always takes 0.1, Norse's 1 unless told.
        soft_reset: "graph" writes neurons with a soft reset or an adaptive threshold as the exact graph; "lif" as a
            plain LIF, for tools that know nothing else, with a warning of what changes.

    Returns:
        A `nir.NIRGraph`, tau in seconds. Its metadata hold the time step (`dt`, s) and the conventions of `from_nir`.

    Raises:
        TypeError: If the network has a layer that NIR cannot express.
        ConfigError: If a layer has an option or the network an operation that NIR cannot express, or a shape is
            unknown.

    Examples:
        >>> import torch
        >>> from snn_neuromod import ALIF
        >>> graph = to_nir(torch.nn.Sequential(torch.nn.Linear(5, 20), ALIF(20)))
        >>> list(graph.nodes)
        ['input_1', '_0', '_1', 'output']
    """
    if dt is not None and not 0 < dt < float("inf"):
        raise ConfigError(f"to_nir: dt must be > 0 (ms) and finite, got {dt}")
    if soft_reset not in get_args(SoftReset):
        raise ConfigError(
            f"to_nir: soft_reset must be one of {', '.join(get_args(SoftReset))}, got {soft_reset!r}"
        )
    writers = _writers()
    export = Export(dt, soft_reset, _leading(network))
    if type(network) in writers:
        network = nn.Sequential(network)
    trace = tracing.trace(network, tuple(writers))
    draft = Draft(writers, export)
    draft.fill(trace, None if sample is None else tuple(sample.shape))
    if export.lost:
        warnings.warn(
            "to_nir: soft_reset='lif' does not write that "
            + "; that ".join(dict.fromkeys(export.lost)),
            stacklevel=2,
        )
    held = {"dt": np.float64(1e-3 * export.file_step()), **export.conventions}
    return nir.NIRGraph(draft.nodes, draft.edges, metadata=held)


def _writers() -> dict[type[nn.Module], Writer]:
    """What writes the layers of each class; of other libraries only where they are loaded."""
    writers = torch_layers.WRITERS | our_layers.WRITERS
    if "snntorch" in sys.modules:
        from snn_neuromod.nir.writing import snntorch_layers

        writers |= snntorch_layers.writers()
    if "norse.torch" in sys.modules:
        from snn_neuromod.nir.writing import norse_layers

        writers |= norse_layers.writers()
    return writers


def _leading(network: nn.Module) -> int:
    """Axes before the features: time and batch if the network runs over whole sequences."""
    cells = {layer for m in network.modules() if _is_cell(m) for layer in m.modules()}
    return 2 if any(_over_time(m) for m in network.modules() if m not in cells) else 1


def _is_cell(module: nn.Module) -> bool:
    """Whether a module of Norse's, or in its form, takes one step."""
    return type(module).__name__.endswith("Cell")


def _over_time(module: nn.Module) -> bool:
    names = {cls.__name__ for cls in type(module).__mro__}
    ours = isinstance(module, Layer | Recurrent | LeakyReadout | OverTime)
    return ours or bool(names & {"SNN", "SNNRecurrent", "Lift"})
