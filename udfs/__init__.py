"""What SQL calls. Imports nothing of ours: `dist/udfs.zip` brings it to the workers alone."""

PREFIX = "samewater."
"""Begins the name of each job parameter that says where a function writes."""
