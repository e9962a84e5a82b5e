"""The twenty behaviours that one equation has, with the values and the inputs of their source.

`snn_neuromod.Izhikevich.preset("tonic_bursting", 10)` is a layer of such neurons; `PRESETS["tonic_bursting"].current()`
the input that shows the behaviour.

Deviations from the source: recovery reads the membrane of the step before, there the new one. Sixteen behaviours are
the same; "bistability", "depolarizing_after_potential" and "inhibition_induced_bursting" hold in the source at its own
step only (at a quarter of it they look as here), and "accommodation" has another equation there, without a decay of
recovery.

References:
    E. M. Izhikevich, "Which model to use for cortical spiking neurons?", IEEE Trans. Neural Networks 15 (2004),
    1063-1070, Fig. 1, and the script that draws it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Preset:
    """One behaviour.

    Attributes:
        values: Arguments of `snn_neuromod.Izhikevich`: a, b, c, d, dt (ms) and what it starts from.
        duration: Time that the source shows, ms.
        steps: Input: (start, stop, level), ms, added up.
        ramps: Input that rises: (start, stop, level at start, slope per ms).
    """

    values: dict[str, Any]
    duration: float
    steps: tuple[tuple[float, float, float], ...] = ()
    ramps: tuple[tuple[float, float, float, float], ...] = field(default=())

    def current(self) -> Tensor:
        """Input of the source, (T,), one value for each step of `values["dt"]`."""
        time = torch.arange(0.0, self.duration + self.values["dt"] / 2, self.values["dt"])
        total = torch.zeros_like(time)
        for start, stop, level in self.steps:
            total += level * ((time > start) & (time < stop))
        for start, stop, level, slope in self.ramps:
            total += (level + slope * (time - start)) * ((time > start) & (time < stop))
        return total


_END = float("inf")
_QUADRATIC = {"linear": 4.1, "constant": 108.0}


def _values(
    a: float, b: float, c: float, d: float, v: float, dt: float = 0.25, **more: float
) -> dict[str, Any]:
    return {"a": a, "b": b, "c": c, "d": d, "v_init": v, "dt": dt, **more}


PRESETS: dict[str, Preset] = {
    "tonic_spiking": Preset(_values(0.02, 0.2, -65, 6, -70), 100, ((10, _END, 14),)),
    "phasic_spiking": Preset(_values(0.02, 0.25, -65, 6, -64), 200, ((20, _END, 0.5),)),
    "tonic_bursting": Preset(_values(0.02, 0.2, -50, 2, -70), 220, ((22, _END, 15),)),
    "phasic_bursting": Preset(_values(0.02, 0.25, -55, 0.05, -64, 0.2), 200, ((20, _END, 0.6),)),
    "mixed_mode": Preset(_values(0.02, 0.2, -55, 4, -70), 160, ((16, _END, 10),)),
    "spike_frequency_adaptation": Preset(_values(0.01, 0.2, -65, 8, -70), 85, ((8.5, _END, 30),)),
    "class_1_excitability": Preset(
        _values(0.02, -0.1, -55, 6, -60, **_QUADRATIC), 300, ramps=((30, _END, 0, 0.075),)
    ),
    "class_2_excitability": Preset(
        _values(0.2, 0.26, -65, 0, -64), 300, ((-1, _END, -0.5),), ((30, _END, 0, 0.015),)
    ),
    "spike_latency": Preset(_values(0.02, 0.2, -65, 6, -70, 0.2), 100, ((10, 13, 7.04),)),
    "subthreshold_oscillation": Preset(_values(0.05, 0.26, -60, 0, -62), 200, ((20, 25, 2),)),
    "resonator": Preset(
        _values(0.1, 0.26, -60, -1, -62),
        400,
        ((40, 44, 0.65), (60, 64, 0.65), (280, 284, 0.65), (320, 324, 0.65)),
    ),
    "integrator": Preset(
        _values(0.02, -0.1, -55, 6, -60, **_QUADRATIC),
        100,
        ((100 / 11, 100 / 11 + 2, 9), (100 / 11 + 5, 100 / 11 + 7, 9), (70, 72, 9), (80, 82, 9)),
    ),
    "rebound_spike": Preset(_values(0.03, 0.25, -60, 4, -64, 0.2), 200, ((20, 25, -15),)),
    "rebound_burst": Preset(_values(0.03, 0.25, -52, 0, -64, 0.2), 200, ((20, 25, -15),)),
    "threshold_variability": Preset(
        _values(0.03, 0.25, -60, 4, -64), 100, ((10, 15, 1), (80, 85, 1), (70, 75, -6))
    ),
    "bistability": Preset(
        _values(0.1, 0.26, -60, 0, -61), 300, ((-1, _END, 0.24), (37.5, 42.5, 1), (216, 221, 1))
    ),
    "depolarizing_after_potential": Preset(_values(1, 0.2, -60, -21, -70, 0.1), 50, ((9, 11, 20),)),
    "accommodation": Preset(
        _values(0.02, 1, -55, 4, -65, 0.5, u_init=-16.0),
        400,
        ramps=((0, 200, 0, 1 / 25), (300, 312.5, 0, 4 / 12.5)),
    ),
    "inhibition_induced_spiking": Preset(
        _values(-0.02, -1, -60, 8, -63.8, 0.5), 350, ((-1, _END, 80), (49.75, 250.25, -5))
    ),
    "inhibition_induced_bursting": Preset(
        _values(-0.026, -1, -45, -2, -63.8, 0.5), 350, ((-1, _END, 80), (49.75, 250.25, -5))
    ),
}
"""Behaviours by name, in the source's order."""
