"""Make a torchvision built for CUDA importable beside a CPU-only torch.

The torchvision wheel that pip finds on Linux is a CUDA build. Next to a CPU-only torch its compiled
operators cannot be loaded, and its Python part then fails with "operator torchvision::nms does not
exist" (pytorch/vision issue 9085). torchmetrics imports torchvision wherever it is installed, and
pytorch_lightning imports torchmetrics, so they fail as well.
"""

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

import torch

_SYMPTOM = "operator torchvision::nms does not exist"
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
# A library's definitions live only as long as the object itself.
_libraries: list[torch.library.Library] = []


class _Repairing(Loader):
    """Loads torchvision as its own loader does, a second time after the repair where the first shows the symptom."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        try:
            self.loader.exec_module(module)
        except RuntimeError as error:
            _repair(error)
            for name in [name for name in sys.modules if name.startswith("torchvision.")]:
                del sys.modules[name]
            self.loader.exec_module(module)


class _Finder(MetaPathFinder):
    """Hands torchvision to `_Repairing`, whoever imports it and whenever."""

    asking = False

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "torchvision" or self.asking:
            return None
        self.asking = True  # the others, and not itself again
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.asking = False
        if spec is not None and spec.loader is not None:
            spec.loader = _Repairing(spec.loader)
        return spec


def install() -> None:
    """Repair torchvision when something imports it, instead of now: `import snn_neuromod` needs only the core."""
    if "torchvision" not in sys.modules and torch.version.cuda is None:
        sys.meta_path.insert(0, _Finder())


def _repair(error: RuntimeError) -> None:
    """Declare what the import looks up; raise the error again if it has another cause."""
    if torch.version.cuda is not None or _SYMPTOM not in str(error):
        raise error
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in _SCHEMAS:
        library.define(schema)
    _libraries.append(library)


def ensure_torchvision() -> None:
    """Import torchvision, and repair the import where a CUDA build stands beside a CPU-only torch.

    Call it before anything imports torchvision, torchmetrics or pytorch_lightning. It does nothing
    where torchvision is missing or imports by itself. The repair only declares the two operators
    that the import looks up: datasets, transforms and models work, `torchvision.ops.nms` still
    raises when called.

    Raises:
        RuntimeError: If importing torchvision fails for any other reason.

    Example:
        >>> ensure_torchvision()
    """
    if importlib.util.find_spec("torchvision") is None:
        return
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        _repair(error)
        importlib.import_module("torchvision")
