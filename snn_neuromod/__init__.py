"""Neuromodulable, bursting and adaptive spiking neurons, and e-prop."""
