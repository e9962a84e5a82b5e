"""Phone corpora, speech features and framewise data sets."""
