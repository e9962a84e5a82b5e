"""Readouts: leaky integrators of weighted spikes."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from snn_neuromod.dynamics.leaky_integrator import Params, State
from snn_neuromod.errors import ConfigError, KindError
from snn_neuromod.kernels.backends import Backend
from snn_neuromod.layers.base import Layer
from snn_neuromod.layers.fixed import Fixed
from snn_neuromod.layers.parameters import Value, positive, positive_integer
from snn_neuromod.learning.eprop.feedback import linear_with_feedback

Feedback = Literal["symmetric", "random", "adaptive"]


class LeakyIntegrator(Layer[State, Params]):
    r"""Exponential filter; equations in `snn_neuromod.dynamics.leaky_integrator`.

    Args:
        num_neurons: Number of filters; None for inputs of any shape.
        tau: Time constant in ms, > 0; inf is a running sum.
        dt: Time step in ms, > 0.
        normalise: Weigh the input by 1 - kappa, so that a constant input is its own fixed point; needs a finite tau.
        learn: `["tau"]` learns the time constant.
        backend: Asks for a backend by name, see `kernels.backends`; None: as `kernels.use` or the environment says.

    Raises:
        ValueError: If an argument is outside its range.

    Examples:
        >>> import torch
        >>> y, state = LeakyIntegrator(3, tau=10.0)(torch.ones(50, 1, 3))
        >>> bool(y[-1, 0, 0] > y[0, 0, 0])
        True
    """

    tau: Tensor
    dynamics_name = "leaky_integrator"

    def __init__(
        self,
        num_neurons: int | None,
        *,
        tau: Value = 20.0,
        dt: float = 1.0,
        normalise: bool = False,
        learn: Collection[str] = (),
        backend: Backend | None = None,
    ) -> None:
        super().__init__(num_neurons, {"tau": tau}, learn, backend=backend)
        self.dt, self.normalise = dt, normalise

    def _checked(self, name: str, value: Any) -> Any:
        if name == "dt":
            return positive(type(self).__name__, name, value)
        if name == "normalise" and value and not self._finite():
            raise ConfigError(
                f"{type(self).__name__}: tau must be finite with normalise=True, got inf"
            )
        return super()._checked(name, value)

    def _finite(self) -> bool:
        return self.tau.is_meta or bool(torch.isfinite(self.value("tau")).all())

    def step_options(self) -> dict[str, Any]:
        return {"normalise": self.normalise}


class LeakyReadout(Fixed, nn.Module):
    r"""Readout $y_t = \kappa y_{t-1} + W_\text{out} z_t + b$ with a choice of feedback weights.

    Args:
        in_features: Number of neurons read.
        out_features: Number of outputs.
        tau_out: Time constant in ms, > 0, one for all outputs or one for each; inf sums without a leak.
        dt: Time step in ms, > 0.
        feedback: How the error reaches the neurons: "symmetric" through W_out, "random" through fixed weights
            B ~ N(0, 1), "adaptive" through a B that starts from N(0, 1 / in_features) and receives W_out's gradient.
        bias: Whether there is a bias.
        bias_inside: Bias inside the leak, as in Bellec et al., or added to the filtered output.
        normalise: Weigh the filter's input by 1 - kappa.
        backend: Asks for a backend by name, see `kernels.backends`; None: as `kernels.use` or the environment says.

    Attributes:
        w_out: Weights (out_features, in_features), drawn from N(0, 1 / in_features).
        bias: Bias (out_features,), zero at first, or None.
        b_feedback: Feedback weights (out_features, in_features), or None if symmetric.

    Raises:
        ValueError: If an argument is outside its range.

    References:
        Bellec et al., Nat. Commun. 11:3625 (2020), Eq. (11).

    Examples:
        >>> import torch
        >>> readout = LeakyReadout(100, 10, tau_out=20.0, feedback="random")
        >>> y, state = readout(torch.ones(50, 8, 100))  # (T, batch, in_features)
        >>> y.shape
        torch.Size([50, 8, 10])
    """

    b_feedback: Tensor | None
    fixed: ClassVar[frozenset[str]] = frozenset({"feedback"})

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        tau_out: Value = 20.0,
        dt: float = 1.0,
        feedback: Feedback = "symmetric",
        bias: bool = True,
        bias_inside: bool = True,
        normalise: bool = False,
        backend: Backend | None = None,
    ) -> None:
        super().__init__()
        in_features = positive_integer("LeakyReadout", "in_features", in_features)
        out_features = positive_integer("LeakyReadout", "out_features", out_features)
        if feedback not in get_args(Feedback):
            raise ConfigError(
                f"LeakyReadout: feedback must be one of {', '.join(get_args(Feedback))}, got {feedback!r}"
            )
        self.feedback, self.bias_inside = feedback, bias_inside
        self.filter = LeakyIntegrator(
            out_features, tau=tau_out, dt=dt, normalise=normalise, backend=backend
        )
        size = in_features**0.5
        self.w_out = nn.Parameter(torch.randn(out_features, in_features) / size)
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None
        if feedback == "symmetric":
            self.b_feedback = None
        else:
            adaptive = feedback == "adaptive"
            b = torch.randn(out_features, in_features) / (size if adaptive else 1)
            self.b_feedback = nn.Parameter(b, requires_grad=adaptive)

    def forward(self, spikes: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Read a sequence of spikes.

        Args:
            spikes: Time first, (T, batch, in_features).
            state: State after an earlier sequence; None: empty.

        Returns:
            y: Outputs, (T, batch, out_features).
            state: State after the last step.

        Raises:
            ValueError: If `spikes` has no time axis, no steps or another number of features, or `state` does not fit
                it.
            TypeError: If `spikes` is not of a floating-point type.
        """
        _check("LeakyReadout", spikes, self.w_out)
        if self.b_feedback is None:
            weighted = nn.functional.linear(spikes, self.w_out)
        else:
            weighted = linear_with_feedback(spikes, self.w_out, self.b_feedback)
        if self.bias is None:
            return self.filter(weighted, state)
        if self.bias_inside:
            return self.filter(weighted + self.bias, state)
        y, after = self.filter(weighted, state)
        return y + self.bias, after

    if TYPE_CHECKING:
        __call__ = forward

    def extra_repr(self) -> str:
        return f"{self.w_out.shape[1]}, {self.w_out.shape[0]}, feedback={self.feedback!r}"


class PopulationReadout(Fixed, nn.Module):
    r"""Fixed readout of populations: each class is voted for by neurons of its own.

    $R_t = a R_{t-1} + W_\text{ro} s_t$, where $W_\text{ro}$ is `own` from a class's neurons and `others` from the rest.

    Args:
        in_features: Number of neurons read, a multiple of `num_classes`; class k owns the k-th block of them.
        num_classes: Number of classes.
        decay: Decay a per step, in (0, 1].
        own: Weight from a class's own neurons.
        others: Weight from the others.
        backend: Asks for a backend by name, see `kernels.backends`; None: as `kernels.use` or the environment says.

    Raises:
        ValueError: If `in_features` is no multiple of `num_classes` or `decay` is outside (0, 1].

    References:
        De Geeter et al., arXiv 2306.03623, Section 2.4.

    Examples:
        >>> import torch
        >>> y, _ = PopulationReadout(100, 10)(torch.ones(50, 8, 100))
        >>> y.shape
        torch.Size([50, 8, 10])
    """

    w_out: Tensor
    fixed: ClassVar[frozenset[str]] = frozenset({"decay"})

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        decay: float = 0.99,
        own: float = 1.0,
        others: float = -0.1,
        backend: Backend | None = None,
    ) -> None:
        super().__init__()
        num_classes = positive_integer("PopulationReadout", "num_classes", num_classes)
        in_features = positive_integer("PopulationReadout", "in_features", in_features)
        if in_features % num_classes:
            raise ConfigError(
                f"PopulationReadout: in_features must be a multiple of num_classes={num_classes}, got {in_features}"
            )
        if not 0 < decay <= 1:
            raise ConfigError(f"PopulationReadout: decay must lie in (0, 1], got {decay}")
        self.decay = decay
        tau = math.inf if decay == 1 else -1 / math.log(decay)
        self.filter = LeakyIntegrator(num_classes, tau=tau, backend=backend)
        owner = torch.arange(in_features) // (in_features // num_classes)
        mine = owner == torch.arange(num_classes)[:, None]
        self.register_buffer("w_out", torch.where(mine, own, others))

    def forward(self, spikes: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Read a sequence of spikes.

        Args:
            spikes: Time first, (T, batch, in_features).
            state: State after an earlier sequence; None: empty.

        Returns:
            votes: (T, batch, num_classes).
            state: State after the last step.

        Raises:
            ValueError: If `spikes` has no time axis, no steps or another number of features, or `state` does not fit
                it.
            TypeError: If `spikes` is not of a floating-point type.
        """
        _check("PopulationReadout", spikes, self.w_out)
        return self.filter(nn.functional.linear(spikes, self.w_out), state)

    if TYPE_CHECKING:
        __call__ = forward

    def extra_repr(self) -> str:
        return f"{self.w_out.shape[1]}, {self.w_out.shape[0]}, decay={self.decay}"


def _check(who: str, spikes: Tensor, w_out: Tensor) -> None:
    if not spikes.is_floating_point():
        raise KindError(
            f"{who}: spikes must be a floating-point tensor, got {spikes.dtype}; convert them with .float()"
        )
    if spikes.ndim < 2 or spikes.shape[-1] != w_out.shape[1] or spikes.shape[0] == 0:
        raise ConfigError(
            f"{who}: spikes must have shape (T, batch, {w_out.shape[1]}) with at least one step, "
            f"got {tuple(spikes.shape)}"
        )
