"""Package list; everything else stands in pyproject.toml.

The top-level folder `configs` is installed as `lightning_modules/configs`. The discovery of
pyproject.toml cannot add such a mapped package to those that it finds, so it is done here.
"""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["snn_neuromod*", "lightning_modules*"]),
        "lightning_modules.configs",
    ],
    package_dir={"lightning_modules.configs": "configs"},
)
