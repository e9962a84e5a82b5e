"""Turns what names a publication, on pages and in docstrings, into a link to it."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes

PATTERNS = {
    r"arXiv[ :](\d{4}\.\d{5})": "https://arxiv.org/abs/{}",
    r"doi[ :](10\.\S+[\w])": "https://doi.org/{}",
    r"hdl (\d+\.\d+/\d+)": "https://hdl.handle.net/{}",
    r"Nat\. Commun\. 11:3625": "https://doi.org/10.1038/s41467-020-17236-y",
    r"eLife 8:e43299": "https://doi.org/10.7554/eLife.43299",
    r"PNAS 118\(51\)": "https://doi.org/10.1073/pnas.2111821118",
    r"IEEE Trans\. Neural Networks 14 \(2003\)": "https://doi.org/10.1109/TNN.2003.820440",
    r"IEEE Trans\. Neural Networks 15 \(2004\)": "https://doi.org/10.1109/TNN.2004.832719",
}
ANY = re.compile("|".join(f"(?:{pattern})" for pattern in PATTERNS))
ELSEWHERE = (nodes.literal, nodes.literal_block, nodes.reference, nodes.math, nodes.title)


def target(text: str) -> str:
    """Where a publication is."""
    for pattern, url in PATTERNS.items():
        found = re.fullmatch(pattern, text)
        if found:
            return url.format(*found.groups())
    raise ValueError(f"no publication is named by {text!r}")


def link(app: Any, doctree: nodes.document) -> None:
    """Replace the names in running text; code, mathematics and headings stay as they are."""
    for text in list(doctree.findall(nodes.Text)):
        parent = text.parent
        if any(isinstance(above, ELSEWHERE) for above in _above(text)):
            continue
        content, made, last = text.astext(), list[nodes.Node](), 0
        for match in ANY.finditer(content):
            made.append(nodes.Text(content[last : match.start()]))
            made.append(nodes.reference("", match[0], refuri=target(match[0])))
            last = match.end()
        if made and parent is not None:
            parent.replace(text, [*made, nodes.Text(content[last:])])


def _above(node: nodes.Node) -> list[nodes.Node]:
    found, parent = [], node.parent
    while parent is not None:
        found.append(parent)
        parent = parent.parent
    return found
