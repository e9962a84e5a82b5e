"""Code in an interpreter of its own that has imported PyTorch and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parents[1]
WAITS = """
import gc, json, os, sys
import torch
import torch._dynamo  # its compiler, which torchvision imports, for a second and a half

gc.freeze()  # or each copy would look through all of it when it ends, for a second
for line in iter(sys.stdin.readline, ""):
    asked = json.loads(line)
    child = os.fork()
    if not child:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    sys.exit()
for number, name in enumerate([os.devnull, *asked["said"]]):
    os.dup2(os.open(name, os.O_RDWR | os.O_CREAT), number)
os.chdir(asked["cwd"])
os.environ.clear()
os.environ.update(asked["env"])
sys.argv = ["-c", *asked["args"]]
exec(compile(asked["code"], "<string>", "exec"), {"__name__": "__main__"})
"""


class Fresh:
    """Runs code as `python -c` does, in copies of an interpreter that has imported PyTorch, for some seconds, once."""

    def __init__(self) -> None:
        self._waiting: Any = None

    def __call__(
        self, code: str, *args: str, cwd: Path = ROOT, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run code with the checkout on its path.

        Args:
            code: What to run.
            *args: Arguments that it finds in `sys.argv`.
            cwd: Where.
            **env: Variables of its environment besides those of this process.

        Returns:
            Exit code, and what was written.
        """
        if self._waiting is None:
            self._waiting = subprocess.Popen(
                [sys.executable, "-c", WAITS], cwd=ROOT, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )  # fmt: skip
        with TemporaryDirectory() as folder:
            said = [str(Path(folder) / name) for name in ("out", "err")]
            asked = {"code": code, "args": args, "cwd": str(cwd), "said": said}
            asked["env"] = {**os.environ, **env}
            print(json.dumps(asked), file=self._waiting.stdin, flush=True)
            end = int(self._waiting.stdout.readline())
            out, err = (Path(name).read_text(encoding="utf-8") for name in said)
        return subprocess.CompletedProcess([sys.executable, "-c", code, *args], end, out, err)

    def close(self) -> None:
        """End the one that waits."""
        if self._waiting is not None:
            with self._waiting:
                self._waiting.kill()
