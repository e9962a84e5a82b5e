"""Finds what a name on a page or in a signature stands for, where it is documented under another name."""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Iterator
from typing import Any, TypeVar

from docutils import nodes
from sphinx import addnodes
from sphinx.util.nodes import make_refnode

NO_LINKS = (nodes.reference, nodes.title, addnodes.desc_signature)
OURS = ("snn_neuromod", "lightning_modules", "docs")
ELSEWHERE = (
    "torch",
    "numpy",
    "numpy.typing",
    "matplotlib.axes",
    "matplotlib.collections",
    "snn_neuromod.layers.base",
)
"""Where names that stand in a signature without their module come from."""
INSIDE = {
    "snn_neuromod.kernels.call.Paths",
    "snn_neuromod.kernels.synapses.Delays",
    "snn_neuromod.layers.fixed.Fixed",
    "snn_neuromod.layers.smoothing.SmoothingState",
    "snn_neuromod.layers.src_family.Modulated",
    "snn_neuromod.layers.src_family.SRCFamily",
    "snn_neuromod.learning.eprop.network.Source",
    "snn_neuromod.nir.reading.plan.Plan",
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
    inner = isinstance(look_up(name), TypeVar) or name in INSIDE or "._" in name
    return _link(app, node["refdoc"], name, contnode) or (contnode if inner else None)


def link_words(app: Any, doctree: nodes.document, docname: str) -> None:
    """Link what code words in running text name: `snn_neuromod.dynamics.alif`, `dynamics.alif`, `nm.MSRC`, `Psi`."""
    for literal in list(doctree.findall(nodes.literal)):
        text = literal.astext()
        inside = any(isinstance(above, NO_LINKS) for above in _above(literal))
        if inside or not re.fullmatch(r"[\w.]+", text):
            continue
        for name in (text, re.sub(r"^nm\.", "snn_neuromod.", text), f"snn_neuromod.{text}"):
            ours = name.partition(".")[0] in OURS and "." in name
            found = _link(app, docname, name, literal.deepcopy()) if ours else None
            if found is not None:
                literal.replace_self(found)
                break


def open_images(app: Any, doctree: nodes.document, docname: str) -> None:
    """Let a picture open at its full size."""
    for image in list(doctree.findall(nodes.image)):
        known = app.env.images.get(image["uri"])
        if known is not None and not isinstance(image.parent, nodes.reference):
            path = "../" * docname.count("/") + f"{app.builder.imagedir}/{known[1]}"
            around = nodes.reference("", "", image.deepcopy(), refuri=path, internal=True)
            text = isinstance(image.parent, nodes.TextElement)
            image.replace_self(around if text else nodes.paragraph("", "", around))


def _link(app: Any, docname: str, name: str, content: nodes.Node) -> nodes.Node | None:
    """A link to where an object of ours is documented, under whatever name."""
    found, domain = look_up(name), app.env.get_domain("py")
    if found is None:
        return None
    for known, entry in domain.objects.items():
        if known.rpartition(".")[2] == name.rpartition(".")[2] and look_up(known) is found:
            return make_refnode(
                app.builder, docname, entry.docname, entry.node_id, content, title=known
            )
    return None


def _above(node: nodes.Node) -> Iterator[nodes.Node]:
    while node.parent is not None:
        node = node.parent
        yield node


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
