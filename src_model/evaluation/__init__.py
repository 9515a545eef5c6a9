"""How good a segmentation is, in numbers that a reader can check: scores, their table, comparisons."""
