"""Tasks, data modules, callbacks and the command line for training with PyTorch Lightning."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class _RepairFirst(MetaPathFinder):
    """Lets snn_neuromod repair torchvision before anything imports it, and nothing be imported before it is needed."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name in ("pytorch_lightning", "lightning_fabric", "torchmetrics", "torchvision"):
            sys.meta_path.remove(self)
            import snn_neuromod  # noqa: F401  (installs the repair)
        return None


sys.meta_path.insert(0, _RepairFirst())
