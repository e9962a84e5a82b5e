"""Weights among the neurons of a layer as the C sources take them, see `c/weights.h`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from snn_neuromod.kernels.call import Call


class Wiring(NamedTuple):
    """Weights among the neurons of a layer, contiguous.

    Attributes:
        past: Spikes before the first step, (longest delay, ..., neuron), oldest first.
        weights: Of all groups of synapses with one delay, one after the other, rows padded to 64 bytes.
        groups: How many there are, the longest delay, and of each its delay and number of senders.
        sources: The neurons that send, int64, group after group; None: all.
        given: Input from outside, or gradients of the spikes; put in where a kernel is called.
    """

    past: Tensor
    weights: Tensor
    groups: Sequence[int]
    sources: Tensor | None = None
    given: Tensor | None = None


def wiring(call: Call, *, back: bool) -> Wiring:
    """What the kernels of a layer with recurrent weights need of them.

    Args:
        call: A sequence with recurrent weights.
        back: Whether gradients go back through them, or spikes forth.
    """
    past, *weights = call.recurrent
    pairs = zip(call.delays, weights, strict=True)
    groups = [len(weights), len(past), *(k for d, w in pairs for k in (d, w.shape[1]))]
    # Where all neurons send with every delay nothing is picked, which is faster.
    fewer = any(len(s) < past.shape[-1] for s in call.sources)
    sources = torch.cat([*call.sources]) if fewer else None
    joined = _joined(weights if back else [w.T for w in weights])
    return Wiring(past.contiguous(), joined, groups, sources)


def _joined(weights: Sequence[Tensor]) -> Tensor:
    """All weights in one row, each matrix with rows of whole vectors of 64 bytes."""
    padded = [functional.pad(w, (0, -w.shape[1] % (64 // w.element_size()))) for w in weights]
    return torch.cat([w.flatten() for w in padded]) if len(padded) > 1 else padded[0].contiguous()
