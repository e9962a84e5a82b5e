"""AddressSanitizer and UndefinedBehaviorSanitizer watch a small run of every kernel."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from snn_neuromod.kernels.backends.c.library import SOURCES

DRIVER = Path(__file__).with_name("sanitized") / "driver.c"
FLAGS = ["-O0", "-g1", "-std=gnu11", "-fno-math-errno", "-DSNN_SOURCE=0u", "-lm"]
WATCHED = ["-fsanitize=address,undefined", "-fno-sanitize=alignment", "-fno-sanitize-recover=all"]
"""Vectors are read from where any number may stand: that is meant, and said in their type."""


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0", "OMP_WAIT_POLICY": "passive"}
    return subprocess.run(
        [str(x) for x in arguments], env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The compiler with its sanitizers, and with OpenMP where it has that."""
    folder = tmp_path_factory.mktemp("compiler")
    (folder / "empty.c").write_text("int main(void) { return 0; }\n")
    name = os.environ.get("CC") or shutil.which("gcc") or shutil.which("cc")
    for more in (["-fopenmp"], []):
        found = [*(name or "cc").split(), *WATCHED, *more]
        made = name and run(*found, folder / "empty.c", "-o", folder / "empty").returncode == 0
        if made and run(folder / "empty").returncode == 0:
            return found
    pytest.skip("no C compiler with AddressSanitizer")


def build(compiler: list[str], sources: Path, program: Path) -> None:
    made = run(*compiler, "-I", sources, DRIVER, "-o", program, *FLAGS)
    assert made.returncode == 0, made.stderr


def test_no_kernel_leaves_its_memory(compiler: list[str], tmp_path: Path) -> None:
    build(compiler, SOURCES, tmp_path / "kernels")
    done = run(tmp_path / "kernels")
    assert (done.returncode, done.stdout) == (0, "finished\n"), done.stderr[-4000:]


def test_an_overflow_is_found(compiler: list[str], tmp_path: Path) -> None:
    """One neuron too many, at the end of an array."""
    shutil.copytree(SOURCES, tmp_path / "c")
    source = tmp_path / "c" / "leaky_integrator.h"
    text = source.read_text()
    loop = "for (int64_t n = part.col0; n < part.col1; n++)\n                output[n]"
    assert loop in text
    source.write_text(text.replace(loop, loop.replace("n < part.col1", "n <= part.col1")))
    build(compiler, tmp_path / "c", tmp_path / "kernels")
    done = run(tmp_path / "kernels")
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr
    assert "leaky_forward" in done.stderr
