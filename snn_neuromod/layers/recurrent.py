"""Recurrent and input weights around any neuron."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeAlias

import torch
from torch import Tensor, nn
from typing_extensions import NamedTuple

from snn_neuromod.errors import ConfigError, KindError
from snn_neuromod.kernels.products import SPIKE_DTYPES, spike_linear
from snn_neuromod.layers.base import Layer, S
from snn_neuromod.layers.delays import Delay, SynapticDelays, checked_delay
from snn_neuromod.layers.fixed import Fixed
from snn_neuromod.layers.parameters import positive_integer
from snn_neuromod.layers.times import in_steps
from snn_neuromod.learning.rules import LearningRule, Rule, in_force, resolve

Mask: TypeAlias = Tensor | Callable[..., Tensor]
"""Which synapses are there: a matrix of booleans or of zeros and ones, (neuron to, neuron or input from), or what makes
one from its two sizes, such as `snn_neuromod.connectivity.Random`."""


class RecurrentState(NamedTuple, Generic[S]):
    """State of a recurrent layer.

    Attributes:
        neuron: State of its neurons.
        spikes: Spikes of the last step, (batch, neuron).
        earlier: Spikes of the steps before it that delays of more than one step read, (longest delay - 1, batch,
            neuron), oldest first; None where there are no such delays.
    """

    neuron: S
    spikes: Tensor
    earlier: Tensor | None = None


class Recurrent(Fixed, nn.Module, Generic[S]):
    r"""Input weights and all-to-all recurrent weights around a layer of neurons.

    $I_t = W_\text{in} x_t + W_\text{rec} z_{t-d}$, without self-connections; the delay d is one step unless set, and
    may differ from synapse to synapse: one matrix product per step and distinct delay. $W_\text{in} x$ is one matrix
    product for all steps: a state passed on gives the same run up to the rounding of that product.

    A mask says which synapses are there. The weight of an absent one is zero, in the sum above and as a parameter, and
    gets no gradient, so that no optimiser moves it. Masks belong to the `state_dict` and may be changed in place, which
    is what `snn_neuromod.rewiring` does.

    Args:
        neuron: The layer of N neurons.
        in_features: Number of inputs.
        learning_rule: "bptt"; "eprop": the gradient does not pass through the recurrent spikes, which is e-prop in its
            exact factorised form (Bellec et al. 2020); "khop": e-prop with one hop through the recurrent weights;
            "rflo": e-prop without the paths of adaptation and reset; "ostl", "ottt": e-prop and RFLO where the layer
            below gets the credit of each instant; or an object of `snn_neuromod.learning.rules`, such as `KHop(2)`. It
            may be set again later, and `loss.backward()` is all there is to call.
        mask_in: Which input synapses are there, (N, in_features); None: all.
        mask_rec: Which recurrent synapses are there, (N, N); None: all. Self-connections are absent whatever it says.
        delay: Delay of the recurrent spikes in steps, >= 1, or as `Ms`: one number, (N,) by presynaptic neuron
            (axonal), or (N, N) by synapse (row: to, column: from; the diagonal is not read), or what makes them from N,
            such as `snn_neuromod.connectivity.RandomDelays`. None: the neuron's own `delay`.

    Attributes:
        w_in: Input weights (N, in_features), drawn from N(0, 1 / K), where K of its inputs reach the neuron.
        w_rec: Recurrent weights (N, N), zero on the diagonal; row: to, column: from. Drawn from N(0, 1 / (p N)), where
            the fraction p of the N - 1 other neurons reach the neuron.
        mask_in: Boolean, or None.
        mask_rec: Boolean, False on the diagonal, or None.
        neuron: The layer.
        delay: The delay in steps, a number or a tensor.

    Raises:
        ValueError: If `in_features` is not positive, `learning_rule` is unknown, the layer has no number of neurons, or
            a mask has another shape or other values than 0 and 1, or `delay` is not made of integers >= 1 or of another
            shape.
        TypeError: If `neuron` is not a layer of this package, a mask neither a tensor nor callable, or `delay` not of
            numbers.

    Examples:
        >>> import torch
        >>> from snn_neuromod import ALIF
        >>> net = Recurrent(ALIF(20), in_features=5, learning_rule="eprop")
        >>> spikes, state = net(torch.rand(30, 8, 5))  # (T, batch, in_features)
        >>> spikes.shape
        torch.Size([30, 8, 20])
    """

    mask_in: Tensor | None
    mask_rec: Tensor | None
    fixed: ClassVar[frozenset[str]] = frozenset({"in_features"})

    def __init__(
        self,
        neuron: Layer[S, Any],
        in_features: int,
        *,
        learning_rule: LearningRule = "bptt",
        mask_in: Mask | None = None,
        mask_rec: Mask | None = None,
        delay: Delay | Callable[[int], Tensor] | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(neuron, Layer):
            raise KindError(
                f"Recurrent: neuron must be a layer such as ALIF(100), got {type(neuron).__name__}"
            )
        if neuron.num_neurons is None:
            raise ConfigError("Recurrent: neuron must have a number of neurons, got None")
        n = neuron.num_neurons
        self.neuron = neuron
        self.in_features = positive_integer("Recurrent", "in_features", in_features)
        self.learning_rule = learning_rule
        self.rule.paths(neuron.dynamics)  # whether it can serve this neuron
        given = getattr(neuron, "delay", 1) if delay is None else delay
        given = given(n) if callable(given) and not isinstance(given, Tensor) else given
        given = in_steps("Recurrent", given, getattr(neuron, "dt", None))
        self.delays = SynapticDelays(checked_delay("Recurrent", given, n, by_synapse=True))
        self.w_in = nn.Parameter(torch.empty(n, self.in_features))
        self.w_rec = nn.Parameter(torch.empty(n, n))
        self._masks = {"mask_in": mask_in, "mask_rec": mask_rec}
        for name, mask in self._made_masks().items():
            self.register_buffer(name, mask)
        self._draw()

    @property
    def learning_rule(self) -> LearningRule:
        """Which part of the gradient is followed, as it was given; it may be set again at any time."""
        return self._learning_rule

    @learning_rule.setter
    def learning_rule(self, learning_rule: LearningRule) -> None:
        self.rule = resolve("Recurrent", learning_rule)
        self._learning_rule = learning_rule

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw weights and masks anew and give neurons and delays their first values, for instance after `to_empty`."""
        self.neuron.reset_parameters()
        self.delays.reset_parameters()
        for name, mask in self._made_masks().items():
            if mask is not None:
                getattr(self, name).copy_(mask)
        self._draw()

    def _draw(self) -> None:
        n = self.w_rec.shape[0]
        with torch.no_grad():
            self.w_in.copy_(torch.randn(n, self.in_features) / self.in_features**0.5)
            self.w_rec.copy_(torch.randn(n, n) / n**0.5)
        self.remove_absent(rescale=True)

    def _made_masks(self) -> dict[str, Tensor | None]:
        n = self.w_rec.shape[0]
        sizes = {"mask_in": (n, self.in_features), "mask_rec": (n, n)}
        device = self.w_rec.device
        with torch.device("cpu"):  # values are read, also where layers are made on the meta device
            made = {
                name: _mask(name, mask, *sizes[name], recurrent=name == "mask_rec")
                for name, mask in self._masks.items()
            }
        return {name: None if mask is None else mask.to(device) for name, mask in made.items()}

    @property
    def diagonal(self) -> Tensor:
        """True where a neuron would be its own sender, (N, N)."""
        return torch.eye(self.w_rec.shape[0], dtype=torch.bool, device=self.w_rec.device)

    @torch.no_grad()
    def remove_absent(self, *, rescale: bool = False) -> None:
        r"""Set the weights of absent synapses to zero, in place; to be called after weights were set by hand.

        Args:
            rescale: Divide the weights of a neuron by $\sqrt p$ where the fraction p of its synapses is there, so that
                its input has the variance that it would have with all of them.
        """
        others = max(1, self.w_rec.shape[0] - 1)
        for weight, mask, possible in (
            (self.w_in, self.mask_in, self.in_features),
            (self.w_rec, self.mask_rec, others),
        ):
            if mask is not None:
                weight.masked_fill_(~mask, 0.0)
                if rescale:
                    weight.mul_((possible / mask.sum(1, keepdim=True).clamp(min=1)).sqrt())
        self.w_rec.fill_diagonal_(0.0)

    def weights(self) -> tuple[Tensor, Tensor]:
        """Weights as they act: `w_in` and `w_rec` with exact zeros where there is no synapse.

        Raises:
            ValueError: If they were replaced by weights of another shape.
        """
        n = self.neuron.num_neurons
        for name, weight, shape in (
            ("w_in", self.w_in, (n, self.in_features)),
            ("w_rec", self.w_rec, (n, n)),
        ):
            if weight.shape != shape:
                raise ConfigError(
                    f"Recurrent: {name} must have shape {shape}, got {tuple(weight.shape)}"
                )
        w_in = self.w_in if self.mask_in is None else self.w_in.masked_fill(~self.mask_in, 0.0)
        absent = self.diagonal if self.mask_rec is None else self.diagonal | ~self.mask_rec
        return w_in, self.w_rec.masked_fill(absent, 0.0)

    @property
    def delay(self) -> int | Tensor:
        """Delay of the recurrent spikes in steps: one number, (N,) by presynaptic neuron, or (N, N) by synapse."""
        return self.delays.given

    def initial_state(self, x: Tensor) -> RecurrentState[S]:
        """State before the first step for the input of one step, (batch, in_features)."""
        return self._at_rest(spike_linear(x, self.w_in, backend=self.neuron.backend))

    def _at_rest(self, current: Tensor) -> RecurrentState[S]:
        """State before the first step for its weighted input, (batch, N)."""
        neuron = self.neuron.initial_state(current)
        spikes = torch.zeros_like(neuron[0])
        more = self.delays.steps[-1] - 1
        return RecurrentState(
            neuron, spikes, spikes.repeat(more, *[1] * spikes.ndim) if more else None
        )

    def forward(
        self,
        x: Tensor,
        state: RecurrentState[S] | None = None,
        *,
        modulation: Tensor | None = None,
    ) -> tuple[Tensor, RecurrentState[S]]:
        """Run the layer over a sequence.

        Args:
            x: Input, time first, (T, batch, in_features): floating point, or spikes as bytes as of `SpikeLinear`.
            state: State after an earlier sequence; None: at rest.
            modulation: Replaces the modulation of an mSRC or BSRC step by step; broadcastable to (T, batch, N).

        Returns:
            spikes: (T, batch, N).
            state: State after the last step.

        Raises:
            ValueError: If `x` has no time axis, no steps or another number of features, or `state` or `modulation` does
                not fit it.
            TypeError: If `x` is neither floating point nor bytes, or `modulation` is given to a neuron that has none.
        """
        if not x.is_floating_point() and x.dtype not in SPIKE_DTYPES:
            raise KindError(
                f"Recurrent: x must be floating point, or spikes as uint8 or bool, got {x.dtype}; convert with .float()"
            )
        if x.ndim < 2 or x.shape[-1] != self.in_features or x.shape[0] == 0:
            raise ConfigError(
                f"Recurrent: x must have shape (T, batch, {self.in_features}) with at least one step, "
                f"got {tuple(x.shape)}"
            )
        w_in, w_rec = self.weights()
        rule, product = in_force(self.rule), partial(spike_linear, backend=self.neuron.backend)
        current, below = rule.weigh(x, w_in, product)
        state = self._at_rest(current[0]) if state is None else RecurrentState(*state)
        return self.run(current, state, w_rec, rule=rule, below=below, modulation=modulation)

    if TYPE_CHECKING:
        __call__ = forward

    def run(
        self,
        current: Tensor,
        state: RecurrentState[S],
        w_rec: Tensor,
        *,
        rule: Rule,
        below: Tensor | None = None,
        modulation: Tensor | None = None,
        params: Mapping[str, Tensor] | None = None,
    ) -> tuple[Tensor, RecurrentState[S]]:
        """Run the neurons from an input that is weighted already; `forward` is the call to use.

        Args:
            current: Weighted input, time first, (T, batch, N).
            state: State before the first step.
            w_rec: Recurrent weights as they act, (N, N).
            rule: Which part of the gradient is followed.
            below: As of `Layer.forward_recurrent`.
            modulation: As of `forward`.
            params: Values that replace the layer's own in the neuron's `Params`.

        Returns:
            spikes: (T, batch, N).
            state: State after the last step.

        Raises:
            ValueError: If `state` does not fit the input.
        """
        past = self._past(state, current)
        spikes, neuron_state = self.neuron.forward_recurrent(
            current,
            state.neuron,
            w_rec,
            past,
            rule=rule,
            below=below,
            modulation=modulation,
            delays=self.delays.groups,
            params=params,
        )
        return spikes, RecurrentState(neuron_state, spikes[-1], self._earlier(past, spikes))

    def _past(self, state: RecurrentState[S], current: Tensor) -> Tensor:
        """Spikes before the first step, (longest delay, batch, neuron), checked."""
        if state.spikes.shape != current.shape[1:]:
            raise ConfigError(
                f"Recurrent: state spikes must have shape {tuple(current.shape[1:])} to fit the input, "
                f"got {tuple(state.spikes.shape)}"
            )
        more = self.delays.steps[-1] - 1
        if not more:
            return state.spikes[None]
        wanted = (more, *current.shape[1:])
        if state.earlier is None or state.earlier.shape != wanted:
            got = None if state.earlier is None else tuple(state.earlier.shape)
            raise ConfigError(
                f"Recurrent: state earlier must have shape {wanted} to fit the input and the longest delay, got {got}"
            )
        return torch.cat([state.earlier, state.spikes[None]])

    def _earlier(self, past: Tensor, spikes: Tensor) -> Tensor | None:
        """Spikes before the last step that the next segment reads."""
        longest = self.delays.steps[-1]
        if longest == 1:
            return None
        return torch.cat([past.to(spikes.dtype), spikes[-longest:]])[-longest:-1]

    def extra_repr(self) -> str:
        parts = [f"in_features={self.in_features}", f"learning_rule={self.learning_rule!r}"]
        masks = {"mask_in": self.mask_in, "mask_rec": self.mask_rec}
        parts += [
            f"{k}={int(m.sum())} of {m.numel()}"
            for k, m in masks.items()
            if m is not None and not m.is_meta
        ]
        if not isinstance(self.delay, int) or self.delay > 1:
            parts.append(
                f"delay={self.delay if isinstance(self.delay, int) else tuple(self.delay.shape)}"
            )
        return ", ".join(parts)


def _mask(
    name: str, mask: Mask | None, num_to: int, num_from: int, *, recurrent: bool = False
) -> Tensor | None:
    """A mask as a boolean tensor of its own."""
    if mask is None:
        return None
    if isinstance(mask, type) or not (isinstance(mask, Tensor) or callable(mask)):
        raise KindError(
            f"Recurrent: {name} must be a tensor or a connectivity such as Random(sparsity=0.8), got {mask!r}"
        )
    made = mask if isinstance(mask, Tensor) else mask(num_to, num_from, recurrent=recurrent)
    if tuple(made.shape) != (num_to, num_from):
        raise ConfigError(
            f"Recurrent: {name} must have shape ({num_to}, {num_from}), row: to, column: from, got {tuple(made.shape)}"
        )
    if made.dtype != torch.bool and not ((made == 0) | (made == 1)).all():
        raise ConfigError(f"Recurrent: {name} must hold zeros and ones only, got {made.dtype}")
    found = made.detach().to(torch.bool).clone()
    return found.fill_diagonal_(False) if recurrent else found
