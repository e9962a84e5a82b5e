"""Write the sources of this folder: `python -m snn_neuromod.kernels.fusion.printed`."""

from __future__ import annotations

import sys
from pathlib import Path

from snn_neuromod.kernels.fusion.printed.writing import files

if __name__ == "__main__":
    folder = Path(__file__).parent
    for old in [*folder.glob("*.h"), *folder.glob("*.json")]:
        old.unlink()
    for name, text in files().items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
        sys.stdout.write(f"{folder / name}\n")
