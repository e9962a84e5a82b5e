"""The repair of a CUDA torchvision beside a CPU-only torch, each case in an interpreter with PyTorch alone."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.fresh import Fresh

REPAIR = "from snn_neuromod._torchvision import ensure_torchvision; ensure_torchvision()\n"
SYMPTOM = "operator torchvision::nms does not exist"


@pytest.fixture(name="mismatch", scope="module")
def _mismatch(fresh: Fresh) -> str:
    """What an import without the repair says; skips where torchvision imports by itself."""
    result = fresh("import torchvision")
    if result.returncode == 0:
        pytest.skip("torchvision matches torch on this machine: there is nothing to repair")
    return result.stderr


def test_import_fails_without_the_repair(mismatch: str) -> None:
    assert SYMPTOM in mismatch


@pytest.mark.usefixtures("mismatch")
def test_repairs_after_a_failed_import(fresh: Fresh) -> None:
    failed = "try:\n    import torchvision\nexcept RuntimeError:\n    print('failed')\n"
    result = fresh(failed + REPAIR + "import torchvision.transforms.v2")
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "failed"


@pytest.mark.usefixtures("mismatch")
def test_leaves_other_errors_alone(tmp_path: Path, fresh: Fresh) -> None:
    fake = tmp_path / "torchvision.py"
    fake.write_text("raise RuntimeError('something else')")
    result = fresh(f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n" + REPAIR)
    assert result.returncode != 0
    assert "something else" in result.stderr


@pytest.mark.usefixtures("mismatch")
def test_leaves_a_cuda_build_of_torch_alone(fresh: Fresh) -> None:
    result = fresh("import torch; torch.version.cuda = '13.0'\n" + REPAIR)
    assert result.returncode != 0
    assert SYMPTOM in result.stderr


def test_other_libraries_may_come_first(fresh: Fresh) -> None:
    first = "import norse.torch, tonic, snntorch\n"
    result = fresh(first + REPAIR + REPAIR + "import torchmetrics")
    assert result.returncode == 0, result.stderr


def test_without_torchvision_nothing_happens(fresh: Fresh) -> None:
    hide = "import sys, importlib.util as u; find = u.find_spec\n"
    hide += "u.find_spec = lambda name, *a: None if name == 'torchvision' else find(name, *a)\n"
    result = fresh(hide + REPAIR + "assert 'torchvision' not in sys.modules")
    assert result.returncode == 0, result.stderr


def test_mnist_and_transforms_work(tmp_path: Path, fresh: Fresh) -> None:
    """Real idx files of two images come out of MNIST and transforms.v2 as they went in."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    pixels = bytes(range(256)) * 7  # 1792 >= 2 x 28 x 28
    for split in ("train", "t10k"):
        images = struct.pack(">4i", 0x803, 2, 28, 28) + pixels[: 2 * 784]
        (raw / f"{split}-images-idx3-ubyte").write_bytes(images)
        (raw / f"{split}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 0x801, 2) + b"\x03\x07")
    code = (
        REPAIR
        + """
import sys, torch
from torchvision.datasets import MNIST
from torchvision.transforms import v2

transform = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
data = MNIST(sys.argv[1], train=True, transform=transform)
image, label = data[1]
expected = (torch.arange(784, 2 * 784) % 256).reshape(1, 28, 28) / 255
torch.testing.assert_close(torch.as_tensor(image), expected)
print(len(data), label)
"""
    )
    result = fresh(code, str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["2", "7"]


@pytest.mark.usefixtures("mismatch")
@pytest.mark.parametrize(
    "code",
    [
        "import lightning_modules, pytorch_lightning, torchvision.transforms.v2",
        "import importlib.util, snn_neuromod; importlib.util.find_spec('torchvision'); import torchmetrics",
        "from snn_neuromod import nir; from torchvision import datasets, transforms",
    ],
)
def test_whatever_is_imported_afterwards_is_repaired(code: str, fresh: Fresh) -> None:
    result = fresh(code)
    assert result.returncode == 0, result.stderr
