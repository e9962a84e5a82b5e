r"""Neurons in numpy, step by step from their papers, with the derivatives of each step written out by hand.

A step is $x[t] = F(x[t-1], z[t-1], I[t])$ and $z[t] = G(x[t])$, where x is the state without the neuron's own spike.
Nothing here calls the package or automatic differentiation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Linear(NamedTuple):
    """Derivatives of one step; arrays (..., S) of the S variables of the state, matrices (..., S, S).

    Attributes:
        own: dx[t] / dx[t-1] with the neuron's own spike held fixed, row: to, column: from.
        spike: dx[t] / dz[t-1], the reset and what else a neuron's own spike does to it.
        drive: dx[t] / dI[t].
        read: dz[t] / dx[t], the pseudo-derivative.
    """

    own: Array
    spike: Array
    drive: Array
    read: Array


class Cell(NamedTuple):
    """State of the simulation: variables, each (batch, neuron), spikes, and refractory steps left."""

    x: tuple[Array, ...]
    z: Array
    held: Array


@dataclass(frozen=True)
class LIF:
    """Bellec et al. 2020, Eqs. (6), (8)-(10): v, a; `beta` = 0 is the plain LIF neuron.

    Attributes:
        alpha: Decay of the membrane.
        rho: Decay of the adaptation.
        beta: Rise of the threshold by a spike.
        v_th: Threshold.
        refractory: Steps after a spike at which none can follow.
        reset: "subtract", "zero" or "none".
        detached: The reset passes no gradient.
        gamma: Height of the triangular pseudo-derivative, over v_th.
    """

    alpha: float
    rho: float
    beta: float = 0.0
    v_th: float = 1.0
    refractory: int = 0
    reset: str = "subtract"
    detached: bool = False
    gamma: float = 0.3
    variables = ("v", "a")

    def rest(self, shape: tuple[int, ...]) -> Cell:
        zeros = np.zeros(shape)
        return Cell((zeros, zeros), zeros, zeros)

    def step(self, cell: Cell, current: Array) -> tuple[Cell, Linear]:
        (v, a), z = cell.x, cell.z
        keep, by_reset = {
            "subtract": (np.ones_like(z), np.full_like(z, -self.v_th)),
            "zero": (1 - z, -self.alpha * v),
            "none": (np.ones_like(z), np.zeros_like(z)),
        }[self.reset]
        v_new = self.alpha * keep * v + current - (self.v_th * z if self.reset == "subtract" else 0)
        a_new = self.rho * a + z
        held = np.where(z > 0, self.refractory, np.maximum(cell.held - 1, 0))
        distance = v_new - self.v_th - self.beta * a_new
        z_new = ((distance > 0) & (held == 0)).astype(float)
        psi = self.gamma / self.v_th * np.maximum(0, 1 - np.abs(distance / self.v_th))
        psi = np.where(held > 0, 0.0, psi)
        ones = np.ones_like(z)
        linear = Linear(
            _matrix([[self.alpha * keep, 0 * ones], [0 * ones, self.rho * ones]]),
            _vector([0 * ones if self.detached else by_reset, ones]),
            _vector([ones, 0 * ones]),
            _vector([psi, -self.beta * psi]),
        )
        return Cell((v_new, a_new), z_new, held), linear


@dataclass(frozen=True)
class STDP:
    """Traub et al. 2020, Eqs. (25)-(29), with adaptation: two resets, psi = -gamma while refractory; v, a."""

    alpha: float
    rho: float
    beta: float = 0.0
    v_th: float = 1.0
    refractory: int = 2
    detached: bool = False
    gamma: float = 0.3
    variables = ("v", "a")

    def rest(self, shape: tuple[int, ...]) -> Cell:
        zeros = np.zeros(shape)
        return Cell((zeros, zeros), zeros, zeros)

    def step(self, cell: Cell, current: Array) -> tuple[Cell, Linear]:
        (v, a), z = cell.x, cell.z
        keep = 1 - z - (cell.held == 1)
        v_new, a_new = self.alpha * keep * v + current, self.rho * a + z
        held = np.where(z > 0, self.refractory, np.maximum(cell.held - 1, 0))
        distance = v_new - self.v_th - self.beta * a_new
        z_new = ((distance > 0) & (held == 0)).astype(float)
        psi = self.gamma * np.maximum(0, 1 - np.abs(distance / self.v_th))
        psi = np.where(held > 0, -self.gamma, psi)
        ones = np.ones_like(z)
        linear = Linear(
            _matrix([[self.alpha * keep, 0 * ones], [0 * ones, self.rho * ones]]),
            _vector([0 * ones if self.detached else -self.alpha * v, ones]),
            _vector([ones, 0 * ones]),
            _vector([psi, -self.beta * psi]),
        )
        return Cell((v_new, a_new), z_new, held), linear


@dataclass(frozen=True)
class Izhikevich:
    """Traub et al. 2020, Eqs. (4)-(21): v, u in mV, the reset at the start of the step after a spike."""

    a: float
    b: float
    c: float
    d: float
    dt: float
    detached: bool = False
    gamma: float = 0.3
    variables = ("v", "u")

    def rest(self, shape: tuple[int, ...]) -> Cell:
        v, zeros = np.full(shape, -65.0), np.zeros(shape)
        return Cell((v, self.b * v), zeros, zeros)

    def step(self, cell: Cell, current: Array) -> tuple[Cell, Linear]:
        (v, u), z, dt = cell.x, cell.z, self.dt
        v0, u0 = v - (v - self.c) * z, u + self.d * z
        v_new = v0 + dt * (0.04 * v0**2 + 5 * v0 + 140 - u0 + current)
        u_new = u0 + dt * self.a * (self.b * v0 - u0)
        h = self.gamma * np.exp((np.minimum(v_new, 30) - 30) / 30)
        slope, ones = 1 + dt * (0.08 * v0 + 5), np.ones_like(z)
        kept = 1 - dt * self.a
        back = dt * self.a * self.b
        jump = -(v - self.c)
        by_spike = _vector([slope * jump - dt * self.d, back * jump + kept * self.d])
        linear = Linear(
            _matrix([[slope * (1 - z), -dt * ones], [back * (1 - z), kept * ones]]),
            0 * by_spike if self.detached else by_spike,
            _vector([dt * ones, 0 * ones]),
            _vector([h, 0 * ones]),
        )
        return Cell((v_new, u_new), (v_new > 30).astype(float), cell.held), linear


@dataclass(frozen=True)
class SRC:
    """De Geeter et al. 2024, Sections 2.2-2.4; with `h_s0` the mSRC, with `r_u` the BSRC; i, h, h_s (, h_u).

    Attributes:
        detached: No gradient through h, h_s and h_u of the step before, as in the source's training.
        straight_through: Identity in the place of the derivative of the ReLU.
    """

    alpha: float
    rho: float
    r: float
    r_s: float
    z: float
    z_hyp: float
    z_dep: float
    b: float
    h_s0: float | None = None
    r_u: float | None = None
    z_u: float = 0.0
    h_u0: float = 0.0
    start: float = -0.5
    start_u: float = -0.84
    detached: bool = False
    straight_through: bool = True

    @property
    def variables(self) -> tuple[str, ...]:
        return ("i", "h", "h_s") if self.r_u is None else ("i", "h", "h_s", "h_u")

    def rest(self, shape: tuple[int, ...]) -> Cell:
        zeros = np.zeros(shape)
        x = (zeros, zeros + self.start, zeros + self.start, zeros + self.start_u)
        return Cell(x[: len(self.variables)], zeros, zeros)

    def step(self, cell: Cell, current: Array) -> tuple[Cell, Linear]:
        i, h, h_s, *rest = cell.x
        i_new = self.alpha * i + current
        if self.h_s0 is None:
            slow, by_slow = self.r_s * h_s, self.r_s + 0 * h_s
        else:
            slow, by_slow = self.r_s * (h_s + self.h_s0) ** 2, 2 * self.r_s * (h_s + self.h_s0)
        bounded = np.tanh(i_new / self.rho)
        drive = self.rho * bounded + self.r * h + slow + self.b
        if self.r_u is not None:
            drive = drive + self.r_u * (rest[0] + self.h_u0)
        target = np.tanh(drive)
        h_new = self.z * h + (1 - self.z) * target
        gate = 1 / (1 + np.exp(-10 * (h - 0.5)))
        z_s = self.z_hyp + (self.z_dep - self.z_hyp) * gate
        h_s_new = z_s * h_s + (1 - z_s) * h
        ones, zeros = np.ones_like(h), np.zeros_like(h)
        steep = (1 - self.z) * (1 - target**2)
        by_i = steep * (1 - bounded**2)
        gated = (self.z_dep - self.z_hyp) * 10 * gate * (1 - gate) * (h_s - h)
        rows = [
            [self.alpha * ones, zeros, zeros],
            [self.alpha * by_i, self.z + steep * self.r, steep * by_slow],
            [zeros, gated + 1 - z_s, z_s],
        ]
        state: tuple[Array, ...] = (i_new, h_new, h_s_new)
        if self.r_u is not None:
            rows = [[*row, zeros] for row in rows]
            rows[1][3] = steep * self.r_u
            rows.append([zeros, (1 - self.z_u) * ones, zeros, self.z_u * ones])
            state = (*state, self.z_u * rest[0] + (1 - self.z_u) * h)
        if self.detached:
            rows = [[row[0], *(zeros for _ in row[1:])] for row in rows]
        more = [zeros] * (len(rows) - 2)
        output = ones if self.straight_through else (h_new > 0).astype(float)
        linear = Linear(
            _matrix(rows),
            _vector([zeros] * len(rows)),
            _vector([ones, by_i, *more]),
            _vector([zeros, output, *more]),
        )
        return Cell(state, np.maximum(h_new, 0), cell.held), linear


Neuron = LIF | STDP | Izhikevich | SRC


@dataclass(frozen=True)
class Trajectory:
    """A recurrent layer's run: what every rule reads.

    Attributes:
        x: Input, (T, batch, input).
        z: Spikes, (T, batch, neuron).
        states: Variables of the state after each step, (T, batch, neuron, S).
        linear: Derivatives of each step, with axes (T, batch, neuron, S, ...).
        w_rec: Recurrent weights, row: to, column: from.
        delay: Delay of each recurrent synapse in steps, the same shape.
    """

    x: Array
    z: Array
    states: Array
    linear: Linear
    w_rec: Array
    delay: NDArray[np.int64]

    def earlier(self, t: int) -> Array:
        """Recurrent spikes that arrive at step t, (batch, to, from)."""
        return arriving(self.z, self.delay, t)


def simulate(
    neuron: Neuron, x: Array, w_in: Array, w_rec: Array, delay: int | Array = 1
) -> Trajectory:
    """Run a recurrent layer from rest.

    Args:
        neuron: One of the above.
        x: Input, (T, batch, input).
        w_in: (neuron, input).
        w_rec: (neuron to, neuron from).
        delay: Steps: one number, by presynaptic neuron, or by synapse.
    """
    n = len(w_rec)
    delays = np.broadcast_to(np.asarray(delay, dtype=np.int64), (n, n))
    cell, emitted, states, steps = neuron.rest((x.shape[1], n)), [], [], []
    z = np.zeros((len(x), x.shape[1], n))
    for t, x_t in enumerate(x):
        recurrent = (w_rec * arriving(z, delays, t)).sum(-1)
        cell, linear = neuron.step(cell, x_t @ w_in.T + recurrent)
        z[t] = cell.z
        emitted.append(cell.z)
        states.append(np.stack(cell.x, -1))
        steps.append(linear)
    columns = Linear(*(np.stack(parts) for parts in zip(*steps, strict=True)))
    return Trajectory(x, z, np.stack(states), columns, w_rec, delays)


def arriving(z: Array, delay: NDArray[np.int64], t: int) -> Array:
    """What of spikes z (T, batch, from) reaches each synapse at step t, (batch, to, from); silence before the start."""
    found = np.zeros((z.shape[1], *delay.shape))
    for d in np.unique(delay):
        if t >= d:
            found += z[t - d][:, None, :] * (delay == d)
    return found


def _vector(parts: list[Array]) -> Array:
    return np.stack(np.broadcast_arrays(*parts), -1)


def _matrix(rows: list[list[Array]]) -> Array:
    return np.stack([_vector(row) for row in rows], -2)


Step = Callable[[Cell, Array], tuple[Cell, Linear]]
