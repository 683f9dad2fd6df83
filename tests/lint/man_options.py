#!/usr/bin/env python3
"""Holds man/belfryd.conf.5 against the table of options (src/core/config_options.def), and man/belfryd.8 against the log.

Every key is an item (.It Ic KEY No = DEFAULT) with the table's default, or with the default in its text; what is planned
only says "Not built yet", and nothing else does; no item is left of a key that went away. Every event that the daemon logs is named by belfryd(8), and it
names no other one.
"""

import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TABLE = ROOT / "src/core/config_options.def"
PAGE = ROOT / "man/belfryd.conf.5"
DAEMON_PAGE = ROOT / "man/belfryd.8"

ROWS = """
#define OPTION(struct, key, kind, form, field, default, min, max, unit, when, state, text) @ key @ default @ state @ kind @
#define LIST(key, field, element, default, max, when, state, text) @ key @ default @ state @ LIST @
#define RESERVED(key, kind, default, text) @ key @ default @ PLANNED @ kind @
#define WORD(form, word, value, state)
#define BELFRY_DATADIR "/usr/share/belfry"
#define BELFRY_STATEDIR "/var/lib/belfry"
"""


def literal(c):
    """The text of C string literals side by side; None for NULL."""
    parts = re.findall(r'"((?:[^"\\]|\\.)*)"', c)
    return "".join(p.replace('\\"', '"') for p in parts) if parts else None


def table():
    source = ROWS + f'#include "{TABLE}"\n'
    cc = os.environ.get("CC", "cc").split()
    out = subprocess.run([*cc, "-E", "-P", "-x", "c", "-"], input=source, capture_output=True, text=True, check=True).stdout
    rows = re.findall(r"@([^@]*)@([^@]*)@([^@]*)@([^@]*)@", out)
    return {literal(key): (literal(default), state.strip(), kind.strip()) for key, default, state, kind in rows}


def plain(roff):
    """A line without its escapes and macros, blanks made one."""
    roff = roff.replace("\\(dq", '"').replace("\\&", "").replace("\\-", "-")
    roff = re.sub(r"^\.[A-Z][a-z] ", "", roff)
    return re.sub(r"\s+", " ", re.sub(r" ([,.;])", r"\1", roff)).strip()


def squeeze(text):
    return re.sub(r'[\s"]', "", text)


def page():
    """key: (default written behind it or None, text with its section's); items without a text share that of the next."""
    items, waiting, text, above = {}, [], [], ""

    def close():
        if waiting and text:
            for key, default in waiting:
                items[key] = (default, f"{above} {' '.join(text)}")
            waiting.clear()
            text.clear()

    for line in PAGE.read_text().splitlines():
        found = re.match(r"\.It Ic (\S+)(?: No = (.*))?$", line)
        if found:
            close()
            waiting.append((found[1], plain(found[2]) if found[2] else None))
        elif re.match(r"\.(El|Sh|Ss)\b", line):
            close()
            above = ""
        elif waiting:
            text.append(plain(line))
        else:
            above += plain(line) + " "
    close()
    return items


def events():
    """What is wrong about the events: those that are logged, and those that belfryd(8) names."""
    logged = set()
    for file in (ROOT / "src").rglob("*.c"):
        for call in re.findall(r"\b(?:diag_log|diag_peer|sqlite_tell)\(([^;]*)", file.read_text()):
            logged.update(re.findall(r'"([a-z]+\.[a-z]+|moderation)"', call)[:1])
    page = DAEMON_PAGE.read_text()
    named = set(re.findall(r"\b(?:(?:server|storage|conn|auth|log)\.[a-z]+|moderation)\b", "\n".join(
        line for line in page.splitlines() if re.match(r"\.(It Li|Ql) ", line))))
    bad = [] if len(logged) > 10 else [f"only {len(logged)} events could be read"]
    bad += [f"the event {name} is not described" for name in sorted(logged - named)]
    return bad + [f"{name} is no event of the log" for name in sorted(named - logged)]


def main():
    wanted, found = table(), page()
    bad = []
    if len(wanted) < 10:
        bad.append(f"{TABLE.name}: only {len(wanted)} keys could be read")
    for key, (default, state, kind) in wanted.items():
        if key not in found:
            bad.append(f"{key} is not described")
            continue
        written, text = found[key]
        is_said = re.search("not built yet|none of these is built yet", text.lower()) is not None
        if is_said != (state == "PLANNED") and not (is_said and kind in ("CHOICE", "BITS")):  # of a word in it
            bad.append(f"{key} is {state}, the page says {'' if is_said else 'nothing of '}'Not built yet'")
        if written is not None:
            if squeeze(written) != squeeze(default or ""):
                bad.append(f"{key}: the default is {default}, the page says {written}")
        elif default and squeeze(default) not in ("", "()", "[]") and squeeze(default) not in squeeze(text):
            bad.append(f"{key}: the default {default} is not in the page")
    bad += [f"{key} is no option" for key in found if key not in wanted]
    for line in bad:
        print(f"{PAGE.relative_to(ROOT)}: {line}")
    unsaid = events()
    for line in unsaid:
        print(f"{DAEMON_PAGE.relative_to(ROOT)}: {line}")
    return 1 if bad or unsaid else 0


sys.exit(main())
