"""Kernels of the neurons of the package, printed from their steps and compiled when it is installed.

`python -m snn_neuromod.kernels.fusion.printed` writes the sources; a test holds them equal to what it would write. Each
serves all options of its neuron, see `switches`; `index.json` tells what there is.
"""
