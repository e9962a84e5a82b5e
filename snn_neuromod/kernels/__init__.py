"""Equal, faster forms of the dynamics, and what they share."""
