"""Package list and C kernels; everything else stands in pyproject.toml.

The top-level folder `configs` is installed as `lightning_modules/configs`. The discovery of
pyproject.toml cannot add such a mapped package to those that it finds, so it is done here.

The kernels are optional: without a working C compiler the package installs all the same.
"""

import zlib
from pathlib import Path
from typing import ClassVar

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError

FOLDER = Path("snn_neuromod/kernels/c")
SOURCES = sorted(path for path in FOLDER.iterdir() if path.suffix in (".c", ".h"))
# As `snn_neuromod.kernels.backends.c.library.source_hash`, which refuses a library built from other sources.
HASH = zlib.crc32(b"".join(path.read_bytes().replace(b"\r\n", b"\n") for path in SOURCES))


class BuildKernels(build_ext):
    """Builds the kernels with what the compiler can: OpenMP and several instruction sets, or without."""

    FLAGS: ClassVar = [
        "-O3",
        "-std=gnu11",
        "-ffp-contract=off",
        "-fno-math-errno",
        "-fno-trapping-math",
    ]
    VARIANTS: ClassVar = [
        ["-fopenmp", "-DSNN_CLONES"],
        ["-fopenmp"],
        ["-fopenmp-simd"],
        [],
    ]

    def build_extension(self, ext: Extension) -> None:
        for variant in self.VARIANTS:
            ext.extra_compile_args = [*self.FLAGS, *variant]
            ext.extra_link_args = [flag for flag in variant if flag == "-fopenmp"]
            try:
                return super().build_extension(ext)
            except (CompileError, LinkError) as error:
                failure = error
        raise failure


setup(
    packages=[
        *find_packages(include=["snn_neuromod*", "lightning_modules*"]),
        "lightning_modules.configs",
    ],
    package_dir={"lightning_modules.configs": "configs"},
    ext_modules=[
        Extension(
            "snn_neuromod.kernels._c",
            [str(FOLDER / "kernels.c")],
            depends=[str(path) for path in SOURCES],
            define_macros=[("SNN_SOURCE", f"{HASH}u")],
            optional=True,
        )
    ],
    cmdclass={"build_ext": BuildKernels},
)
