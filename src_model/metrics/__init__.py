"""Measures of agreement between a prediction and the truth, as pure functions."""
