"""Sphinx configuration: furo, MyST and autodoc; builds without a network."""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from names import link_words, open_images, resolve
from references import link
from sphinx.util.inspect import TypeAliasForwardRef

from snn_neuromod._torchvision import ensure_torchvision

ensure_torchvision()

PYPROJECT = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")

TYPES = re.findall(
    r"^\.\. py:type:: (\w+)$",
    (Path(__file__).parent / "api" / "types.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)

project = "snn-neuromod"
author = "The snn-neuromod authors"
copyright = author
release = re.search(r'^version = "(.+)"$', PYPROJECT, re.MULTILINE)[1]  # type: ignore[index]

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx-mathjax-offline",
]
exclude_patterns = ["_build", "benchmarks/benchmarks.md", "studies/*/tables*.md"]
html_theme = "furo"
html_title = f"{project} {release}"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
nb_execution_timeout = 120  # seconds for a cell; notebooks run at every build
nb_execution_raise_on_error = True
nb_merge_streams = True
nb_output_stderr = "remove"  # that kernels are being compiled
default_role = "code"

autodoc_member_order = "bysource"
# The docstrings that overrides inherit from torch and Lightning refer to pages of their own docs.
autodoc_inherit_docstrings = False
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "show-inheritance": True}
python_use_unqualified_type_names = True
napoleon_use_ivar = True
# Signatures name these as the source does; docs/api/types.md says what they stand for.
autodoc_type_aliases = {name: name for name in TYPES}
TypeAliasForwardRef.__repr__ = lambda self: self.name  # type: ignore[method-assign] # inside unions
python_maximum_signature_line_length = 90  # beyond that an argument a line
nitpicky = True

# Code stays as it is; what stands between dollars becomes mathematics.
_MATH = re.compile(
    r"(?P<code>``.+?``|`[^`]+`|^ *>>> .*$)"
    r"|^(?P<indent> *)\$\$(?P<block>.+?)\$\$"
    r"|\$(?P<inline>[^$]+?)\$",
    re.MULTILINE | re.DOTALL,
)
_TABLE = re.compile(r"^(?P<head> *\|.+\|)\n *\|[-:| ]+\|\n(?P<rows>(?: *\|.+\|\n)+)", re.MULTILINE)
_RETURNS = re.compile(r"^Returns:\n(?P<body>(?:    .+\n)+)", re.MULTILINE)
_NAMED = re.compile(r"^    (\w+): ", re.MULTILINE)


def _math(match: re.Match[str]) -> str:
    if match["code"]:
        return match["code"]
    if match["inline"]:
        return f":math:`{' '.join(match['inline'].split())}`"
    lines = [line.strip() for line in match["block"].strip().splitlines()]
    indent = match["indent"]
    body = "".join(f"{indent}    {line}\n" for line in lines)
    return f"\n{indent}.. math::\n\n{body}"


def _table(match: re.Match[str]) -> str:
    rows = [row.strip(" |").split(" | ") for row in [match["head"], *match["rows"].splitlines()]]
    items = [
        "\n".join(f"{'* -' if i == 0 else '  -'} {cell}" for i, cell in enumerate(row))
        for row in rows
    ]
    text = ".. list-table::\n   :header-rows: 1\n\n" + textwrap.indent("\n".join(items), "   ")
    indent = match["head"][: match["head"].index("|")]
    return "\n" + textwrap.indent(text, indent) + "\n\n"


def _returns(match: re.Match[str]) -> str:
    """Give each of several named values its own item; napoleon knows one, and takes words before a colon for a type."""
    body = match["body"]
    if len(_NAMED.findall(body)) < 2:
        return f":returns:\n{body}"
    return ":returns:\n" + _NAMED.sub(r"    * **\1** -- ", body).replace("\n        ", "\n      ")


def _parameters(neuron: Any) -> str:
    """Table of what a neuron states of its parameters."""
    rows = [
        (f"`{name}`", f"`{p.symbol}`", f"{p.default:g}", p.sentence)
        for name, p in neuron.PARAMETERS.items()
    ]
    head = [("parameter", "of the equations", "default", "what it is"), ("---",) * 4]
    return "\n" + "".join(f"| {' | '.join(row)} |\n" for row in [*head, *rows])


def process_docstring(
    app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Turn Markdown mathematics and tables into reStructuredText, before napoleon; add tables of parameters."""
    if what == "module" and hasattr(obj, "PARAMETERS"):
        references = next(i for i, line in enumerate(lines) if line.startswith("References:"))
        lines[references:references] = [*_parameters(obj).splitlines(), ""]
    if what in ("attribute", "data", "property"):
        lines[:0] = ["..", ""]  # or napoleon takes what stands before a colon for a type
    text = _TABLE.sub(_table, _MATH.sub(_math, "\n".join(lines) + "\n"))
    lines[:] = _RETURNS.sub(_returns, text).splitlines()


def skip_member(app: Any, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leave out fields of named tuples, whose meaning stands under Attributes, and modules that are attributes."""
    return True if type(obj).__name__ == "_tuplegetter" or isinstance(obj, ModuleType) else None


def setup(app: Any) -> None:
    """Register the hooks; 400 comes before napoleon's 500."""
    app.connect("autodoc-process-docstring", process_docstring, priority=400)
    app.connect("autodoc-skip-member", skip_member)
    app.connect("doctree-read", link)
    app.connect("missing-reference", resolve)
    app.connect("doctree-resolved", link_words)
    app.connect("doctree-resolved", open_images)
