"""The two-stage training engine."""
