"""What a result was made with: the commit of this source, and versions of packages."""

from __future__ import annotations

import subprocess
from importlib import metadata
from pathlib import Path

__all__ = ["commit", "version"]


def version(package: str) -> str | None:
    """Version of a package; None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def commit() -> str | None:
    """Commit of this package's source, "-changed" behind it if it is not as committed; None outside a checkout."""
    source = Path(__file__).parents[1]
    if not (source / ".git").exists():
        return None
    command = ["git", "-C", str(source), "describe", "--always", "--abbrev=40", "--dirty=-changed"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
