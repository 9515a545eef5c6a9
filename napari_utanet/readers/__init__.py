"""Readers that open files as layers."""
