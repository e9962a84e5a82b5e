"""Compiling at first use: where libraries are kept, who may put one there, and what happens without a compiler."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from snn_neuromod.kernels.fusion import jit
from tests.fresh import Fresh

SOURCE = '__attribute__((visibility("default"))) int answer(void) { return 42; }\n'

pytestmark = pytest.mark.skipif(jit.unable() is not None, reason=f"{jit.unable()}")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "cache"
    monkeypatch.setenv(jit.CACHE, str(path))
    return path


def answer(source: str = SOURCE) -> int:
    value: int = jit.load(source, "a test").answer()
    return value


def test_compiled_once_and_said_once(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert answer() == answer() == 42
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert "compiling kernels of a test" in said
    assert str(folder) in said
    assert [path.suffix for path in folder.iterdir()] == [".so"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_key_is_source_compiler_and_processor(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer()
    assert answer(SOURCE.replace("42", "43")) == 43
    real = jit._chosen()
    monkeypatch.setattr(jit, "_chosen", lambda: real._replace(identity="another processor"))
    answer()
    assert len(list(folder.iterdir())) == 3


def test_a_library_cut_short_is_compiled_again(folder: Path, fresh: Fresh) -> None:
    folder.mkdir(mode=0o700)
    code = f"from snn_neuromod.kernels.fusion import jit; jit.load({SOURCE!r}, 'x')"
    assert fresh(code).returncode == 0
    (path,) = folder.iterdir()
    path.write_bytes(path.read_bytes()[:100])
    assert answer() == 42


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
def test_a_folder_open_to_others_is_refused(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(jit.CompileError, match="others can write"):
        answer()
    assert not list(folder.iterdir())


MEETS = f"""
import os
from snn_neuromod.kernels.fusion import jit

jit._chosen()
here, there = os.pipe(), os.pipe()
child = os.fork()
mine, other = (here, there) if child else (there, here)
compiles = jit._compile


def meet(*asked):
    os.write(mine[1], b"x")  # both have seen that there is no library before one makes it
    os.read(other[0], 1)
    compiles(*asked)


jit._compile = meet
os.write(1, b"%d\\n" % jit.load({SOURCE!r}, "x").answer())
if child:
    os.waitpid(child, 0)
"""


def test_two_processes_at_once(folder: Path, fresh: Fresh) -> None:
    found = fresh(MEETS)
    assert found.stdout.split() == ["42", "42"], found.stderr
    assert found.stderr.count("compiling kernels of x") == 2
    assert len(list(folder.iterdir())) == 1


def test_turned_off(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(jit.JIT, "0")
    assert "SNN_NEUROMOD_JIT" in (jit.unable() or "")
    with pytest.raises(jit.CompileError, match="turned off"):
        answer()
    assert not folder.exists()


def test_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    assert "no-such-compiler" in (jit.unable() or "")


def test_further_flags(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They come last, and a library compiled with others is another one."""
    for value, flags in ((7, "-DVALUE=7"), (8, "-DVALUE=7 -UVALUE -DVALUE=8")):
        monkeypatch.setenv(jit.FLAGS, flags)
        assert answer(SOURCE.replace("42", "VALUE")) == value
    assert len(list(folder.iterdir())) == 2
    monkeypatch.setenv(jit.FLAGS, "-no-such-flag")
    assert "no-such-flag" in (jit.unable() or "")


def test_what_the_compiler_said(folder: Path) -> None:
    with pytest.raises(jit.CompileError, match="error"):
        jit.load("int answer(void) { return nothing; }", "a test")
    assert not list(folder.iterdir())
