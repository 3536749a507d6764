"""Runs: one append-only log of events a search, written by one task, read by many."""
