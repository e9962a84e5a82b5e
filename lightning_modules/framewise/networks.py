"""Recurrent spiking networks that give class scores for each frame of a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_modules.arguments import (
    POSITIVE,
    ZERO_OR_MORE,
    check,
    check_sequences,
    layer_sizes,
    per_layer,
)
from lightning_modules.networks import NetworkOutput, Neuron, Readout
from lightning_modules.precision import as_weights, at_least_float32, read_exactly
from snn_neuromod import Bidirectional, LeakyReadout, Ms, Recurrent, RecurrentStack, Smoothing
from snn_neuromod.connectivity import DelayMap, Wiring
from snn_neuromod.errors import ConfigError
from snn_neuromod.layers import Layer
from snn_neuromod.layers.parameters import positive_integer
from snn_neuromod.layers.stack import Credit
from snn_neuromod.learning.eprop.network import warn_of_time_steps
from snn_neuromod.learning.rules import LearningRule

__all__ = ["FramewiseNetwork", "check_delay", "frames"]

Rate = Literal["step", "frame"]


class FramewiseNetwork(nn.Module):
    r"""Recurrent spiking layers over a sequence of frames, all read by one leaky readout.

    Each frame is presented for `n_repeat` steps (of the neuron's `dt`, 1 ms), and the readout is averaged over them; or
    the spikes are, and the readout filters frames.

    Args:
        sizes: Number of features, then the number of neurons of each layer, for instance `[39, 100]`.
        neuron: Makes the neurons of a layer from their number, for instance `snn_neuromod.ALIF`.
        num_classes: Number of classes.
        learning_rule: "eprop" or "bptt".
        credit: Whether a layer learns from the readout's error alone ("broadcast") or also from the layers above
            ("spatial"); None is broadcast for e-prop and spatial for BPTT, each rule as it is usually meant.
        bidirectional: Add a second network of the same sizes that reads the frames backwards; the readout sees both.
        n_repeat: Steps for each frame, >= 1.
        output_delay: Frames that the readout lags behind, >= 0: the scores of frame t are read while frame
            t + `output_delay` is presented, so that a network that only looks back knows that much of what follows. The
            last frames of a sequence see zeros (the mean of z-scored features) in the place of what would follow.
        readout: Makes the readout from the numbers of neurons and of classes.
        readout_rate: Whether the readout filters at every "step" and is averaged over the steps of a frame, or the
            spikes are averaged over them and the readout filters at every "frame", a frame being one `dt` to it.
        gain: Factor of the first weights of the inputs, > 0, on top of N(0, 1 / fan-in). Izhikevich neurons need
            currents of tens.
        recurrent_gain: The same for the recurrent weights; None takes `gain`.
        mask_in: Which input synapses of each layer are there, such as `snn_neuromod.connectivity.Random`, called with
            the sizes; one for all layers or one for each; None: all.
        mask_rec: The same for the recurrent synapses.
        delay: Delay of the recurrent spikes in steps or as `Ms`, one number, one per neuron, or what makes delays from
            the number of neurons, such as `snn_neuromod.connectivity.RandomDelays`; None: the neurons' own.
        smoothing: Smooths the class scores over frames; `output_delay` is taken off first.

    Attributes:
        stacks: The layers of each direction.
        readout: The readout.
        layer_names: What the spikes of `forward` are called: "1", "2", ..., of the second direction "1_backward", ...

    Raises:
        ValueError: If an argument is outside its range.

    References:
        Bellec et al., Nat. Commun. 11:3625 (2020), Methods, "phoneme recognition".

    Examples:
        >>> from snn_neuromod import ALIF
        >>> net = FramewiseNetwork([39, 100], neuron=ALIF, num_classes=61, n_repeat=5)
        >>> outputs, spikes = net(torch.randn(30, 2, 39))  # (frames, batch, features)
        >>> outputs.shape, spikes[0].shape
        (torch.Size([30, 2, 61]), torch.Size([150, 2, 100]))
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        neuron: Neuron,
        num_classes: int,
        learning_rule: LearningRule = "eprop",
        credit: Credit | None = None,
        bidirectional: bool = False,
        n_repeat: int = 1,
        output_delay: int = 0,
        readout: Readout = LeakyReadout,
        readout_rate: Rate = "step",
        gain: float = 1.0,
        recurrent_gain: float | None = None,
        mask_in: Wiring | list[Wiring | None] | None = None,
        mask_rec: Wiring | list[Wiring | None] | None = None,
        delay: int | list[int] | DelayMap | Ms | None = None,
        smoothing: Smoothing | None = None,
    ) -> None:
        super().__init__()
        who = "FramewiseNetwork"
        sizes = layer_sizes(who, sizes)
        recurrent_gain = gain if recurrent_gain is None else recurrent_gain
        check(who, "gain", gain, POSITIVE)
        check(who, "recurrent_gain", recurrent_gain, POSITIVE)
        check_delay(who, output_delay, bidirectional)
        check(who, "readout_rate", readout_rate, Rate)
        self.sizes, self.output_delay = sizes, output_delay
        self.num_classes = positive_integer(who, "num_classes", num_classes)
        self.n_repeat = positive_integer(who, "n_repeat", n_repeat)
        self.readout_rate = readout_rate
        self.learning_rule = learning_rule
        self.credit: Credit = credit or ("spatial" if learning_rule == "bptt" else "broadcast")

        num_layers = len(sizes) - 1
        masks_in = per_layer(who, "mask_in", mask_in, num_layers)
        masks_rec = per_layer(who, "mask_rec", mask_rec, num_layers)
        wiring = list(zip(pairwise(sizes), masks_in, masks_rec, strict=True))

        def stack() -> RecurrentStack:
            layers = [
                Recurrent(
                    neuron(n),
                    inputs,
                    learning_rule=learning_rule,
                    mask_in=first,
                    mask_rec=second,
                    delay=delay(n) if isinstance(delay, DelayMap) else delay,
                )
                for (inputs, n), first, second in wiring
            ]
            with torch.no_grad():
                for layer in layers:
                    layer.w_in.mul_(gain)
                    layer.w_rec.mul_(recurrent_gain)
            return RecurrentStack(layers, credit=self.credit)

        self.stacks = [stack(), stack()] if bidirectional else [stack()]
        self.net = Bidirectional(*self.stacks) if bidirectional else self.stacks[0]
        self.readout = readout(len(self.stacks) * sum(sizes[1:]), self.num_classes)
        warn_of_time_steps(who, self.neurons, self.readout)
        self.smoothing = smoothing
        names = [str(k) for k in range(1, len(sizes))]
        self.layer_names = names + [f"{name}_backward" for name in names if bidirectional]

    @property
    def neurons(self) -> list[Layer]:
        """The neurons of each layer, in the order of `layer_names`."""
        return [layer.neuron for layer in self.layers]

    @property
    def layers(self) -> list[Recurrent]:
        """The layers of both directions, in the order of `layer_names`."""
        return [layer for stack in self.stacks for layer in stack.layers]  # type: ignore[misc]

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> NetworkOutput:
        """Run over a batch of sequences of frames, starting at rest.

        Args:
            x: Features, time first, (T, batch, sizes[0]); zero behind a sequence's end.
            lengths: Frames of each sequence, (batch,), read by bidirectional networks and by smoothing; None: all T.

        Returns:
            outputs: Class scores of each frame, (T, batch, num_classes), at least float32.
            spikes: Spikes of each layer, (T * n_repeat, batch, neuron).

        Raises:
            ValueError: If `x` has another shape.
        """
        x = frames(self, x)
        if self.n_repeat > 1:
            x = x.repeat_interleave(self.n_repeat, dim=0)
        if isinstance(self.net, Bidirectional):
            spikes = self.net(x, None if lengths is None else lengths * self.n_repeat)
        else:
            spikes, _ = self.net(x)
        if self.readout_rate == "frame":
            outputs = read_exactly(self.readout, self._by_frame(at_least_float32(spikes)))
        else:
            outputs = self._by_frame(read_exactly(self.readout, spikes))
        outputs = outputs[self.output_delay :]
        shown = spikes[: len(outputs) * self.n_repeat]
        if self.smoothing is not None:
            outputs, _ = self.smoothing(outputs, lengths=lengths)
        widths = len(self.stacks) * self.sizes[1:]
        return NetworkOutput(outputs, list(shown.split(widths, dim=-1)))

    def _by_frame(self, x: Tensor) -> Tensor:
        """Means over the steps of each frame, from (T * n_repeat, ...)."""
        return x if self.n_repeat == 1 else x.unflatten(0, (-1, self.n_repeat)).mean(dim=1)

    def extra_repr(self) -> str:
        return f"sizes={self.sizes}, n_repeat={self.n_repeat}, output_delay={self.output_delay}"


def check_delay(who: str, output_delay: int, bidirectional: bool) -> None:
    """Refuse frames that the readout of a network cannot lag behind."""
    check(who, "output_delay", output_delay, ZERO_OR_MORE)
    if bidirectional and output_delay:
        raise ConfigError(
            f"{who}: output_delay must be 0 with bidirectional, which sees what follows, got {output_delay}"
        )


def frames(network: Any, x: Tensor) -> Tensor:
    """Features (T, batch, feature) as a framewise network runs over them, those that its readout lags behind added."""
    check_sequences(type(network).__name__, x, network.sizes[0])
    return functional.pad(as_weights(x, network), (0, 0, 0, 0, 0, network.output_delay))
