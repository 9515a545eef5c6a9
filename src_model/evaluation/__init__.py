"""Judging a model: scores of its masks, tables of them, their comparison, and the report."""
