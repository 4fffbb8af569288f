"""The events, by who logs them; :mod:`harness.trace.vocabulary` puts them together."""
