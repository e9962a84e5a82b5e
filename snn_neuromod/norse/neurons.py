"""The neurons in Norse's form: cell, recurrent cell, and their time-first modules."""

from __future__ import annotations

from snn_neuromod.norse import recipes, states
from snn_neuromod.norse.base import Cell, ModulatedCell, ModulatedModule, Module
from snn_neuromod.norse.recurrent import RecurrentCell, RecurrentModule


class ALIFCell(Cell[states.ALIFState]):
    """Adaptive LIF neuron, one step; equations in `snn_neuromod.dynamics.alif`.

    Arguments: `Cell`, with `ALIFParameters`.
    """

    recipe = recipes.ALIF


class ALIFRecurrentCell(RecurrentCell[states.ALIFRecurrentState]):
    """Adaptive LIF neuron with recurrent weights, one step; arguments: `RecurrentCell`, `ALIFParameters`."""

    recipe = recipes.ALIF


class ALIF(Module[states.ALIFState]):
    """Adaptive LIF neuron over sequences; arguments: `Module`, `ALIFParameters`.

    Examples:
        >>> import torch
        >>> spikes, state = ALIF()(torch.rand(50, 8, 3))  # (T, batch, neuron)
        >>> spikes.shape
        torch.Size([50, 8, 3])
    """

    recipe = recipes.ALIF


class ALIFRecurrent(RecurrentModule[states.ALIFRecurrentState]):
    """Adaptive LIF neuron with recurrent weights over sequences; arguments: `RecurrentModule`, `ALIFParameters`."""

    recipe = recipes.ALIF


class STDPALIFCell(Cell[states.STDPALIFState]):
    """STDP-ALIF neuron, one step; equations in `snn_neuromod.dynamics.stdp_alif`.

    Arguments: `Cell`, with `ALIFParameters`.
    """

    recipe = recipes.STDPALIF


class STDPALIFRecurrentCell(RecurrentCell[states.STDPALIFRecurrentState]):
    """STDP-ALIF neuron with recurrent weights, one step; arguments: `RecurrentCell`, `ALIFParameters`."""

    recipe = recipes.STDPALIF


class STDPALIF(Module[states.STDPALIFState]):
    """STDP-ALIF neuron over sequences; arguments: `Module`, `ALIFParameters`.

    Examples:
        >>> import torch
        >>> spikes, state = STDPALIF()(torch.rand(50, 8, 3))  # (T, batch, neuron)
        >>> spikes.shape
        torch.Size([50, 8, 3])
    """

    recipe = recipes.STDPALIF


class STDPALIFRecurrent(RecurrentModule[states.STDPALIFRecurrentState]):
    """STDP-ALIF neuron with recurrent weights over sequences; arguments: `RecurrentModule`, `ALIFParameters`."""

    recipe = recipes.STDPALIF


class IzhikevichCell(Cell[states.IzhikevichState]):
    """Izhikevich neuron, one step; equations in `snn_neuromod.dynamics.izhikevich`.

    Arguments: `Cell`, with `IzhikevichParameters`.
    """

    recipe = recipes.IZHIKEVICH


class IzhikevichRecurrentCell(RecurrentCell[states.IzhikevichRecurrentState]):
    """Izhikevich neuron with recurrent weights, one step; arguments: `RecurrentCell`, `IzhikevichParameters`."""

    recipe = recipes.IZHIKEVICH


class Izhikevich(Module[states.IzhikevichState]):
    """Izhikevich neuron over sequences; arguments: `Module`, `IzhikevichParameters`.

    Examples:
        >>> import torch
        >>> spikes, state = Izhikevich()(10 * torch.rand(50, 8, 3))  # (T, batch, neuron)
        >>> spikes.shape
        torch.Size([50, 8, 3])
    """

    recipe = recipes.IZHIKEVICH


class IzhikevichRecurrent(RecurrentModule[states.IzhikevichRecurrentState]):
    """Izhikevich neuron with recurrent weights over sequences; arguments: `RecurrentModule`, `IzhikevichParameters`."""

    recipe = recipes.IZHIKEVICH


class SRCCell(Cell[states.SRCState]):
    """Spiking Recurrent Cell, one step; equations in `snn_neuromod.dynamics.src`.

    Arguments: `Cell`, with `SRCParameters`.
    """

    recipe = recipes.SRC


class SRCRecurrentCell(RecurrentCell[states.SRCRecurrentState]):
    """Spiking Recurrent Cell with recurrent weights, one step; arguments: `RecurrentCell`, `SRCParameters`."""

    recipe = recipes.SRC


class SRC(Module[states.SRCState]):
    """Spiking Recurrent Cell over sequences; arguments: `Module`, `SRCParameters`.

    Examples:
        >>> import torch
        >>> spikes, state = SRC()(torch.rand(50, 8, 3))  # (T, batch, neuron)
        >>> spikes.shape
        torch.Size([50, 8, 3])
    """

    recipe = recipes.SRC


class SRCRecurrent(RecurrentModule[states.SRCRecurrentState]):
    """Spiking Recurrent Cell with recurrent weights over sequences; arguments: `RecurrentModule`, `SRCParameters`."""

    recipe = recipes.SRC


class MSRCCell(ModulatedCell[states.MSRCState]):
    """Neuromodulable SRC, one step; equations in `snn_neuromod.dynamics.msrc`.

    Arguments: `Cell`, with `MSRCParameters`. The call takes a `modulation` too.
    """

    recipe = recipes.MSRC


class MSRCRecurrentCell(RecurrentCell[states.MSRCRecurrentState]):
    """Neuromodulable SRC with recurrent weights, one step; arguments: `RecurrentCell`, `MSRCParameters`."""

    recipe = recipes.MSRC


class MSRC(ModulatedModule[states.MSRCState]):
    """Neuromodulable SRC over sequences; arguments: `Module`, `MSRCParameters`. The call takes a `modulation` too.

    Examples:
        >>> import torch
        >>> spikes, state = MSRC()(torch.rand(50, 8, 3))  # (T, batch, neuron)
        >>> spikes.shape
        torch.Size([50, 8, 3])
    """

    recipe = recipes.MSRC


class MSRCRecurrent(RecurrentModule[states.MSRCRecurrentState]):
    """Neuromodulable SRC with recurrent weights over sequences; arguments: `RecurrentModule`, `MSRCParameters`."""

    recipe = recipes.MSRC


class BSRCCell(ModulatedCell[states.BSRCState]):
    """Bursting SRC, one step; equations in `snn_neuromod.dynamics.bsrc`.

    Arguments: `Cell`, with `BSRCParameters`. The call takes a `modulation` too.
    """

    recipe = recipes.BSRC


class BSRCRecurrentCell(RecurrentCell[states.BSRCRecurrentState]):
    """Bursting SRC with recurrent weights, one step; arguments: `RecurrentCell`, `BSRCParameters`."""

    recipe = recipes.BSRC


class BSRC(ModulatedModule[states.BSRCState]):
    """Bursting SRC over sequences; arguments: `Module`, `BSRCParameters`. The call takes a `modulation` too.

    Examples:
        >>> import torch
        >>> spikes, state = BSRC()(torch.rand(50, 8, 3))  # (T, batch, neuron)
        >>> spikes.shape
        torch.Size([50, 8, 3])
    """

    recipe = recipes.BSRC


class BSRCRecurrent(RecurrentModule[states.BSRCRecurrentState]):
    """Bursting SRC with recurrent weights over sequences; arguments: `RecurrentModule`, `BSRCParameters`."""

    recipe = recipes.BSRC
