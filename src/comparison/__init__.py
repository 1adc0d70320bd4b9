"""Comparing finished runs on the same evaluation pairs."""
