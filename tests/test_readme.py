"""What the README promises runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

from tests.fresh import Fresh

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = (
    'pip install -c constraints.txt -e ".[all]" && snn-neuromod fit -c quickstart',
    'pip install -c constraints.txt -e ".[all,test]" && python -m pytest -n logical',
)


def blocks(language: str) -> list[str]:
    """Fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_the_two_commands_stand_alone_in_a_block() -> None:
    assert [block.strip() for block in blocks("bash")[:2]] == list(COMMANDS)


def test_python_examples_run(fresh: Fresh) -> None:
    """All blocks in the order of the page, in an interpreter of their own, warnings as errors."""
    code = "\n".join(blocks("python"))
    assert "snn_neuromod" in code
    result = fresh(f"import warnings; warnings.simplefilter('error')\n{code}")
    assert result.returncode == 0, result.stderr
