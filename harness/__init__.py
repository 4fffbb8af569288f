"""Builds, boots and judges the scheduler guest."""
