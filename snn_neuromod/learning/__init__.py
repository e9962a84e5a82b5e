"""Learning rules, and e-prop in all its forms."""

from snn_neuromod.learning import eprop, rules

__all__ = ["eprop", "rules"]
