"""Configurations and C kernels; everything else stands in pyproject.toml.

The top-level folder `configs` is installed as `lightning_modules/configs`, by a copy when a wheel is built. As a mapped
package it would put an import hook in the place of a path into editable installs, which mypy and editors do not follow.

The kernels are optional: without a working C compiler the package installs all the same.
"""

import zlib
from pathlib import Path
from typing import ClassVar

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.errors import CompileError, LinkError

FOLDER = Path("snn_neuromod/kernels")
# As `snn_neuromod.kernels.backends.c.library.source_hash`, which refuses a library built from other sources.
SOURCES = sorted(
    path
    for folder in ("c", "fusion", "fusion/printed")
    for path in (FOLDER / folder).iterdir()
    if path.suffix in (".c", ".h", ".json")
)
HASH = zlib.crc32(b"".join(path.read_bytes().replace(b"\r\n", b"\n") for path in SOURCES))


class AddConfigurations(build_py):
    """Copies the configurations into a wheel; an editable install reads the folder itself."""

    def _configurations(self) -> dict[str, str]:
        target = Path(self.build_lib, "lightning_modules")
        return {str(target / path): str(path) for path in sorted(Path("configs").rglob("*.yaml"))}

    def run(self) -> None:
        super().run()
        for target, source in {} if self.editable_mode else self._configurations().items():
            self.mkpath(str(Path(target).parent))
            self.copy_file(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        return [*super().get_outputs(include_bytecode), *self._configurations()]

    def get_source_files(self) -> list[str]:
        return [*super().get_source_files(), *self._configurations().values()]


class BuildKernels(build_ext):
    """Builds the kernels with what the compiler can: OpenMP and several instruction sets, or without."""

    MSVC: ClassVar = ["/O2", "/std:c11", "/fp:precise"]
    FLAGS: ClassVar = [
        "-O3",
        "-g0",
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
        msvc = self.compiler.compiler_type == "msvc"
        for variant in [["/openmp:experimental"], []] if msvc else self.VARIANTS:
            ext.extra_compile_args = [*(self.MSVC if msvc else self.FLAGS), *variant]
            ext.extra_link_args = [flag for flag in variant if flag == "-fopenmp"]
            try:
                return super().build_extension(ext)
            except (CompileError, LinkError) as error:
                failure = error
        raise failure


setup(
    ext_modules=[
        Extension(
            "snn_neuromod.kernels._c",
            [str(path) for path in SOURCES if path.suffix == ".c"],
            depends=[str(path) for path in SOURCES],
            define_macros=[("SNN_SOURCE", f"{HASH}u")],
            optional=True,
        )
    ],
    cmdclass={"build_ext": BuildKernels, "build_py": AddConfigurations},
)
