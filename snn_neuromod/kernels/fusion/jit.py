"""C compiled when it is first needed, and kept for the next time.

A library is kept under a key of its source, the compiler and the processor (a home directory may be shared by unlike
machines) in a folder that only its owner can enter, and put there in one piece: a second process that compiles the same
does no harm.

| environment variable | |
|---|---|
| SNN_NEUROMOD_JIT | "0" turns this off |
| SNN_NEUROMOD_CACHE | the folder, in the place of `snn_neuromod` in the user's cache |
| CC | the compiler, in the place of cc, gcc or clang |
| SNN_NEUROMOD_CFLAGS | flags after those of the package: with "-O1" they are compiled sooner and run slower |
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

JIT, CACHE, FLAGS = "SNN_NEUROMOD_JIT", "SNN_NEUROMOD_CACHE", "SNN_NEUROMOD_CFLAGS"
_ARITHMETIC = ("-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math")
_FLAGS = ("-O3", "-std=gnu11", "-shared", "-fPIC", "-fvisibility=hidden", "-w", *_ARITHMETIC)
_NATIVE = ("-march=native", "-mprefer-vector-width=512", "-fopenmp")
_CHOICES = (_NATIVE, ("-march=native", "-fopenmp"), ("-march=native", "-fopenmp-simd"), ())
"""Flags that not every compiler knows, best first."""


class CompileError(RuntimeError):
    """There is no compiler, or it failed; the text says why."""


class Compiler(NamedTuple):
    """A compiler that works.

    Attributes:
        command: Its path.
        flags: What it is given.
        identity: What tells it and the processor apart from others.
    """

    command: str
    flags: tuple[str, ...]
    identity: str


def unable() -> str | None:
    """Why nothing can be compiled, None if it can."""
    if os.environ.get(JIT) == "0":
        return f"compiling at first use is turned off by {JIT}=0"
    try:
        _chosen()
    except CompileError as error:
        return str(error)
    return None


def load(text: str, name: str) -> ctypes.CDLL:
    """The library of a source, compiled unless it was before.

    Args:
        text: C.
        name: What it is, for the line that says that it compiles.

    Raises:
        CompileError: If it cannot be compiled.
    """
    reason = unable()
    if reason is not None:
        raise CompileError(reason)
    compiler = _chosen()
    key = hashlib.sha256("\0".join([text, *compiler.flags, compiler.identity]).encode()).hexdigest()
    path = _folder(os.environ.get(CACHE, "")) / f"{key[:32]}.so"
    if path.exists():
        try:
            return ctypes.CDLL(str(path))
        except OSError:  # cut short by a full disk, say
            path.unlink(missing_ok=True)
    sys.stderr.write(f"snn_neuromod: compiling kernels of {name} (once, kept in {path.parent})\n")
    _compile(compiler, text, path)
    return ctypes.CDLL(str(path))


def _compile(compiler: Compiler, text: str, path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        source, made = Path(folder) / "kernel.c", Path(folder) / "kernel.so"
        source.write_text(text, encoding="utf-8")
        _run(compiler.command, [*compiler.flags, str(source), "-o", str(made), "-lm"])
        os.replace(made, path)


def _run(command: str, arguments: list[str]) -> str:
    try:
        result = subprocess.run(
            [command, *arguments], capture_output=True, text=True, check=False, timeout=300
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CompileError(f"{command} cannot be run: {error}") from error
    if result.returncode != 0:
        lines = [line for line in result.stderr.splitlines() if "error" in line.lower()]
        raise CompileError(f"{command} failed: {(lines or ['no message'])[0]}")
    return result.stdout


def _chosen() -> Compiler:
    return _compiler(os.environ.get("CC", ""), os.environ.get(FLAGS, ""))


@cache
def _compiler(wanted: str, more: str) -> Compiler:
    """The compiler with the best flags that it knows, and more flags."""
    names = [wanted] if wanted else ["cc", "gcc", "clang"]
    command = next((path for path in map(shutil.which, names) if path), None)
    if command is None:
        raise CompileError(f"there is no C compiler ({', '.join(names)})")
    version = _run(command, ["--version"])
    for extra in _CHOICES:
        flags = (*_FLAGS, *extra, *shlex.split(more))
        try:
            with tempfile.TemporaryDirectory() as folder:
                source = Path(folder) / "try.c"
                source.write_text("int one(void) { return 1; }\n", encoding="utf-8")
                _run(command, [*flags, str(source), "-o", str(Path(folder) / "try.so")])
        except CompileError as error:
            failure = error
            continue
        return Compiler(command, flags, "\0".join([command, version, _processor()]))
    raise failure


def _processor() -> str:
    """What tells this processor from others."""
    parts = [platform.system(), platform.machine(), platform.processor()]
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return " ".join(parts)
    wanted = ("model name", "flags", "Features", "CPU part")
    seen = dict(line.partition(":")[::2] for line in lines if line.startswith(wanted))
    return " ".join([*parts, *seen.values()])


@cache
def _folder(wanted: str) -> Path:
    """The cache folder; one that goes with the process where it cannot be written.

    Raises:
        CompileError: If others could put a library there.
    """
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = Path(wanted) if wanted else Path(base) / "snn_neuromod"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError
    except OSError:
        passing = tempfile.TemporaryDirectory(prefix="snn_neuromod-")
        _PASSING.append(passing)
        return Path(passing.name)
    if os.name == "posix":
        found = folder.stat()
        if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o022:
            raise CompileError(f"{folder} belongs to another user, or others can write to it")
    return folder


_PASSING: list[tempfile.TemporaryDirectory[str]] = []
