"""What the built distributions hold, and that the metadata agree with the code."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import snn_neuromod
from snn_neuromod.kernels.backends.c import library

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PACKAGES = ("snn_neuromod", "lightning_modules")
PREPROCESSES = """#!/bin/sh
case " $* " in *" -c "*) ;; *) exec REAL "$@" ;; esac
for word; do [ "$before" != -o ] || made=$word; before=$word; done
REAL "$@" -M -MF /dev/null && echo | REAL -x c -c - -o "$made"
"""
"""A compiler that reads every file that the sources include, and compiles nothing: nobody runs these kernels."""


def files(folder: Path, pattern: str) -> set[str]:
    """Files under `folder`, relative to the project."""
    return {path.relative_to(ROOT).as_posix() for path in folder.rglob(pattern)}


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An sdist, and the wheel that is built from that sdist."""
    folder = tmp_path_factory.mktemp("dist")
    source = folder / "source"
    ignored = shutil.ignore_patterns(
        ".*", "build", "dist", "*.egg-info", "__pycache__", "runs", "_build"
    )
    shutil.copytree(ROOT, source, ignore=ignored)
    quick = folder / "cc"
    quick.write_text(PREPROCESSES.replace("REAL", os.environ.get("CC", "cc")))
    quick.chmod(0o755)
    command = [
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--outdir",
        str(folder),
        str(source),
    ]
    environment = {**os.environ, "CC": str(quick)} if os.name == "posix" else None
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


def test_wheel_holds_all_code_and_configs(dist: Path) -> None:
    names = set(zipfile.ZipFile(next(dist.glob("*.whl"))).namelist())
    expected = {f"{package}/py.typed" for package in PACKAGES}
    for package in PACKAGES:
        expected |= files(ROOT / package, "*.py")
    expected |= {f"lightning_modules/{name}" for name in files(ROOT / "configs", "*.yaml")}
    assert "lightning_modules/configs/quickstart.yaml" in expected
    assert expected <= names
    assert "snn_neuromod/kernels/c/kernels.c" in names
    if library.load()[0] is not None:  # this machine can build the kernels
        assert any(name.startswith("snn_neuromod/kernels/_c.") for name in names)
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == set(PACKAGES)


def test_sdist_holds_tests_docs_and_configs(dist: Path) -> None:
    with tarfile.open(next(dist.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    single = {
        "pyproject.toml",
        "setup.py",
        "constraints.txt",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
    }
    trees = files(ROOT / "configs", "*.yaml") | files(ROOT / "tests", "*.py")
    trees |= files(ROOT / "docs" / "studies", "*.[pcjm]*") | {"docs/conf.py"}
    kernels = files(ROOT / "snn_neuromod" / "kernels" / "c", "*.[ch]")
    assert single | trees | kernels | {"CITATION.cff"} <= names


def test_installed_wheel_finds_its_configs(dist: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(next(dist.glob("*.whl"))).extractall(tmp_path)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from lightning_modules.config_files import find_config\n"
        "print(find_config('quickstart'))"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == str(
        tmp_path / "lightning_modules" / "configs" / "quickstart.yaml"
    )


def test_all_is_the_union_of_the_extras() -> None:
    extras = PROJECT["optional-dependencies"]
    (union,) = extras["all"]
    named = set(re.findall(r"\w+", union.partition("[")[2]))
    assert named == set(extras) - {"all", "test", "docs", "bench"}


def test_version_is_the_same_everywhere() -> None:
    version = PROJECT["version"]
    assert importlib.metadata.version("snn-neuromod") == version
    assert snn_neuromod.__version__ == version
    assert f"version: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_constraints_are_plain_versions() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    pattern = re.compile(r'[\w.-]+==[\w.]+(; python_version >= "3\.11")?')
    assert [pin for pin in pins if not pattern.fullmatch(pin)] == []
    pinned = {re.split("==", pin)[0].lower().replace("_", "-") for pin in pins}
    extras = PROJECT["optional-dependencies"]
    wanted = PROJECT["dependencies"] + [item for items in extras.values() for item in items]
    direct = {re.split(r"[\[><=;]", item)[0].lower() for item in wanted} - {
        "snn-neuromod",
        "setuptools",
    }
    assert direct - pinned == set()


@pytest.mark.parametrize("command", [[sys.executable, "-m", "lightning_modules"], ["snn-neuromod"]])
def test_the_command_line_is_installed(command: list[str]) -> None:
    program = shutil.which(command[0], path=str(Path(sys.executable).parent)) or command[0]
    result = subprocess.run(
        [program, *command[1:], "--help"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "fit" in result.stdout
