"""e-prop in three forms that agree: autograd rule, explicit eligibility traces, online; and feedback weights."""

from snn_neuromod.learning.eprop import feedback, online, rule, traces
from snn_neuromod.learning.eprop.online import OnlineEprop

__all__ = ["OnlineEprop", "feedback", "online", "rule", "traces"]
