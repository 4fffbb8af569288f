"""Looks for races: runs the same work under many interleavings, each of which a seed repeats."""
