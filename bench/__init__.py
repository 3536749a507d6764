"""`make bench`: this service beside others, on one machine and one upstream; no part of it."""
