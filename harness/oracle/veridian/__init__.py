"""Judges logs of policy `veridian`: replay against harness.model.veridian, rule by rule."""
