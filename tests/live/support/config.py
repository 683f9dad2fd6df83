"""Python values to libconfig text."""


def _string(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def value(v):
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, int):
        return str(v)
    if isinstance(v, str):
        return _string(v)
    if isinstance(v, dict):
        return "{ " + " ".join(f"{k} = {value(x)};" for k, x in v.items()) + " }"
    if isinstance(v, tuple) or any(isinstance(x, dict) for x in v):
        return "( " + ", ".join(value(x) for x in v) + " )"
    return "[ " + ", ".join(value(x) for x in v) + " ]"


def text(conf):
    """One top-level key a line, so that a test can tell the line an error must name."""
    return "".join(f"{k} = {value(v)};\n" for k, v in conf.items())


def merge(base, over):
    """`over` on top of `base`: groups are merged, everything else is replaced; None removes."""
    out = dict(base)
    for k, v in over.items():
        if v is None:
            out.pop(k, None)
        elif isinstance(v, dict) and isinstance(out.get(k), dict):
            out[k] = merge(out[k], v)
        else:
            out[k] = v
    return out
