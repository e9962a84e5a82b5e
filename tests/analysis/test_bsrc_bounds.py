"""The bounds of the BSRC's offset against closed forms and against simulated cells."""

from __future__ import annotations

import math

import numpy as np
import pytest

from snn_neuromod.analysis import bsrc_offset_bounds, bursts
from snn_neuromod.analysis.bsrc_bounds import saddle_node
from snn_neuromod.dynamics import bsrc, msrc

SADDLE_NODES = {0.8: 2.198, 0.7: 2.432, 0.6: 2.831, 0.5: 3.386, 0.4: 4.091}


@pytest.mark.parametrize("h_s0", SADDLE_NODES)
def test_saddle_nodes(h_s0: float) -> None:
    params = msrc.Params(h_s0=h_s0)
    found = saddle_node(params)
    assert found is not None
    h, current = found
    assert current == pytest.approx(SADDLE_NODES[h_s0], abs=1e-3)
    slope = 1 / (1 - h**2) - params.r - 2 * params.r_s * (h + h_s0)
    assert slope == pytest.approx(0, abs=1e-9)
    shifted = saddle_node(params._replace(b=0.3))
    assert shifted == pytest.approx((h, current - 0.3))


@pytest.mark.parametrize("h_s0", [0.9, 1.0, 1.5])
def test_no_hysteresis_no_bursts(h_s0: float) -> None:
    assert saddle_node(msrc.Params(h_s0=h_s0)) is None
    assert np.isnan(bsrc_offset_bounds(h_s0=h_s0)).all()


def test_the_default_cell() -> None:
    assert bsrc_offset_bounds() == pytest.approx((0.525, 0.642), abs=0.008)


@pytest.mark.parametrize("h_s0", [0.5, 0.7])
def test_simulated_cells_burst_between_the_bounds(h_s0: float) -> None:
    lower, upper = bsrc_offset_bounds(h_s0=h_s0)
    offsets = np.array([lower - 0.015, lower + 0.015, upper - 0.01, upper + 0.01])
    found = bursts(bsrc, 0.0, h_s0=h_s0, h_u0=offsets, num_steps=9000, discard=3000)
    assert found.kind.tolist() == ["tonic", "bursting", "bursting", "silent"]


def test_a_drive_shifts_both_bounds_alike() -> None:
    """X enters as x / r_u."""
    without, driven = bsrc_offset_bounds(), bsrc_offset_bounds(x=0.5)
    assert np.subtract(driven, without) == pytest.approx([0.5 / 8.5] * 2)
    assert np.subtract(bsrc_offset_bounds(b=0.5), without) == pytest.approx([0.5 / 8.5] * 2)


def test_errors() -> None:
    with pytest.raises(ValueError, match="r_u must be < 0, got 1"):
        bsrc_offset_bounds(r_u=1.0)
    with pytest.raises(ValueError, match=r"among alpha, .*got h_v0"):
        bsrc_offset_bounds(h_v0=1.0)
    with pytest.raises(ValueError, match="r_u must be < 0, got nan"):
        bsrc_offset_bounds(r_u=math.nan)
