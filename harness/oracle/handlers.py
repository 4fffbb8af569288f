"""Handlers of events: what a replay calls with the fields of each."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence

from harness.trace.grammar import event_type

Handler = Callable[..., None]


def check_signatures(
    handlers: Mapping[str, Handler], given: Sequence[str], renamed: Mapping[str, str]
) -> None:
    """Handlers take what is ``given`` to each, then the fields of their event, in order and under
    their names, some of which are ``renamed``. Raises TypeError.
    """
    for name, handler in handlers.items():
        due = [renamed.get(field.name, field.name) for field in event_type(name).fields]
        parameters = list(inspect.signature(handler).parameters.values())[len(given) :]
        found = [parameter.name for parameter in parameters]
        takes_all = len(parameters) == 1 and parameters[0].kind is inspect.Parameter.VAR_POSITIONAL
        if found != due and not takes_all:
            raise TypeError(f"the handler of event {name} takes {found}, its fields are {due}")
