"""The direction of imports, read from the source without importing it.

dynamics -> {layers, kernels, learning, analysis} -> {snntorch, norse, nir} -> lightning_modules;
siblings do not import one another, except {layers, learning} -> kernels and layers -> learning.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fresh import Fresh

ROOT = Path(__file__).parents[1]
CORE = {"errors", "surrogate", "dynamics"}
MODELS = CORE | {"layers", "kernels", "learning", "analysis"}
# What each room may import besides itself and the package's private modules. A room that is not
# listed (encoders, data, figures, ...) is held only to the rule on lightning_modules.
ALLOWED = {
    "errors": set[str](),
    "surrogate": {"errors"},
    "dynamics": {"errors", "surrogate"},
    "kernels": CORE,
    "learning": CORE | {"kernels"},
    "analysis": CORE,
    "layers": CORE | {"kernels", "learning"},
    "snntorch": MODELS,
    "norse": MODELS,
    "nir": MODELS,
}
OPTIONAL = ["norse", "tonic", "torchvision", "torchmetrics", "pytorch_lightning", "matplotlib"]


def imported(path: Path, module: str) -> Iterator[str]:
    """Full names of all that a file imports, also inside functions and relative imports."""
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            parent = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{parent}.{alias.name}" for alias in node.names)


def module_name(path: Path, root: Path) -> str:
    """Dotted name of a source file below `root`."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def violations(root: Path) -> list[str]:
    """Imports of the package below `root` that go against the direction."""
    wrong = []
    for path in sorted((root / "snn_neuromod").rglob("*.py")):
        module = module_name(path, root)
        room = module.partition(".")[2].partition(".")[0]
        for name in imported(path, module):
            top, target, *_ = [*name.split("."), "", ""]
            if top == "lightning_modules":
                wrong.append(f"{module} imports {name}")
            if top != "snn_neuromod" or room not in ALLOWED:
                continue
            if target != room and not target.startswith("_") and target not in ALLOWED[room]:
                wrong.append(f"{module} imports {name}")
    return wrong


def test_imports_go_one_way() -> None:
    assert violations(ROOT) == []
    assert len(list((ROOT / "snn_neuromod" / "dynamics").glob("*.py"))) > 5


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("dynamics/src.py", "from snn_neuromod import layers"),
        ("dynamics/src.py", "from snn_neuromod.kernels.dispatch import run"),
        ("dynamics/src.py", "import snn_neuromod"),
        ("kernels/src.py", "from ..layers import SRC"),
        ("kernels/__init__.py", "from ..layers import SRC"),
        ("learning/eprop/rule.py", "from ...layers import ALIF"),
        ("layers/src.py", "def f():\n    import snn_neuromod.snntorch.src"),
        ("norse/__init__.py", "from snn_neuromod.snntorch import SRC"),
        ("encoders.py", "from lightning_modules import tasks"),
    ],
)
def test_a_wrong_import_is_seen(tmp_path: Path, path: str, line: str) -> None:
    file = tmp_path / "snn_neuromod" / path
    file.parent.mkdir(parents=True)
    file.write_text(line)
    assert len(violations(tmp_path)) == 1


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (
            "layers/src.py",
            "from snn_neuromod.learning.eprop import rule\nfrom ..kernels import dispatch",
        ),
        ("dynamics/src.py", "from snn_neuromod._types import Param\nfrom . import scan"),
        ("dynamics/__init__.py", "from . import src\nfrom ..surrogate import triangular"),
        ("norse/src.py", "import norse\nimport snntorch\nfrom ..layers import SRC"),
    ],
)
def test_a_right_import_passes(tmp_path: Path, path: str, line: str) -> None:
    file = tmp_path / "snn_neuromod" / path
    file.parent.mkdir(parents=True)
    file.write_text(line)
    assert violations(tmp_path) == []


def taken(root: Path) -> list[str]:
    """Modules whose name their package gives to something else."""
    found = []
    for package in ("snn_neuromod", "lightning_modules"):
        for path in sorted((root / package).rglob("__init__.py")):
            module = module_name(path, root)
            beside = {file.stem for file in path.parent.glob("*.py")}
            names = (name.rpartition(".") for name in imported(path, module))
            found += [name for home, _, name in names if name in beside and home != module]
    return found


def test_a_name_means_one_thing(tmp_path: Path) -> None:
    """No package takes the name of one of its modules for a function: `analysis.bursts` is one or the other."""
    assert taken(ROOT) == []
    package = tmp_path / "snn_neuromod" / "analysis"
    package.mkdir(parents=True)
    (package / "bursts.py").touch()
    (package / "__init__.py").write_text("from snn_neuromod.analysis.bursts import bursts")
    assert taken(tmp_path) == ["bursts"]


def test_import_needs_only_the_core(fresh: Fresh) -> None:
    code = "import sys, snn_neuromod; print(*(set(sys.argv[1:]) & set(sys.modules)))"
    result = fresh(code, *OPTIONAL)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == []


WRITERS = {
    "snn_neuromod/_storage.py",
    "snn_neuromod/benchmarks/measure.py",  # a switch of the system's
    "snn_neuromod/data/phones/espeak.py",  # into a folder that is put in place whole
    "snn_neuromod/data/phones/espeak_recordings.py",
    "snn_neuromod/kernels/fusion/jit.py",  # a temporary folder
    "snn_neuromod/kernels/fusion/printed/__main__.py",  # sources that git keeps
}


def written_in_place(text: str) -> list[str]:
    """Calls that write into a file under its final name, and not into an open one that is called `file` or so."""
    found = []
    for node in ast.walk(ast.parse(text)):
        name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        path = name.endswith((".write_text", ".write_bytes")) or (
            name.endswith((".savefig", "nir.write"))
            and ast.unparse(node.args[0]) not in ("file", "whole", "drawn")  # type: ignore[attr-defined]
        )
        found += [name] if path else []
    return found


def test_results_are_written_whole_or_not_at_all() -> None:
    for package in ("snn_neuromod", "lightning_modules", "docs/studies"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if name not in WRITERS:
                assert written_in_place(path.read_text(encoding="utf-8")) == [], name
    wrong = "path.write_text('x')\nnir.write(path, graph)\nf.savefig(path)"
    assert written_in_place(wrong) == ["path.write_text", "nir.write", "f.savefig"]
