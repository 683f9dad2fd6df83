"""What all parts of the soak share: the daemon, the dice, the tokens, the counts and the findings."""

import asyncio
import collections
import os
import random
import re
import time

import figures
import ledger
from support import SLOW, tokens
from support.daemon import Daemon

REPORT_RE = re.compile(r"ERROR: \w+Sanitizer|WARNING: \w+Sanitizer|SUMMARY: \w+Sanitizer|: runtime error:|==\d+==")
ROOMS = [f"r{i}" for i in range(8)]
GROUPS = {"a": [f"acct/a/{i}" for i in range(4)], "b": [f"acct/b/{i}" for i in range(3)]}
KEEPS = 300  # the least history that a configuration of the run gives the topics that are accounted for


RELOAD_RE = re.compile(r"server\.reload.*result\W+ok")


class Process(Daemon):
    """The daemon; its log goes to a file, and what matters of it is kept."""

    def __init__(self, *args, **how):
        super().__init__(*args, **how)
        self.reloads = []

    def _read(self, pipe):
        reporting = 0
        with open(self.folder / "belfryd.log", "ab") as out:
            for raw in pipe:
                out.write(raw)
                out.flush()
                line = raw.decode("utf-8", "backslashreplace").rstrip("\n")
                if REPORT_RE.search(line):
                    reporting = 120
                if RELOAD_RE.search(line):
                    self.reloads.append(line)
                with self._more:
                    if reporting or len(self.lines) < 200:
                        self.lines.append(line)
                    reporting = max(0, reporting - 1)
                    self._more.notify_all()
        with self._more:
            self._more.notify_all()

    def reports(self):
        return [line for line in self.lines if REPORT_RE.search(line)]


class World:
    def __init__(self, process, seed, slow=SLOW):
        self.d, self.seed, self.slow = process, seed, slow
        self.rng = random.Random(seed)
        self.counts = collections.Counter()
        self.findings = []
        self.ledger = ledger.Ledger(self.wrong, KEEPS)
        self.secret = tokens.SECRET
        self.leeway = 2
        self.leaving = False  # everybody finishes what it has begun, and goes
        self.ending = False  # the daemon is being stopped: anything may end at any time
        self.calm = asyncio.Event()  # the configuration is the plain one
        self.good = []
        self.numbers = iter(range(1 << 60))
        self.book = None  # of changers.py
        self.changers, self.resting = 0, set()  # how many there are, and those who change nothing any more

    @property
    def address(self):
        return self.d.address

    @property
    def host(self):
        return self.d.host

    def wrong(self, what):
        self.findings.append(what)
        if len(self.findings) <= 40:
            print(f"FINDING {what}", flush=True)

    def all_said(self):
        """Nobody who accounts for what they say has anything left to say."""
        return not any(g.pending for g in self.good)

    def dice(self):
        return random.Random(self.rng.random())

    def token(self, sub, ttl=3600, **how):
        if not {"subscribe", "publish", "belfry", "everything"} & set(how):
            how["everything"] = True
        return tokens.make(sub, ttl=ttl, key=self.secret, **how)

    def admin(self):
        return self.token("root", role="admin")

    def key(self, sub):
        return f"{sub}.{next(self.numbers)}"

    async def nap(self, seconds):
        """Sleeps, but not beyond the moment when everybody leaves."""
        end = time.monotonic() + seconds
        while not self.leaving and (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.25))

    async def metrics(self):
        return await figures.metrics(self)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.d.process.pid}/fd"))
