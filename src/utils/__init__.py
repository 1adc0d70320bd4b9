"""Helpers that know nothing of the project: errors, files, processes, environment, console."""
