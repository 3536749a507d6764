"""What holds in memory holds with Redis: the same tests, each of them a second time."""

import pytest

from tests.e2e.test_budget import *  # noqa: F403
from tests.e2e.test_joining import *  # noqa: F403
from tests.e2e.test_leaving import *  # noqa: F403
from tests.e2e.test_rates import *  # noqa: F403
from tests.e2e.test_resume import *  # noqa: F403
