"""What moved to `tests.dashscope`, until nothing imports it from here any more."""

from tests.dashscope import COMPLETED, CREATED, EVENTS, WIRE, block, delta, event

__all__ = ["COMPLETED", "CREATED", "EVENTS", "WIRE", "block", "delta", "event"]
