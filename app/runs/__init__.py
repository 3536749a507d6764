"""Runs: one log of events a search, written by one task, read by many."""

from app.runs.log import EventLog
from app.runs.run import Reader, Run
from app.runs.runs import CacheResult, Opened, RunLimits, Runs
from app.runs.work import Work

__all__ = ["CacheResult", "EventLog", "Opened", "Reader", "Run", "RunLimits", "Runs", "Work"]
