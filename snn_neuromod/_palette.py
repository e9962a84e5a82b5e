"""Okabe and Ito's colours, which colour-blind readers can tell apart, in hexadecimal."""

BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
SKY, VERMILION, YELLOW = "#56B4E9", "#D55E00", "#F0E442"
BLACK, GREY, PALE = "#000000", "#7F7F7F", "#D9D9D9"
