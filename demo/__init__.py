"""`make demo`: one search in the terminal, from nothing; no part of the service."""
