"""Fixed points of a neuron under constant input, and their stability.

The membrane is scanned over the whole real line; at each of its values the other variables are put where they stay, so
that one equation in one unknown is left. Sign changes are bisected, and cells in which the equation comes close to zero
without changing sign are scanned again, finer. A fixed point is kept if one full step gives it back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snn_neuromod import _palette as palette
from snn_neuromod.analysis.simulation import prepared
from snn_neuromod.analysis.source import Source, Value
from snn_neuromod.analysis.step_map import Array, StepMap, jacobian, newton, step_map
from snn_neuromod.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class FixedPoints(NamedTuple):
    """All K fixed points of a step, from the lowest membrane on.

    Attributes:
        current: Input.
        states: Every state variable by name, (K,).
        eigenvalues: Of the step's Jacobian, by falling modulus, complex, (K, n).
        kinds: "stable node", "stable focus", "saddle", "unstable node" or "unstable focus", K of them.
        membrane: Name of the membrane.
    """

    current: float
    states: dict[str, Array]
    eigenvalues: NDArray[np.complex128]
    kinds: tuple[str, ...]
    membrane: str

    @property
    def stable(self) -> NDArray[np.bool_]:
        """True where all eigenvalues lie inside the unit circle, (K,)."""
        return np.array([kind.startswith("stable") for kind in self.kinds], dtype=bool)


def fixed_points(
    source: Source,
    current: float,
    *,
    frozen: Mapping[str, float] | None = None,
    resolution: int = 4001,
    **parameters: Value,
) -> FixedPoints:
    """Find all fixed points.

    Args:
        source: The neuron, see `neuron`: a dynamics module, a layer, a neuron of your own.
        current: Constant input.
        frozen: State variables that are held, with their values, as a slow one may be.
        resolution: Number of values of the membrane that are scanned, >= 3; half of them lie within the distance
            max(1, `abs(rest)`) of rest or a little more.
        **parameters: Parameters of the neuron, numbers.

    Returns:
        The fixed points; none is an answer too.

    Raises:
        ValueError: If a name is unknown, the neuron is several, or an argument is out of its range.

    Examples:
        >>> from snn_neuromod.dynamics import msrc
        >>> found = fixed_points(msrc, 3.0, h_s0=0.5)
        >>> found.states["h"].round(3), found.kinds
        (array([-0.99 , -0.85 ,  0.224]), ('stable node', 'saddle', 'unstable node'))
    """
    if not resolution >= 3:
        raise ConfigError(f"fixed_points: resolution must be >= 3, got {resolution}")
    found = prepared(source, parameters)
    if found.membrane in (frozen or {}):
        raise ConfigError(
            f"fixed_points: frozen must leave the membrane {found.membrane!r} free, got {frozen}"
        )
    mapping = step_map(found, current=current, frozen=frozen, caller="fixed_points")
    x = solve(mapping, mapping.names.index(found.membrane), float(current), resolution)
    eigenvalues = spectrum(mapping, x, np.full(len(x), float(current)))
    states = {name: x[:, k] for k, name in enumerate(mapping.names)}
    kinds = tuple(kind_of(values) for values in eigenvalues)
    return FixedPoints(float(current), states, eigenvalues, kinds, found.membrane)


def plot_fixed_points(points: FixedPoints, ax: Axes | None = None, *, x: str, y: str) -> Axes:
    """Draw fixed points in the plane of two state variables: filled stable, half a saddle, open unstable.

    Args:
        points: What `fixed_points` found.
        ax: A matplotlib Axes; None: that of a new figure.
        x: State variable on the horizontal axis.
        y: State variable on the vertical axis.

    Returns:
        The Axes.
    """
    ax = palette.axes(ax)
    for k, kind in enumerate(points.kinds):
        face = palette.BLACK if points.stable[k] or kind == "saddle" else "white"
        ax.plot(
            points.states[x][k], points.states[y][k], "o", color=palette.BLACK, markersize=6,
            fillstyle="left" if kind == "saddle" else "full", markerfacecolor=face,
            markerfacecoloralt="white", zorder=5, clip_on=False,
        )  # fmt: skip
    return ax


def kind_of(eigenvalues: NDArray[np.complex128]) -> str:
    """What a fixed point is, from the eigenvalues by falling modulus."""
    outside = eigenvalues[np.abs(eigenvalues) >= 1]
    if np.sum((outside.imag == 0) & (outside.real > 0)) % 2:
        return "saddle"
    shape = "focus" if eigenvalues[0].imag != 0 else "node"
    return f"{'unstable' if outside.size else 'stable'} {shape}"


def spectrum(mapping: StepMap, x: Array, p: Array) -> NDArray[np.complex128]:
    """Eigenvalues by falling modulus, (K, n)."""
    if not len(x):
        return np.empty((0, len(mapping.names)), dtype=np.complex128)
    values = np.linalg.eigvals(jacobian(mapping, x, p)).astype(np.complex128)
    order = np.argsort(-np.abs(values), axis=1, kind="stable")
    return np.take_along_axis(values, order, 1)


def solve(mapping: StepMap, membrane: int, p: float, resolution: int) -> Array:
    """All fixed points at one value of the parameter, (K, n), from the lowest membrane on."""
    rest = mapping.rest[membrane]
    t = np.linspace(-1, 1, resolution + 2)[1:-1]
    m = rest + max(1.0, abs(rest)) * t / (1 - t**2)
    g = _remainder(mapping, membrane, m, p)
    low, high = _brackets(m[None], g[None])
    for centre in range(4):
        if not centre:
            near = np.flatnonzero(_dips(g)) + 1
            left, right = m[near - 1], m[near + 1]
        if not len(left):
            break
        fine = np.linspace(left, right, 101, axis=1)
        values = _remainder(mapping, membrane, fine.ravel(), p).reshape(fine.shape)
        more = _brackets(fine, values)
        low, high = np.concatenate([low, more[0]]), np.concatenate([high, more[1]])
        best = np.clip(np.nanargmin(np.where(np.isnan(values), np.inf, np.abs(values)), 1), 1, 99)
        rows = np.arange(len(fine))
        left, right = fine[rows, best - 1], fine[rows, best + 1]
    x = _bisected(mapping, membrane, low, high, p)
    at = np.full(len(x), p)
    everything = np.arange(len(mapping.names))
    for _ in range(2):
        polished = newton(mapping, x, at, everything) if len(x) else x
        scale = np.maximum(1.0, np.abs(x))
        far = (np.abs(polished - x) > 1e-6 * scale).any(1, keepdims=True)
        x = np.where(far, x, polished)
    wrong = np.abs(mapping.f(x, at) - x) if len(x) else x
    x = x[(wrong < 1e-9 * np.maximum(1.0, np.abs(x))).all(1)]
    x = x[np.argsort(x[:, membrane], kind="stable")]
    apart = np.diff(x[:, membrane], prepend=-np.inf) > 1e-8 * max(1.0, abs(rest))
    distinct: Array = x[apart]
    return distinct


def _equilibrium(mapping: StepMap, membrane: int, m: Array, p: float) -> Array:
    """The state in which the membrane is m and the other variables stay; NaN where there is none."""
    x = np.repeat(mapping.rest[None], len(m), 0)
    x[:, membrane] = m
    others = np.delete(np.arange(len(mapping.rest)), membrane)
    at = np.full(len(m), p)
    if not len(others) or not len(m):
        return x
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(12):
            moved = newton(mapping, x, at, others)
            change = np.abs(moved - x).max(1) / np.maximum(1.0, np.abs(x).max(1))
            x = moved
            if not (change > 1e-13).any():
                break
    x[~(change < 1e-9)] = np.nan
    return x


def _remainder(mapping: StepMap, membrane: int, m: Array, p: float) -> Array:
    x = _equilibrium(mapping, membrane, m, p)
    image = mapping.f(x, np.full(len(m), p))
    left: Array = image[:, membrane] - m
    return left


def _brackets(m: Array, g: Array) -> tuple[Array, Array]:
    """Neighbours along the last axis between which g changes sign."""
    valid = np.isfinite(g[:, 1:]) & np.isfinite(g[:, :-1])
    change = valid & ((g[:, 1:] >= 0) != (g[:, :-1] >= 0))
    return m[:, :-1][change], m[:, 1:][change]


def _dips(g: Array) -> NDArray[np.bool_]:
    """Inner points closer to zero than both neighbours, all of one sign."""
    a, b, c = g[:-2], g[1:-1], g[2:]
    same = ((a >= 0) == (b >= 0)) & ((b >= 0) == (c >= 0))
    found: NDArray[np.bool_] = same & (np.abs(b) <= np.abs(a)) & (np.abs(b) <= np.abs(c))
    return found


def _bisected(mapping: StepMap, membrane: int, low: Array, high: Array, p: float) -> Array:
    below = _remainder(mapping, membrane, low, p) >= 0
    for _ in range(60):
        middle = (low + high) / 2
        same = (_remainder(mapping, membrane, middle, p) >= 0) == below
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return _equilibrium(mapping, membrane, (low + high) / 2, p)
