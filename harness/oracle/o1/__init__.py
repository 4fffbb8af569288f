"""Policy o1 held against its model, event by event."""
