"""Layers that do not spike although they are trained on say so."""

from __future__ import annotations

import math
import warnings
import weakref
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn


class SilentLayerWarning(UserWarning):
    """A layer has been trained on and has not spiked since its last reset."""


class Audible(nn.Module):
    """Keep the largest spike since the last reset, on the device; it is read at a reset and before evaluation."""

    spike_level: ClassVar[float] = 0.0
    """What an output must exceed to be a spike, before the graded factor."""
    remedy: ClassVar[str] = "raise the weights in front of it or lower its threshold"
    """What to do where the neuron stays silent."""
    _loudest: Tensor | None = None
    _watched: bool = False
    _trained_on: bool = False
    _warned: bool = False
    _heard: bool = False
    _peak: Tensor
    graded_spikes_factor: Tensor
    _compiled: bool = False

    def _listen(self, spikes: Tensor, factor: Tensor | None = None) -> None:
        """Note the spikes of a step, where they may be trained on; `factor` is what they were multiplied with."""
        if not (self.training and spikes.requires_grad and spikes.numel()):
            return
        if torch.compiler.is_compiling():
            self._note(spikes.detach().amax())
            return
        if self._heard or torch._C._are_functorch_transforms_active():
            return
        spikes = spikes.detach()
        loudest = (spikes if factor is None else spikes / factor.detach()).amax()
        if self._loudest is not None and self._loudest.device == loudest.device:
            loudest = torch.maximum(self._loudest, loudest)
        self._loudest = loudest
        if loudest.is_cpu:  # to look at it costs nothing there, and one spike is enough
            self._heard = float(loudest) > self.spike_level

    def _note(self, loudest: Tensor) -> None:
        """Keep the largest spike inside a compiled graph, in a buffer that is always there."""
        self._peak = torch.maximum(self._peak, loudest.to(self._peak.dtype))
        self._compiled = True

    def _hush(self) -> None:
        """Begin anew to keep the largest spike of compiled steps."""
        least = self.graded_spikes_factor.detach().new_full((), -math.inf)
        self.register_buffer("_peak", least, persistent=False)
        self._compiled = False

    def _watch(self, *results: Tensor) -> None:
        """A gradient through the results of the first step that was listened to says that it was trained on."""
        if self._loudest is None or self._watched or torch.compiler.is_compiling():
            return
        self._watched = True
        for tensor in results:
            if tensor.requires_grad:
                tensor.register_hook(_telling(self))

    def warn_if_silent(self, name: str = "") -> None:
        """Warn, once, if the layer has not spiked since its last reset although it was trained on.

        `snn_neuromod.reset` and `snntorch.utils.reset` call it for every neuron of a network, `reset_mem` and `eval`
        for one; it reads a number from the device. A step inside `torch.compile`, which cannot tell, counts as trained
        on where it keeps a graph in training mode.

        Args:
            name: Name of the layer in its network.
        """
        loudest, trained_on = self._loudest, self._trained_on
        if self._compiled:
            compiled = self._peak
            loudest = compiled if loudest is None else torch.maximum(compiled, loudest.to(compiled))
            trained_on = not self._warned
            self._hush()
        self._loudest, self._watched, self._trained_on = None, False, False
        self._heard = self._warned
        if loudest is None or not trained_on or loudest.is_meta:
            return
        if float(loudest) <= self.spike_level:
            self._warned = self._heard = True
            who = f"{type(self).__name__} {name!r}" if name else f"a layer of {type(self).__name__}"
            warnings.warn(
                f"{who} has not spiked since its last reset although it was trained on: {self.remedy}",
                SilentLayerWarning,
                stacklevel=2,
            )

    def train(self, mode: bool = True) -> Any:
        """As in `torch.nn.Module`; before evaluation a silent layer is named."""
        if not mode:
            self.warn_if_silent()
        return super().train(mode)


def _telling(neuron: Audible) -> Callable[[Tensor], None]:
    """A hook that notes a gradient in the neuron; the graph does not keep the neuron alive."""
    reference = weakref.ref(neuron)

    def passed(grad: Tensor | None) -> None:
        found = reference()
        if found is not None and grad is not None:
            found._trained_on = True

    return passed
