r"""Spike encoders: intensities in [0, 1] to spike trains, time first.

Rate code: pixel $i$ of intensity $x_i$ fires at each step independently,

$$ s_{t,i} \sim \mathrm{Bernoulli}(p_\text{max} x_i). $$

Latency code: each pixel fires at most once, brighter pixels earlier. With the threshold
$\theta$, a pixel with $x_i > \theta$ fires at the step $\lfloor t_i \rfloor$ of

$$
\begin{aligned}
t_i &= \tau \ln \frac{x_i}{x_i - \theta} && \text{"log"} \\
t_i &= T \, \frac{1 - x_i}{1 - \theta}   && \text{"linear"}
\end{aligned}
$$

where $T$ is the number of steps. "log" is the time at which a leaky integrator of time constant
$\tau$ that is charged by the constant current $x_i$ crosses $\theta$; a pixel that would cross
after the window stays silent. Pixels with $x_i \le \theta$ stay silent in both mappings.

`constant` is no code: the intensities themselves at every step, a current that does not change (with
one step: the image, for a network that does not spike).

References:
    F. De Geeter, D. Ernst, G. Drion, "Spike-based computation using classical recurrent neural
    networks", Neuromorph. Comput. Eng. 4 (2024): rate code with $p_\text{max} = 0.25$ after
    20 blank steps.
    F. Zenke, S. Ganguli, "SuperSpike", Neural Comput. 30 (2018) and its tutorials: log latency with
    $\theta = 0.2$ and $\tau = T / 5$, the defaults here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from snn_neuromod.errors import ConfigError
from snn_neuromod.kernels.noise import drawn, key_of, normal, sent
from snn_neuromod.kernels.rate_code import LIMIT, rate_code

__all__ = ["Mapping", "constant", "latency", "rate"]

Mapping = Literal["log", "linear"]


def rate(
    x: Tensor,
    num_steps: int,
    *,
    p_max: float = 0.25,
    blank_steps: int = 0,
    generator: torch.Generator | None = None,
    seeds: Sequence[int] | Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    r"""Rate code: every pixel is a Bernoulli process of probability `p_max * x`.

    The noise is a function of seed, step and pixel, the same on every device; dark pixels cost nothing.
    Probabilities are rounded to multiples of 2**-24.

    Args:
        x: Intensities in [0, 1], any shape, floating point. With `seeds` its first axis counts
            the samples.
        num_steps: Coding steps, >= 1.
        p_max: Spike probability per step at intensity 1, in [0, 1].
        blank_steps: Silent steps before the coding steps, >= 0.
        generator: Random generator on the CPU or the device of `x`, from which a seed is drawn; None means
            torch's global one of that device.
        seeds: One integer per sample, instead of `generator`: sample `b` is then coded as if alone,
            by `seeds[b]` modulo 2**64, whatever else is in the batch. A tensor on the device of `x` may be written to
            between the replays of a CUDA graph.
        dtype: Of the result, also `torch.uint8` or `torch.bool`; None means that of `x`.

    Returns:
        Spikes in {0, 1}, shape `(blank_steps + num_steps, *x.shape)`.

    Raises:
        ValueError: If an argument is out of its range or `x` holds NaN. Elsewhere than on a CPU `x` is not looked at:
            that would wait for the device. Pixels outside [0, 1] count as its nearest end there, NaN as dark.
        RuntimeError: If a CUDA graph is captured and the randomness comes from the CPU.

    Example:
        >>> spikes = rate(torch.ones(2, 3), 4, p_max=1.0, blank_steps=1)
        >>> spikes.sum(dim=(1, 2)).tolist()
        [0.0, 6.0, 6.0, 6.0, 6.0]
    """
    _check("rate", x, num_steps, blank_steps, generator, seeds)
    if not 0 <= p_max <= 1:
        raise ConfigError(f"rate: p_max must be a probability in [0, 1], got {p_max}")
    p = p_max * _at_least_float32(x)
    keys = key_of(_seeds(x, generator, seeds))
    limit = (p * LIMIT).round().to(torch.int32).view(len(keys), -1 if p.numel() else 0)
    spikes = rate_code(limit, keys, num_steps, blank_steps=blank_steps)
    dtype = dtype or x.dtype
    spikes = spikes.view(torch.bool) if dtype == torch.bool else spikes.to(dtype)
    return spikes.view(len(spikes), *x.shape)


def latency(
    x: Tensor,
    num_steps: int,
    *,
    mapping: Mapping = "log",
    threshold: float = 0.2,
    tau: float | None = None,
    jitter: float = 0.0,
    blank_steps: int = 0,
    generator: torch.Generator | None = None,
    seeds: Sequence[int] | Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    r"""Latency code: time to first spike, at most one spike per pixel, brighter is earlier.

    Deterministic unless `jitter` is positive, and then a function of seed and pixel, the same on every device.

    Args:
        x: Intensities in [0, 1], any shape, floating point. With `seeds` its first axis counts
            the samples.
        num_steps: Coding steps $T$, >= 1.
        mapping: "log" (charging of a leaky integrator) or "linear".
        threshold: $\theta$ in [0, 1) ("linear") or (0, 1) ("log"); pixels with
            `x <= threshold` stay silent.
        tau: Time constant of "log" in steps, > 0; None means `num_steps / 5`.
        jitter: Standard deviation in steps, >= 0, of Gaussian noise on the spike times. A jittered
            spike stays inside the window.
        blank_steps: Silent steps before the coding steps, >= 0.
        generator: Random generator on the CPU or the device of `x` for the jitter; None means torch's global one
            of that device.
        seeds: As of `rate`, for the jitter.
        dtype: Of the result, also `torch.uint8` or `torch.bool`; None means that of `x`.

    Returns:
        Spikes in {0, 1}, shape `(blank_steps + num_steps, *x.shape)`.

    Raises:
        ValueError: If an argument is out of its range or `x` holds NaN. Elsewhere than on a CPU `x` is not looked at:
            that would wait for the device. Pixels outside [0, 1] count as its nearest end there, NaN as dark.
        RuntimeError: If a CUDA graph is captured and the randomness comes from the CPU.

    Example:
        >>> x = torch.tensor([1.0, 0.5, 0.0])
        >>> latency(x, 4, mapping="linear", threshold=0.0).argmax(dim=0).tolist()
        [0, 2, 0]
        >>> latency(x, 4, mapping="linear", threshold=0.0).sum(dim=0).tolist()
        [1.0, 1.0, 0.0]
    """
    _check("latency", x, num_steps, blank_steps, generator, seeds)
    if mapping not in ("log", "linear"):
        raise ConfigError(f'latency: mapping must be "log" or "linear", got {mapping!r}')
    if not 0 <= threshold < 1 or (mapping == "log" and threshold == 0):
        allowed = "(0, 1)" if mapping == "log" else "[0, 1)"
        raise ConfigError(
            f"latency: threshold must lie in {allowed} for {mapping!r}, got {threshold}"
        )
    tau = num_steps / 5 if tau is None else tau
    if not tau > 0:
        raise ConfigError(f"latency: tau must be positive, got {tau}")
    if not jitter >= 0:
        raise ConfigError(f"latency: jitter must be >= 0, got {jitter}")
    intensity = _at_least_float32(x).flatten()
    active = intensity > threshold
    i = torch.where(active, intensity, 1.0)
    if mapping == "log":
        i = i.double()  # so that devices agree on the step
        time = tau * torch.log(i / (i - threshold))
        active = active & (time < num_steps)
    else:
        time = num_steps * (1 - i) / (1 - threshold)
    if jitter:
        keys = key_of(_seeds(x, generator, seeds))
        time = time + jitter * normal(keys, x.numel() // max(1, len(keys))).flatten()
    step = time.floor().long().clamp(0, num_steps - 1)
    spikes = _silence(x, num_steps, blank_steps, dtype)
    spikes.scatter_(0, (blank_steps + step)[None], active[None].to(spikes.dtype))
    return spikes.view(len(spikes), *x.shape)


def constant(
    x: Tensor,
    num_steps: int,
    *,
    blank_steps: int = 0,
    seeds: Sequence[int] | Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Intensities as a constant current: the same values at every step.

    Args:
        x: Intensities in [0, 1], any shape, floating point.
        num_steps: Steps with the current, >= 1.
        blank_steps: Steps of zeros before them, >= 0.
        seeds: One integer per sample, as for the other encoders; nothing here is random.
        dtype: Of the result, floating point; None means that of `x`.

    Returns:
        Currents, shape `(blank_steps + num_steps, *x.shape)`.

    Raises:
        ValueError: If an argument is out of its range or `x` holds NaN.

    Example:
        >>> constant(torch.tensor([1.0, 0.5]), 2, blank_steps=1).tolist()
        [[0.0, 0.0], [1.0, 0.5], [1.0, 0.5]]
    """
    _check("constant", x, num_steps, blank_steps, None, seeds)
    dtype = dtype or x.dtype
    if not dtype.is_floating_point:
        raise ConfigError(f"constant: dtype must be floating point, got {dtype}")
    current = x.new_zeros((blank_steps + num_steps, *x.shape), dtype=dtype)
    current[blank_steps:] = x
    return current


_MOST_STEPS = 2**31 - 1
"""The noise of a step is drawn by its number, of 32 bits."""


def _check(
    name: str,
    x: Tensor,
    num_steps: int,
    blank_steps: int,
    generator: torch.Generator | None,
    seeds: Sequence[int] | Tensor | None,
) -> None:
    if not x.is_floating_point():
        raise ConfigError(
            f"{name}: x must be floating point in [0, 1], got {x.dtype}; divide bytes by 255"
        )
    if x.numel() and x.device.type == "cpu":  # to look elsewhere would be to wait for the device
        low, high = (bound.item() for bound in x.detach().aminmax())
        if not (low >= 0 and high <= 1):
            raise ConfigError(f"{name}: x must lie in [0, 1], got values from {low} to {high}")
    if not num_steps >= 1:
        raise ConfigError(f"{name}: num_steps must be at least 1, got {num_steps}")
    if not blank_steps >= 0:
        raise ConfigError(f"{name}: blank_steps must be >= 0, got {blank_steps}")
    if not blank_steps + num_steps <= _MOST_STEPS:
        raise ConfigError(
            f"{name}: num_steps and blank_steps must be at most {_MOST_STEPS} together, got "
            f"{num_steps} and {blank_steps}"
        )
    if seeds is None:
        return
    if generator is not None:
        raise ConfigError(f"{name}: seeds must not be given together with a generator; drop one")
    if isinstance(seeds, Tensor):
        fits, got = not seeds.is_floating_point(), f"{seeds.dtype} of shape {tuple(seeds.shape)}"
        fits = fits and x.ndim > 0 and seeds.shape == x.shape[:1]
    else:
        fits, got = x.ndim > 0 and len(seeds) == x.shape[0], f"{len(seeds)}"
    if not fits:
        raise ConfigError(
            f"{name}: seeds must hold one integer per sample (first axis of x), "
            f"got {got} for x of shape {tuple(x.shape)}"
        )


def _at_least_float32(x: Tensor) -> Tensor:
    x = x.detach().to(torch.promote_types(x.dtype, torch.float32))
    return (
        x if x.device.type == "cpu" else x.nan_to_num(0.0).clamp(0, 1)
    )  # unlike `_check` elsewhere


def _silence(x: Tensor, num_steps: int, blank_steps: int, dtype: torch.dtype | None) -> Tensor:
    shape = (blank_steps + num_steps, x.numel())
    return torch.zeros(shape, dtype=dtype or x.dtype, device=x.device)


def _seeds(
    x: Tensor, generator: torch.Generator | None, seeds: Sequence[int] | Tensor | None
) -> Tensor:
    """Seeds of the samples, or one of all of `x`, as int64."""
    if seeds is None:
        device = x.device if generator is None else generator.device
        return sent(drawn(generator, device), x.device)
    if isinstance(seeds, Tensor):
        return sent(seeds.long(), x.device)
    wrapped = [(int(seed) + 2**63) % 2**64 - 2**63 for seed in seeds]
    return sent(torch.tensor(wrapped, dtype=torch.int64), x.device)
