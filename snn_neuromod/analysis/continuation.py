r"""Bifurcation diagram of a neuron's fixed points, by continuation.

A branch of fixed points $f(x, p) = x$ is followed by pseudo-arclength: a step along its tangent, then Newton in the
plane across it, so that it may turn round. Along it, signs of three test functions are watched, and where one changes
the point is found by bisection of the arclength:

- saddle-node: $\det(J - 1) = 0$ (a real eigenvalue at 1), with the branch turning round;
- period-doubling: $\det(J + 1) = 0$ (a real eigenvalue at -1);
- Neimark-Sacker, the Hopf bifurcation of a map: $\prod_{i<j} (\lambda_i \lambda_j - 1) = 0$ with a complex pair on the
  unit circle; a rhythm begins or ends there. For two variables this is $\det J = 1$.

For the mSRC driven directly ($\alpha = 0$, $\rho = \infty$) all of it is known in closed form. With $h_s = h$,

$$ I = \operatorname{atanh} h - r\,h - r_s\,(h + h_{s0})^2 - b $$

and, as the slow gate's slope meets $h_s - h = 0$, with $g = z + (1 - z)(1 - h^2)\,r$ and $z_s = z_s(h)$,

$$ \det J = z_s\, g - 2\,(1 - z)\,(1 - h^2)\,r_s\,(h + h_{s0})\,(1 - z_s), \qquad \operatorname{tr} J = z_s + g. $$
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from snn_neuromod.analysis.equilibria import solve, spectrum
from snn_neuromod.analysis.simulation import prepared
from snn_neuromod.analysis.source import Source, Value
from snn_neuromod.analysis.step_map import CURRENT, Array, StepMap, slopes, step_map
from snn_neuromod.errors import ConfigError

FLOWS = {
    "saddle-node": "saddle-node",
    "Neimark-Sacker": "Hopf",
    "period-doubling": "period-doubling",
}
"""Kind of a bifurcation of the step, a map -> what it is called where time is continuous."""
_LONGEST = 20_000
"""Points of a branch after which it is given up."""


class Branch(NamedTuple):
    """Fixed points in the order in which the branch runs.

    Attributes:
        values: Parameter, (K,).
        states: Every free state variable by name, (K,).
        eigenvalues: Of the step's Jacobian, by falling modulus, complex, (K, n).
    """

    values: Array
    states: dict[str, Array]
    eigenvalues: NDArray[np.complex128]

    @property
    def stable(self) -> NDArray[np.bool_]:
        """True where all eigenvalues lie inside the unit circle, (K,)."""
        inside: NDArray[np.bool_] = np.abs(self.eigenvalues[:, 0]) < 1
        return inside


class BifurcationPoint(NamedTuple):
    """Where the fixed points change in number or stability.

    Attributes:
        kind: "saddle-node", "Neimark-Sacker" (the Hopf bifurcation of a map) or "period-doubling".
        value: Parameter, to 1e-6 of the span or better.
        states: Every free state variable by name.
        eigenvalues: By falling modulus, complex, (n,).
    """

    kind: str
    value: float
    states: dict[str, float]
    eigenvalues: NDArray[np.complex128]

    @property
    def name(self) -> str:
        """The kind in the words of a flow, beside the map's: "Hopf (Neimark-Sacker)"."""
        flow = FLOWS[self.kind]
        return flow if flow == self.kind else f"{flow} ({self.kind})"


class Bifurcation(NamedTuple):
    """A bifurcation diagram of fixed points.

    Attributes:
        parameter: What is varied: "current" or a parameter of the neuron.
        branches: The branches that reach an end of the span.
        points: The bifurcations on them, by parameter.
        membrane: Name of the membrane.
    """

    parameter: str
    branches: tuple[Branch, ...]
    points: tuple[BifurcationPoint, ...]
    membrane: str

    def at(self, kind: str) -> list[float]:
        """Parameters of the bifurcations of a kind, in a map's words or a flow's: "Hopf" is "Neimark-Sacker"."""
        return [p.value for p in self.points if kind in (p.kind, FLOWS[p.kind])]


def bifurcation(
    source: Source,
    span: tuple[float, float],
    *,
    parameter: str = CURRENT,
    current: float = 0.0,
    frozen: Mapping[str, float] | None = None,
    arclength: float = 0.02,
    **parameters: Value,
) -> Bifurcation:
    """Follow the fixed points over the current or a parameter.

    Every branch that reaches an end of the span is followed; one that closes upon itself inside it is not seen.

    Args:
        source: The neuron, see `neuron`: a dynamics module, a layer, a neuron of your own.
        span: Lowest and highest value of the parameter.
        parameter: "current", or a parameter of the neuron.
        current: Constant input where a parameter is varied.
        frozen: State variables that are held, with their values, as a slow one may be.
        arclength: Longest step along a branch, > 0, in units of the span and of each variable's size at rest (at
            least 1).
        **parameters: Parameters of the neuron, numbers.

    Returns:
        The diagram.

    Raises:
        ValueError: If a name is unknown, the span is empty or not finite, or the neuron is several.

    Examples:
        >>> from snn_neuromod.dynamics import msrc
        >>> found = bifurcation(msrc, (2.0, 5.0), h_s0=0.5)
        >>> [(point.kind, round(point.value, 3)) for point in found.points]
        [('saddle-node', 3.386)]
    """
    low, high = float(span[0]), float(span[1])
    if not (np.isfinite([low, high]).all() and low < high):
        raise ConfigError(f"bifurcation: span must be two finite numbers, low < high, got {span}")
    if not 0 < arclength < 1:
        raise ConfigError(f"bifurcation: arclength must be in (0, 1), got {arclength}")
    found = prepared(source, parameters)
    if found.membrane in (frozen or {}):
        raise ConfigError(
            f"bifurcation: frozen must leave the membrane {found.membrane!r} free, got {frozen}"
        )
    mapping = step_map(
        found,
        current=current,
        parameter=parameter,
        values=(low, (low + high) / 2, high),
        frozen=frozen,
        caller="bifurcation",
    )
    path = _Path(mapping, np.append(np.maximum(1.0, np.abs(mapping.rest)), high - low))
    membrane = mapping.names.index(found.membrane)
    branches: list[Branch] = []
    points: list[BifurcationPoint] = []
    ends: list[Array] = []
    for p, direction in ((low, 1.0), (high, -1.0)):
        for x in solve(mapping, membrane, p, 4001):
            start = np.append(x, p) / path.scale
            if any(np.abs(start - end).max() < 1e-5 for end in ends):
                continue
            branch, more, end = _follow(path, start, direction, (low, high), arclength)
            branches.append(branch)
            points += more
            ends.append(end)
    points.sort(key=lambda point: point.value)
    return Bifurcation(parameter, tuple(branches), tuple(points), found.membrane)


class _Path(NamedTuple):
    """Fixed points as the zeros of a map of scaled unknowns u = (x, p) / scale."""

    mapping: StepMap
    scale: Array

    def split(self, u: Array) -> tuple[Array, Array]:
        y = u * self.scale
        return y[None, :-1], y[-1:]

    def residual(self, u: Array) -> Array:
        x, p = self.split(u)
        residual: Array = (self.mapping.f(x, p) - x)[0] / self.scale[:-1]
        return residual

    def slopes(self, u: Array) -> Array:
        """(n, n + 1)."""
        x, p = self.split(u)
        matrix = slopes(self.mapping, x, p)[0]
        matrix[:, :-1] -= np.eye(x.shape[1])
        scaled: Array = matrix * self.scale / self.scale[:-1, None]
        return scaled

    def tangent(self, u: Array, along: Array) -> Array:
        *_, v = np.linalg.svd(self.slopes(u))
        last: Array = v[-1]
        return last if last @ along >= 0 else -last

    def corrected(self, guess: Array, normal: Array) -> Array | None:
        """The fixed point in the plane through `guess` across `normal`; None where Newton does not arrive."""
        u = guess
        for _ in range(12):
            matrix = np.vstack([self.slopes(u), normal])
            right = np.append(self.residual(u), normal @ (u - guess))
            try:
                change = np.linalg.solve(matrix, right)
            except np.linalg.LinAlgError:
                return None
            u = u - change
            if not np.isfinite(u).all():
                return None
            if (
                np.abs(change).max() < 1e-9
            ):  # Newton converges quadratically: the next would be far below
                return u if np.abs(self.residual(u)).max() < 1e-9 else None
        return None

    def spectrum(self, u: Array) -> NDArray[np.complex128]:
        values: NDArray[np.complex128] = spectrum(self.mapping, *self.split(u))[0]
        return values


def _fold(values: NDArray[np.complex128]) -> float:
    return float(np.prod(values - 1).real)


def _doubling(values: NDArray[np.complex128]) -> float:
    return float(np.prod(values + 1).real)


def _rhythm(values: NDArray[np.complex128]) -> float:
    i, j = np.triu_indices(len(values), 1)
    return float(np.prod(values[i] * values[j] - 1).real)


_TESTS: dict[str, Callable[[NDArray[np.complex128]], float]] = {
    "saddle-node": _fold,
    "period-doubling": _doubling,
    "Neimark-Sacker": _rhythm,
}


def _follow(
    path: _Path, start: Array, direction: float, span: tuple[float, float], arclength: float
) -> tuple[Branch, list[BifurcationPoint], Array]:
    along = np.zeros_like(start)
    along[-1] = direction
    u, tangent = start, path.tangent(start, along)
    values = path.spectrum(u)
    units, spectra, points = [u], [values], []
    length = arclength
    edges = np.array(span) / path.scale[-1]
    while len(units) < _LONGEST:
        new = path.corrected(u + length * tangent, tangent)
        turned = None if new is None else path.tangent(new, tangent)
        if new is None or turned is None or turned @ tangent < 0.98:
            length /= 2
            if length < 1e-9:
                break
            continue
        outside = not edges[0] <= new[-1] <= edges[1]
        if outside:
            plane = np.zeros_like(u)
            plane[-1] = 1.0
            edge = edges[0] if new[-1] < edges[0] else edges[1]
            part = (edge - u[-1]) / (new[-1] - u[-1])
            guess = u + part * (new - u)
            guess[-1] = edge
            ended = path.corrected(guess, plane)
            if ended is None:
                break
            new = ended
        found = path.spectrum(new)
        reach = float((new - u) @ tangent)
        for kind, test in _TESTS.items():
            if test(values) * test(found) < 0:
                points += _located(path, kind, u, tangent, reach)
        u, tangent, values = new, turned, found
        units.append(u)
        spectra.append(values)
        if outside:
            break
        length = min(arclength, length * 1.5)
    y = np.stack(units) * path.scale
    states = {name: y[:, k] for k, name in enumerate(path.mapping.names)}
    return Branch(y[:, -1], states, np.stack(spectra)), points, units[-1]


def _located(
    path: _Path, kind: str, u: Array, tangent: Array, reach: float
) -> list[BifurcationPoint]:
    """The point between arclengths 0 and `reach` from u at which the test function of `kind` is zero."""
    test = _TESTS[kind]
    low, high, at = 0.0, reach, u
    before = test(path.spectrum(u))
    for _ in range(36):
        middle = (low + high) / 2
        tried = path.corrected(u + middle * tangent, tangent)
        if tried is None:
            return []
        at = tried
        if (test(path.spectrum(at)) < 0) == (before < 0):
            low = middle
        else:
            high = middle
    values = path.spectrum(at)
    if not _is(kind, values, path.tangent(u, tangent), path.tangent(at, tangent)):
        return []
    y = at * path.scale
    states = dict(zip(path.mapping.names, y[:-1].tolist(), strict=True))
    return [BifurcationPoint(kind, float(y[-1]), states, values)]


def _is(kind: str, values: NDArray[np.complex128], before: Array, here: Array) -> bool:
    if kind == "saddle-node":  # the branch stands upright
        return bool(abs(here[-1]) < 1e-3 + 0.1 * abs(before[-1]))
    if kind == "period-doubling":
        return bool(np.abs(values + 1).min() < 1e-6)
    pairs = values[(values.imag > 0)]
    return bool(len(pairs) and np.abs(np.abs(pairs) - 1).min() < 1e-6)
