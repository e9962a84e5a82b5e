"""Finds what a name on a page or in a signature stands for, where it is documented under another name."""

from __future__ import annotations

import functools
import importlib
from typing import Any, TypeVar

from docutils import nodes
from sphinx.util.nodes import make_refnode

OURS = ("snn_neuromod", "lightning_modules", "docs")
ELSEWHERE = ("torch", "numpy", "numpy.typing", "snn_neuromod.layers.base")
"""Where names that stand in a signature without their module come from."""
INSIDE = {
    "snn_neuromod.kernels.call.Paths",
    "snn_neuromod.kernels.synapses.Delays",
    "snn_neuromod.layers.fixed.Fixed",
    "snn_neuromod.layers.smoothing.SmoothingState",
    "snn_neuromod.layers.src_family.Modulated",
    "snn_neuromod.layers.src_family.SRCFamily",
    "snn_neuromod.learning.eprop.network.Source",
    "snn_neuromod.nir.plan.Plan",
    "snn_neuromod.norse.custom.CellArguments",
    "snn_neuromod.norse.custom.ModuleArguments",
    "snn_neuromod.norse.custom.RecurrentArguments",
    "snn_neuromod.norse.custom.RecurrentCellArguments",
    "snn_neuromod.snntorch.alif_family.ALIFFamily",
    "snn_neuromod.snntorch.fixed.FixedReset",
    "snn_neuromod.snntorch.src_family.AroundLayer",
    "snn_neuromod.snntorch.src_family.SRCFamily",
    "snn_neuromod.snntorch.states.Stateful",
}
"""Classes of ours that signatures name and no page describes: bases and helpers that nobody calls."""


def resolve(app: Any, env: Any, node: Any, contnode: nodes.Node) -> nodes.Node | None:
    """Link one of our names to where it is documented; leave names of other libraries as they are.

    Returns:
        A link; the text alone for what needs no page (other libraries, type variables, `INSIDE`); None for a name
        that there is not, which Sphinx then reports.
    """
    if node.get("refdomain") != "py":
        return None
    name, module = node["reftarget"], node.get("py:module")
    if name.partition(".")[0] not in OURS:
        homes = (name, *(f"{home}.{name}" for home in (module, "builtins", *ELSEWHERE)))
        return contnode if any(look_up(home) is not None for home in homes) else None
    found, domain = look_up(name), env.get_domain("py")
    for known, entry in domain.objects.items():
        if known.rpartition(".")[2] == name.rpartition(".")[2] and look_up(known) is found:
            return make_refnode(
                app.builder, node["refdoc"], entry.docname, entry.node_id, contnode, title=known
            )
    return contnode if isinstance(found, TypeVar) or name in INSIDE or "._" in name else None


@functools.cache
def look_up(name: str) -> Any:
    """The object of a dotted name, None if there is none."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:cut]))
        except ImportError:
            continue
        for part in parts[cut:]:
            found = getattr(found, part, None)
        return found
    return None
