"""Segmentation of whole slides: tile by tile, from the disk to the disk."""
