"""Judges a run: named rules, and one outcome for each run."""
