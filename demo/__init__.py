"""`make demo`: one search in the terminal, and a service that keeps running; no part of it."""
