"""Figures of the papers: `python -m snn_neuromod.figures NAME --out DIR`.

`FIGURES` says which there are. A module of this package computes what a figure shows with `compute`, which returns
arrays, and draws it with `draw`; matplotlib is imported only then.
"""

from snn_neuromod.figures.registry import FIGURES, Options

__all__ = ["FIGURES", "Options"]
