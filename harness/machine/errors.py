"""What is said about a machine that cannot be."""


class ConfigError(ValueError):
    """A configuration no machine can be built from; the message names the field and the way out."""
