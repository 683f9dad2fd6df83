"""What the live tests share: a daemon to talk to, clients that can misbehave, tokens that can be broken."""

import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[3]
BELFRYD = os.path.abspath(os.environ.get("BELFRYD", ROOT / "build" / "belfryd"))
# A sanitizer's allocator keeps what was freed: memory says nothing then, and everything takes longer.
SANITIZED = os.path.exists(BELFRYD) and any(name in pathlib.Path(BELFRYD).read_bytes() for name in (b"__asan_init", b"__tsan_init"))
# Deadlines are multiplied by this.
SLOW = float(os.environ.get("BELFRY_TEST_SLOW", "3" if SANITIZED else "1"))
# How long a test waits for something that must come.
WAIT = 5.0 * SLOW
