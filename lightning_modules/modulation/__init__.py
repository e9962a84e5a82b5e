"""Fixed and learned modulation of 42 mSRC neurons on MNIST: `python -m lightning_modules.modulation`."""
