"""What the second policy, VeridianOS's scheduler, does."""

from harness.trace.event_kind import EventType

EVENTS: tuple[EventType, ...] = (
    EventType("bugs", "the original's defects re-created in this run; bit n: Vn", "mask:x"),
)
