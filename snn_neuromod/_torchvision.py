"""Make a torchvision built for CUDA importable beside a CPU-only torch.

The torchvision wheel that pip finds on Linux is a CUDA build. Next to a CPU-only torch its compiled
operators cannot be loaded, and its Python part then fails with "operator torchvision::nms does not
exist" (pytorch/vision issue 9085). torchmetrics imports torchvision wherever it is installed, and
pytorch_lightning imports torchmetrics, so they fail as well.
"""

import importlib
import importlib.util

import torch

_SYMPTOM = "operator torchvision::nms does not exist"
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
# A library's definitions live only as long as the object itself.
_libraries: list[torch.library.Library] = []


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
        if torch.version.cuda is not None or _SYMPTOM not in str(error):
            raise
        library = torch.library.Library("torchvision", "FRAGMENT")
        for schema in _SCHEMAS:
            library.define(schema)
        _libraries.append(library)
        importlib.import_module("torchvision")
