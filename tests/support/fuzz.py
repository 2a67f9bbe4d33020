"""How long the random tests search: `GPT2LESSONS_FUZZ=10` makes all of them ten times as long."""

import os

TIMES = int(os.environ.get("GPT2LESSONS_FUZZ", "1"))
