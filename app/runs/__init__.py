"""Runs: one append-only log of events a search, written by one task, read by many."""

from app.runs.local import OpenRequest
from app.runs.log import EventLog
from app.runs.replicated import ReplicatedRuns
from app.runs.run import Reader, Run
from app.runs.runs import Opened, Runs

__all__ = ["EventLog", "OpenRequest", "Opened", "Reader", "ReplicatedRuns", "Run", "Runs"]
