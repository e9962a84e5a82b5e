"""What runs on a device machine needs no more than is there: no compiled library, no peer, no Lightning."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fresh import Fresh

ROOT = Path(__file__).parents[2]
ABSENT = """
import sys

class Absent:
    names = {
        "jsonargparse", "lightning", "matplotlib", "nir", "nirtorch", "norse", "pandas", "pytorch_lightning", "scipy",
        "snntorch", "tonic", "torchvision", "yaml", "xdist", "snn_neuromod.kernels._c",
    }

    def find_spec(self, name, path=None, target=None):
        if name in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
"""
IMPORTS = "; ".join(
    f"import tests.cuda.{path.stem}" for path in sorted((ROOT / "tests" / "cuda").glob("[!_]*.py"))
)
PROGRAMS = {
    "tests": IMPORTS,
    "benchmarks": "from snn_neuromod.benchmarks import __main__, device, peers\n"
    "from snn_neuromod.benchmarks.peers import ours, training\n"
    "__main__.main(['--list'])",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_runs_from_the_plain_working_tree(name: str, fresh: Fresh) -> None:
    done = fresh(ABSENT + PROGRAMS[name])
    assert done.returncode == 0, done.stderr[-2000:]
