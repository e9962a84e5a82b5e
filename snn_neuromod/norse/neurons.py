"""The neurons in Norse's form: cell, recurrent cell, and their time-first modules."""

from __future__ import annotations

from snn_neuromod.norse import recipes
from snn_neuromod.norse.base import Cell, ModulatedCell, ModulatedModule, Module
from snn_neuromod.norse.recurrent import RecurrentCell, RecurrentModule


class ALIFCell(Cell):
    """Adaptive LIF neuron, one step; equations in `snn_neuromod.dynamics.alif`.

    Arguments: `Cell`, with `ALIFParameters`.
    """

    recipe = recipes.ALIF


class ALIFRecurrentCell(RecurrentCell):
    """Adaptive LIF neuron with recurrent weights, one step; arguments: `RecurrentCell`, `ALIFParameters`."""

    recipe = recipes.ALIF


class ALIF(Module):
    """Adaptive LIF neuron over sequences; arguments: `Module`, `ALIFParameters`.

    Examples:
        >>> import torch
        >>> spikes, state = ALIF()(torch.rand(50, 8, 3))  # (T, batch, neuron)
        >>> spikes.shape
        torch.Size([50, 8, 3])
    """

    recipe = recipes.ALIF


class ALIFRecurrent(RecurrentModule):
    """Adaptive LIF neuron with recurrent weights over sequences; arguments: `RecurrentModule`, `ALIFParameters`."""

    recipe = recipes.ALIF


class STDPALIFCell(Cell):
    """STDP-ALIF neuron, one step; equations in `snn_neuromod.dynamics.stdp_alif`.

    Arguments: `Cell`, with `ALIFParameters`.
    """

    recipe = recipes.STDPALIF


class STDPALIFRecurrentCell(RecurrentCell):
    """STDP-ALIF neuron with recurrent weights, one step; arguments: `RecurrentCell`, `ALIFParameters`."""

    recipe = recipes.STDPALIF


class STDPALIF(Module):
    """STDP-ALIF neuron over sequences; arguments: `Module`, `ALIFParameters`.

    Examples:
        >>> import torch
        >>> spikes, state = STDPALIF()(torch.rand(50, 8, 3))  # (T, batch, neuron)
        >>> spikes.shape
        torch.Size([50, 8, 3])
    """

    recipe = recipes.STDPALIF


class STDPALIFRecurrent(RecurrentModule):
    """STDP-ALIF neuron with recurrent weights over sequences; arguments: `RecurrentModule`, `ALIFParameters`."""

    recipe = recipes.STDPALIF


class IzhikevichCell(Cell):
    """Izhikevich neuron, one step; equations in `snn_neuromod.dynamics.izhikevich`.

    Arguments: `Cell`, with `IzhikevichParameters`.
    """

    recipe = recipes.IZHIKEVICH


class IzhikevichRecurrentCell(RecurrentCell):
    """Izhikevich neuron with recurrent weights, one step; arguments: `RecurrentCell`, `IzhikevichParameters`."""

    recipe = recipes.IZHIKEVICH


class Izhikevich(Module):
    """Izhikevich neuron over sequences; arguments: `Module`, `IzhikevichParameters`.

    Examples:
        >>> import torch
        >>> spikes, state = Izhikevich()(10 * torch.rand(50, 8, 3))  # (T, batch, neuron)
        >>> spikes.shape
        torch.Size([50, 8, 3])
    """

    recipe = recipes.IZHIKEVICH


class IzhikevichRecurrent(RecurrentModule):
    """Izhikevich neuron with recurrent weights over sequences; arguments: `RecurrentModule`, `IzhikevichParameters`."""

    recipe = recipes.IZHIKEVICH


class SRCCell(Cell):
    """Spiking Recurrent Cell, one step; equations in `snn_neuromod.dynamics.src`.

    Arguments: `Cell`, with `SRCParameters`.
    """

    recipe = recipes.SRC


class SRCRecurrentCell(RecurrentCell):
    """Spiking Recurrent Cell with recurrent weights, one step; arguments: `RecurrentCell`, `SRCParameters`."""

    recipe = recipes.SRC


class SRC(Module):
    """Spiking Recurrent Cell over sequences; arguments: `Module`, `SRCParameters`.

    Examples:
        >>> import torch
        >>> spikes, state = SRC()(torch.rand(50, 8, 3))  # (T, batch, neuron)
        >>> spikes.shape
        torch.Size([50, 8, 3])
    """

    recipe = recipes.SRC


class SRCRecurrent(RecurrentModule):
    """Spiking Recurrent Cell with recurrent weights over sequences; arguments: `RecurrentModule`, `SRCParameters`."""

    recipe = recipes.SRC


class MSRCCell(ModulatedCell):
    """Neuromodulable SRC, one step; equations in `snn_neuromod.dynamics.msrc`.

    Arguments: `Cell`, with `MSRCParameters`. The call takes a `modulation` too.
    """

    recipe = recipes.MSRC


class MSRCRecurrentCell(RecurrentCell):
    """Neuromodulable SRC with recurrent weights, one step; arguments: `RecurrentCell`, `MSRCParameters`."""

    recipe = recipes.MSRC


class MSRC(ModulatedModule):
    """Neuromodulable SRC over sequences; arguments: `Module`, `MSRCParameters`. The call takes a `modulation` too.

    Examples:
        >>> import torch
        >>> spikes, state = MSRC()(torch.rand(50, 8, 3))  # (T, batch, neuron)
        >>> spikes.shape
        torch.Size([50, 8, 3])
    """

    recipe = recipes.MSRC


class MSRCRecurrent(RecurrentModule):
    """Neuromodulable SRC with recurrent weights over sequences; arguments: `RecurrentModule`, `MSRCParameters`."""

    recipe = recipes.MSRC


class BSRCCell(ModulatedCell):
    """Bursting SRC, one step; equations in `snn_neuromod.dynamics.bsrc`.

    Arguments: `Cell`, with `BSRCParameters`. The call takes a `modulation` too.
    """

    recipe = recipes.BSRC


class BSRCRecurrentCell(RecurrentCell):
    """Bursting SRC with recurrent weights, one step; arguments: `RecurrentCell`, `BSRCParameters`."""

    recipe = recipes.BSRC


class BSRC(ModulatedModule):
    """Bursting SRC over sequences; arguments: `Module`, `BSRCParameters`. The call takes a `modulation` too.

    Examples:
        >>> import torch
        >>> spikes, state = BSRC()(torch.rand(50, 8, 3))  # (T, batch, neuron)
        >>> spikes.shape
        torch.Size([50, 8, 3])
    """

    recipe = recipes.BSRC


class BSRCRecurrent(RecurrentModule):
    """Bursting SRC with recurrent weights over sequences; arguments: `RecurrentModule`, `BSRCParameters`."""

    recipe = recipes.BSRC
