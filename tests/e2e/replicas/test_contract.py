"""What holds in memory holds with Redis: the same tests, each of them a second time."""

# ruff: noqa: F403, F821 - all of these modules, with their fixtures

from tests.e2e.test_budget import *
from tests.e2e.test_joining_and_leaving import *
from tests.e2e.test_rates import *
from tests.e2e.test_resume import *

# These put the clock of the loop forward, which is not that of Redis.
del test_what_was_found_is_found_again_until_a_fresh_look_is_asked_for
del test_an_idempotency_key_joins_equal_requests_and_refuses_others
del test_what_is_unknown_is_never_begun_anew
