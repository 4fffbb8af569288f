"""The ``[SCHED]`` log: vocabulary, grammar, parser."""
