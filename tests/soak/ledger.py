"""What was said, by everybody's account: each topic's messages, and what each reader must have seen of them.

A message enters by its sender's acknowledgement or by the first reader who sees it, whichever comes first; from then on everybody
whose reading has passed it must have seen it once, the same, and in the order of ids, unless a gap was told.
"""

import bisect
import time

NEVER = 1 << 53  # above all ids
NOBODY = "?"  # who published an event is not told


def sender(m):
    return m["from"]["id"] if "from" in m else NOBODY


def now_id():
    """The id that a message of this moment would have."""
    return int(time.time() * 1_000_000)


class Topic:
    def __init__(self, name, keeps):
        self.name, self.keeps = name, keeps  # the least history that any configuration of the run gives it
        self.ids = []
        self.facts = {}

    def note(self, i, sender, digest):
        """What is wrong with it, or None."""
        known = self.facts.get(i)
        if known is None:
            self.facts[i] = (sender, digest)
            if not self.ids or i > self.ids[-1]:
                self.ids.append(i)
            else:
                bisect.insort(self.ids, i)
            return None
        return None if known == (sender, digest) else f"{self.name}: {i} is {known} to one and {(sender, digest)} to another"

    def between(self, after, upto):
        return self.ids[bisect.bisect_right(self.ids, after):bisect.bisect_right(self.ids, upto)]

    def trimmed_by(self, moment):
        """The newest id that may be gone from the log at that moment."""
        at = bisect.bisect_right(self.ids, moment)
        return self.ids[at - self.keeps] if at >= self.keeps else 0

    def forget(self, upto):
        """What all have passed; enough is kept to judge gaps."""
        n = min(bisect.bisect_right(self.ids, upto), max(0, len(self.ids) - 8 * self.keeps))
        for i in self.ids[:n]:
            del self.facts[i]
        del self.ids[:n]


class Reader:
    """One cursor over some topics: a room, a subscription or a stream, over all the connections that carried it."""

    def __init__(self, ledger, name, topics):
        self.ledger, self.name = ledger, name
        self.topics = [ledger.topic(t) for t in topics]
        self.cursor = None
        self.checked = 0
        self.seen = set()
        self.gaps = []  # (asked after, told at, reason)
        self.level_at = self.was_level = (0, 0)  # (when, cursor): it had all up to there, with nothing left to be told
        self.own, self.unsure = None, bool  # its user, who may not know yet whether a message of theirs was taken
        self.reading_since = None  # connected and not holding back
        ledger.readers.append(self)

    def begin(self, latest):
        if self.cursor is None:
            self.cursor = self.checked = latest

    def heard(self, topic, i, sender, digest):
        if self.cursor is not None and i <= self.cursor:
            self.ledger.wrong(f"{self.name}: {topic} {i} came after {self.cursor}")
        if self.cursor is None:
            self.checked = i - 1
        self.passed(i)
        self.seen.add(i)
        if sender is not None:
            self.ledger.note(topic, i, sender, digest)

    def passed(self, i):
        """The cursor is there. What is this new is not replayed; a moment later no gap can be on its way any more."""
        self.cursor = i
        moment = now_id()
        if moment - i < 1_000_000 and moment - self.level_at[0] > 5_000_000:
            self.was_level, self.level_at = self.level_at, (moment, i)

    def acked(self, i):
        if i > self.checked:
            self.seen.add(i)

    def gap(self, reason, after):
        """`after` is the position asked for. In a merge of topics the others' messages come before the gap: a reader that was cut off
        before it may have passed some of what was trimmed, and is told when it comes back."""
        if reason != "slow":
            asked = self.cursor if after is None else after
            self.gaps.append((min(asked or 0, self.was_level[1]) if len(self.topics) > 1 else asked or 0, now_id() + 2_000_000, reason))
            self.level_at = self.was_level

    def reads(self, on=True):
        self.reading_since = time.monotonic() if on else None

    def check(self, upto, late=None):
        """Everything up to the cursor is there; and, when it reads, what came before `late` is below the cursor."""
        if self.cursor is None:
            return
        if late is None and (self.reading_since is None or time.monotonic() - self.reading_since < 10):
            return  # what is being replayed may have a gap that is still to come
        end = min(upto, self.cursor)
        if self.unsure():
            end = self._sure_of(end)
        self._judge_gaps(end)
        for t in self.topics:
            for i in t.between(self.checked, end):
                if i not in self.seen and not self._excused(t, i):
                    self.ledger.wrong(f"{self.name}: {t.name} {i} {t.facts[i][0]} is missing; at {self.cursor}, gaps {self.gaps}")
            if late is not None and (waiting := [i for i in t.between(max(self.cursor, self.checked), late) if i not in self.seen]):
                if not any(self._excused(t, i) for i in waiting):
                    self.ledger.wrong(f"{self.name}: {len(waiting)} of {t.name} have not come, first {waiting[0]}; at {self.cursor}")
        if end > self.checked:
            self.checked = end
            self.seen = {i for i in self.seen if i > end}
            self.gaps = [g for g in self.gaps if g[1] > end]

    def _sure_of(self, end):
        """Up to where no message of its own is waiting for an ack that was lost."""
        for t in self.topics:
            for i in t.between(self.checked, end):
                if i not in self.seen and t.facts[i][0] in (self.own, NOBODY):
                    end = i - 1
                    break
        return end

    def waits_for(self):
        """How many of its topics' messages it has not seen yet; for the end of a run."""
        if self.cursor is None:
            return 0
        return sum(1 for t in self.topics for i in t.between(self.checked, now_id()) if i not in self.seen and not self._excused(t, i))

    def _excused(self, topic, i):
        return any(after < i <= topic.trimmed_by(told) for after, told, _ in self.gaps)

    def _judge_gaps(self, end):
        for after, told, reason in self.gaps:
            if told > end or reason != "trimmed" or after < self.ledger.folded:
                continue
            if not any(t.trimmed_by(told) > after for t in self.topics):
                self.ledger.wrong(f"{self.name}: a gap after {after}, told before {told}, where nothing was trimmed")


class Ledger:
    def __init__(self, wrong, keeps):
        self.wrong, self.keeps = wrong, keeps
        self.topics, self.readers = {}, []
        self.noted = 0
        self.folded = 0  # topics were forgotten up to here (limits.topics), and a pattern's readers cannot know which

    def topic(self, name):
        if name not in self.topics:
            self.topics[name] = Topic(name, self.keeps)
        return self.topics[name]

    def note(self, topic, i, sender, digest):
        t = self.topics.get(topic)
        if t is not None:
            self.noted += i not in t.facts
            if problem := t.note(i, sender, digest):
                self.wrong(problem)

    def check(self, settled_s, late_s):
        """Looks at everything that is older than this; forgets what everybody has passed."""
        upto, late = now_id() - int(settled_s * 1e6), now_id() - int(late_s * 1e6)
        for r in self.readers:
            steady = r.reading_since is not None and time.monotonic() - r.reading_since > late_s
            r.check(upto, late if steady or settled_s < 0 else None)
        for t in self.topics.values():
            passed = [r.checked for r in self.readers if t in r.topics and r.cursor is not None]
            t.forget(min(passed, default=upto))
