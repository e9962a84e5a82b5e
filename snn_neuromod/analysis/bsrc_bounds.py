r"""Where the offset of the BSRC's ultra-slow feedback lets it burst.

The ultra-slow variable moves in about 1000 steps, so that over a few spikes the BSRC is an mSRC at the current
$I = x + r_u (h_u + h_{u0})$. That mSRC rests up to its saddle-node current $I_{SN}$, and once firing goes on down to
$I_\text{down}$. Since $r_u < 0$, $h_u$ lowers the current while the cell fires and raises it while it rests. The cell
bursts if $h_u$ comes to a stop in neither state:

- at rest not, if the current that belongs to $h_u = h_{SN}$, the membrane at the saddle-node, is above $I_{SN}$:
  $h_{u0} < -h_{SN} + (I_{SN} - x) / r_u$;
- while it fires not, if there is no current $I \ge I_\text{down}$ whose mean membrane $\langle h \rangle(I)$ is the
  $h_u$ that belongs to it: $h_{u0} > \max_I \big( -\langle h \rangle(I) + (I - x) / r_u \big)$.

Above the first bound the cell is silent, below the second it can fire on. $h_{SN}$ and $I_{SN}$ follow from a cubic;
the means $\langle h \rangle(I)$ have no closed form and are measured on the mSRC. Both bounds hold for an infinitely
slow $h_u$. With $z_u = 0.999$ the simulated BSRC without input agrees to 0.01 for $h_{s0}$ from 0.5 to 0.7; at 0.8,
where the hysteresis of 0.03 is narrower than the ripple of $h_u$, it fires on up to 0.03 above the lower bound.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from snn_neuromod.analysis.simulation import Array
from snn_neuromod.dynamics import bsrc, msrc
from snn_neuromod.errors import ConfigError

CURRENTS, BELOW, ABOVE = 1201, 2.8, 0.2
"""Currents at which cycles are measured, from below to above the saddle-node."""
RAMP, STEPS = 2000, 2000


class OffsetBounds(NamedTuple):
    """Offsets h_u0 between which a BSRC bursts, dimensionless; NaN where the mSRC has no hysteresis.

    Attributes:
        lower: Fires on below it.
        upper: Silent above it.
    """

    lower: float
    upper: float


def bsrc_offset_bounds(*, x: float = 0.0, h_s0: float = 0.7, **parameters: float) -> OffsetBounds:
    """Offsets h_u0 between which a BSRC bursts at a constant drive.

    Args:
        x: Drive, dimensionless.
        h_s0: Modulation.
        **parameters: Further parameters of `snn_neuromod.dynamics.bsrc.Params`, r_u < 0.

    Returns:
        The bounds.

    Raises:
        ValueError: If a parameter is unknown or r_u not negative.

    Examples:
        >>> lower, upper = bsrc_offset_bounds()
        >>> round(lower, 2), round(upper, 2)
        (0.53, 0.64)
    """
    unknown = [name for name in parameters if name not in bsrc.Params._fields]
    if unknown:
        raise ConfigError(
            f"bsrc_offset_bounds: parameters must be among {', '.join(bsrc.Params._fields)}, got {', '.join(unknown)}"
        )
    p = bsrc.Params(**{**bsrc.DIRECT, **parameters, "h_s0": h_s0})
    if not float(p.r_u) < 0:
        raise ConfigError(f"bsrc_offset_bounds: r_u must be < 0, got {p.r_u}")
    node = saddle_node(p)
    if node is None:
        return OffsetBounds(np.nan, np.nan)
    h_sn, i_sn = node
    current, mean = _cycles(p, i_sn)
    lower = float((-mean + (current - x) / float(p.r_u)).max())
    return OffsetBounds(lower, -h_sn + (i_sn - x) / float(p.r_u))


def saddle_node(params: Any) -> tuple[float, float] | None:
    r"""Membrane and current of the saddle-node at which rest ends.

    Fixed points lie on $I(h) = \text{atanh}(h) - r h - r_s (h + h_{s0})^2 - b$; $I'(h) = 0$ is the cubic
    $(1 - h^2)(r + 2 r_s (h + h_{s0})) = 1$, whose lowest root in (-1, 1) is the end of rest.

    Args:
        params: `Params` of an mSRC or BSRC, numbers.

    Returns:
        h and I; None where I(h) only grows.

    Examples:
        >>> h, current = saddle_node(msrc.Params(h_s0=0.5))
        >>> round(current, 3)
        3.386
    """
    constant, slope = params.r + 2 * params.r_s * params.h_s0, 2 * params.r_s
    roots = np.roots([-slope, -constant, slope, constant - 1])
    inside = roots[(np.abs(roots.imag) < 1e-9) & (np.abs(roots.real) < 1)].real
    if len(inside) < 2:
        return None
    h = float(inside.min())
    slow = params.r_s * (h + params.h_s0) ** 2
    return h, float(np.arctanh(h) - params.r * h - slow - params.b)


@torch.inference_mode()
def _cycles(p: bsrc.Params, i_sn: float) -> tuple[Array, Array]:
    """Currents at which the mSRC goes on firing when it comes from above, and the mean of h at each."""
    params = msrc.Params(**{name: getattr(p, name) for name in msrc.Params._fields})
    current = torch.linspace(i_sn - BELOW, i_sn + ABOVE, CURRENTS, dtype=torch.float64)
    top = torch.full_like(current, i_sn + 1.0)
    state = msrc.initial_state(current)
    for t in range(2 * RAMP):  # fire at the top, then slowly to each current
        _, state = msrc.step(params, state, torch.lerp(top, current, max(0.0, t / RAMP - 1)))
    for _ in range(STEPS):
        _, state = msrc.step(params, state, current)
    total, fired = torch.zeros_like(current), torch.zeros(CURRENTS, dtype=torch.bool)
    for _ in range(STEPS):
        _, state = msrc.step(params, state, current)
        total += state.h
        fired |= state.h > 0.5
    silent = (~fired).nonzero()
    first = int(silent.max()) + 1 if len(silent) else 0
    return current[first:].numpy(), (total[first:] / STEPS).numpy()
