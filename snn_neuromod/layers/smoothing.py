"""Smoothing of outputs over time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from snn_neuromod.errors import ConfigError
from snn_neuromod.layers.parameters import positive_integer
from snn_neuromod.layers.readout import LeakyIntegrator


class SmoothingState(NamedTuple):
    """State of a causal `Smoothing`.

    Attributes:
        weighted: What the past gives to the sum over outputs.
        weight: What it gives to the sum of weights.
    """

    weighted: Any
    weight: Any


class Smoothing(nn.Module):
    r"""Weighted mean of the outputs around each step.

    $$\bar y_t = \frac{\sum_s k(t - s)\, y_s}{\sum_s k(t - s)}$$

    over the steps s that the sequence has, so that a constant stays what it is, from the first step to the last. With a
    time constant $k(d) = e^{-\lvert d \rvert \Delta t / \tau}$; with a window of n steps k is 1 inside and 0 outside. A
    causal filter reads the past and the present, d >= 0, and may run on-line; a centred one reads the future too. Its
    gradient is exact: an error reaches all steps that were averaged.

    Args:
        tau: Time constant in ms, > 0.
        window: Number of steps n, >= 1, instead of `tau`; odd if centred.
        centred: Read the future as well.
        dt: Time step in ms, > 0; for outputs per frame the distance of frames.

    Raises:
        ValueError: If not exactly one of `tau` and `window` is given, or an argument is outside its range.

    Examples:
        >>> import torch
        >>> y = torch.tensor([0.0, 0.0, 3.0, 0.0])[:, None, None]  # (T, batch, output)
        >>> Smoothing(window=3)(y)[0].flatten().tolist()
        [0.0, 0.0, 1.0, 1.0]
        >>> Smoothing(window=3, centred=True)(y)[0].flatten().tolist()
        [0.0, 1.0, 1.0, 1.5]
    """

    def __init__(
        self,
        *,
        tau: float | None = None,
        window: int | None = None,
        centred: bool = False,
        dt: float = 1.0,
    ) -> None:
        super().__init__()
        if (tau is None) == (window is None):
            raise ConfigError(
                f"Smoothing: exactly one of tau and window must be given, got {tau} and {window}"
            )
        if tau is not None and not 0 < tau < math.inf:
            raise ConfigError(f"Smoothing: tau must be > 0 and finite, got {tau}")
        if not dt > 0:
            raise ConfigError(f"Smoothing: dt must be > 0, got {dt}")
        if window is not None:
            window = positive_integer("Smoothing", "window", window)
            if centred and window % 2 == 0:
                raise ConfigError(f"Smoothing: window must be odd with centred=True, got {window}")
        self.tau, self.window, self.centred, self.dt = tau, window, centred, dt
        self.filter = None if tau is None else LeakyIntegrator(None, tau=tau, dt=dt)

    def forward(
        self,
        y: Tensor,
        state: SmoothingState | None = None,
        *,
        lengths: Tensor | None = None,
    ) -> tuple[Tensor, SmoothingState | None]:
        """Smooth a batch of sequences.

        Args:
            y: Outputs, time first, (T, batch, output).
            state: State after an earlier part; None: the sequences begin here. A centred filter has none.
            lengths: Steps of each sequence, (batch,); what lies behind is not read and comes out as zero. None: all T.

        Returns:
            smoothed: (T, batch, output).
            state: State after the last step, or None if centred.

        Raises:
            ValueError: If `y` is not (T, batch, output) or `lengths` not (batch,), or a centred filter gets a state.
        """
        if y.ndim != 3 or y.shape[0] == 0:
            raise ConfigError(
                f"Smoothing: y must have shape (T, batch, output) with at least one step, got {tuple(y.shape)}"
            )
        if self.centred and state is not None:
            raise ConfigError(
                "Smoothing: state must be None with centred=True, which needs whole sequences"
            )
        inside = torch.ones_like(y[..., :1])
        if lengths is not None:
            lengths = torch.as_tensor(lengths, device=y.device)
            if lengths.shape != y.shape[1:2]:
                raise ConfigError(
                    f"Smoothing: lengths must have shape ({y.shape[1]},), one for each sequence, "
                    f"got {tuple(lengths.shape)}"
                )
            steps = torch.arange(len(y), device=y.device)[:, None, None]
            behind = steps >= lengths[:, None]
            inside, y = inside.masked_fill(behind, 0.0), y.masked_fill(behind, 0.0)
        average = self._centred if self.centred else self._causal
        past = (None, None) if state is None else state
        (total, after), (norm, norm_after) = average(y, past[0]), average(inside, past[1])
        smoothed = total * inside / norm.clamp(min=torch.finfo(norm.dtype).tiny)
        return smoothed, None if self.centred else SmoothingState(after, norm_after)

    if TYPE_CHECKING:
        __call__ = forward

    def _causal(self, y: Tensor, past: Any) -> tuple[Tensor, Any]:
        """Sum over past and present."""
        if self.filter is not None:
            out: tuple[Tensor, Any] = self.filter(y, past)
            return out
        more = (self.window or 1) - 1
        past = y.new_zeros(more, *y.shape[1:]) if past is None else past
        read = torch.cat([past, y])
        return self._windows(read), read[len(read) - more :]

    def _centred(self, y: Tensor, _: Any) -> tuple[Tensor, Any]:
        """Sum over past, present and future."""
        if self.filter is not None:
            forwards, _ = self.filter(y)
            backwards, _ = self.filter(y.flip(0))
            return forwards + backwards.flip(0) - y, None
        half = (self.window or 1) // 2
        return self._windows(functional.pad(y, (0, 0, 0, 0, half, half))), None

    def _windows(self, y: Tensor) -> Tensor:
        """Mean over each window that lies inside; the number of steps cancels out."""
        columns = functional.avg_pool1d(y.permute(1, 2, 0), self.window or 1, stride=1)
        return columns.permute(2, 0, 1)

    def extra_repr(self) -> str:
        width = f"window={self.window}" if self.tau is None else f"tau={self.tau:g}, dt={self.dt:g}"
        return f"{width}, centred={self.centred}"
