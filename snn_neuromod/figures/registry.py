"""The figures by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple


class Options(NamedTuple):
    """What all figures may be told.

    Attributes:
        data: Folder with data that a figure can show instead of made-up input; None: made-up.
        seed: Seed of everything random.
    """

    data: Path | None = None
    seed: int = 0


# Name of a figure -> module of this package that holds a function of that name, which takes Options
# and gives a matplotlib figure. The module is imported when the figure is asked for.
_MODULES = {
    "eprop_traces": "eprop_traces",
    "src_portraits": "portraits",
    "src_against_msrc": "src_against_msrc",
    "type_2_portraits": "portraits",
    "type_1_portraits": "portraits",
    "type_2_star_portraits": "portraits",
    "modulation_maps": "modulation_maps",
    "fi_curves": "fi_curves",
    "modulation_maps_synapse": "modulation_maps",
    "bursting": "bursting",
    "bursting_map": "bursting",
    "bifurcation_diagram": "bifurcation_diagram",
    "modulation_at_run_time": "modulation_at_run_time",
    "alif_neuron": "eprop_neurons",
    "stdp_alif_neuron": "eprop_neurons",
    "izhikevich_neuron": "eprop_neurons",
    "fixed_izhikevich_neuron": "eprop_neurons",
    "pre_post_windows": "pre_post_windows",
    "izhikevich_presets": "izhikevich_presets",
}


def _maker(name: str, module: str) -> Callable[[Options], Any]:
    def make(options: Options) -> Any:
        found = importlib.import_module(f"snn_neuromod.figures.{module}")
        return getattr(found, name)(options)

    return make


FIGURES: dict[str, Callable[[Options], Any]] = {
    name: _maker(name, module) for name, module in _MODULES.items()
}
"""Name of a figure -> function that makes it, a matplotlib figure."""
