"""The comparison of neurons and learning rules on phones: `python -m lightning_modules.comparison`."""
