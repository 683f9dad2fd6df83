"""A short form of the soak (tests/soak, `make soak`): everybody and every fault at once, all accounted for."""

import os
import subprocess
import sys

import pytest
from support import BELFRYD, ROOT, SANITIZED, SLOW

pytestmark = [pytest.mark.workers, pytest.mark.slow, pytest.mark.timeout(400)]
# A sanitizer's run is for what threads do to each other: the more of them the better.
KINDS = [(3, "sqlite")] if SANITIZED else [(1, "memory"), (3, "sqlite")]


@pytest.mark.parametrize("workers, backend", KINDS)
def test_everything(tmp_path, workers, backend):
    seed = os.environ.get("BELFRY_SOAK_SEED")
    args = ["--seconds", "6", "--warmup", "3", "--workers", str(workers), "--backends", backend, "--people", "40", "--folder", str(tmp_path), "--short"]
    env = {**os.environ, "BELFRYD": BELFRYD, "BELFRY_TEST_SLOW": str(SLOW)}
    done = subprocess.run([sys.executable, str(ROOT / "tests" / "soak" / "soak.py"), *args, *(["--seed", seed] if seed else [])],
                          env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(done.stdout)
    assert done.returncode == 0, "\n".join(line for line in done.stdout.splitlines() if line.startswith(("FINDING", "soak:")))[:4000]
