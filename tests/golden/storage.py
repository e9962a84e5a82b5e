"""Tensors in compressed files."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import torch


def save(found: Any, path: Path) -> None:
    with path.open("wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
        torch.save(found, packed)


def load(path: Path) -> Any:
    with gzip.open(path) as packed:
        return torch.load(packed, weights_only=True)
