"""What trained networks do when their modulation changes at run time: measurements and a figure of the memory task."""
