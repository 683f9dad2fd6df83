"""What the live tests share: a daemon to talk to, clients that can misbehave, tokens that can be broken."""

import os

# Deadlines are multiplied by this; sanitizer builds set it to 3 or so.
SLOW = float(os.environ.get("BELFRY_TEST_SLOW", "1"))
# How long a test waits for something that must come.
WAIT = 5.0 * SLOW
