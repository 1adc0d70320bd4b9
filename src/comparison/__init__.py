"""Comparison of finished runs on the same evaluation examples."""
