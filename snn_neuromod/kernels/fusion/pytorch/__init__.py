"""Nodes of a graph as functions in PyTorch, for every device and dtype."""
