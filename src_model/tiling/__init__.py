"""Tiles as data: plans in pure integers, and the stitching of what was computed on them."""
