"""Short names of the configurations."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightning_modules.config_files import available_configs, config_root, find_config

ROOT = Path(__file__).parents[2]


def test_root_is_the_folder_of_the_checkout() -> None:
    assert config_root() == ROOT / "configs"


def test_lists_every_file() -> None:
    files = {
        path.relative_to(ROOT / "configs").as_posix() for path in ROOT.glob("configs/**/*.yaml")
    }
    assert files == {f"{name}.yaml" for name in available_configs()}
    assert "quickstart" in available_configs()


@pytest.mark.parametrize("suffix", ["", ".yaml"])
def test_every_name_is_found(suffix: str) -> None:
    for name in available_configs():
        assert find_config(name + suffix) == ROOT / "configs" / f"{name}.yaml"


def test_an_existing_file_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("quickstart").write_text("")
    assert find_config("quickstart") == Path("quickstart")
    mine = tmp_path / "mine.yml"
    mine.write_text("")
    assert find_config(mine) == mine


def test_a_folder_of_that_name_does_not_win(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("quickstart").mkdir()
    assert find_config("quickstart") == ROOT / "configs" / "quickstart.yaml"


@pytest.mark.parametrize("name", ["qickstart", "no/such.yaml", ".", "../pyproject.toml.yaml", ""])
def test_unknown_names_are_errors(name: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"find_config: name must .*got .*--help"):
        find_config(name)
