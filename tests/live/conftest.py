"""Fixtures of the live tests. A module says its daemon's configuration in CONF."""

import pathlib
import re
import sys
import tempfile
import types

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from support import config  # noqa: E402
from support.daemon import Daemon, mark  # noqa: E402
from support.stores import STORES  # noqa: E402


def pytest_make_parametrize_id(val):
    """Short names for long values."""
    text = val if isinstance(val, str) else repr(val)
    return None if len(text) <= 40 else text[:30].encode("unicode_escape").decode() + f"...{len(text)}"


# The longest, so that none of them is left over when the others are done.
FIRST = ("test_s_everything", "test_s_soak", "test_p_bench", "test_l_storage", "test_l_floods", "test_l_limits")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: FIRST.index(item.module.__name__) if item.module.__name__ in FIRST else len(FIRST))


@pytest.fixture(scope="module")
def _one(request, tmp_path_factory):
    yield from _shared(request, tmp_path_factory, 1)


@pytest.fixture(scope="module", params=[1, 3], ids=["w1", "w3"])
def _each(request, tmp_path_factory):
    yield from _shared(request, tmp_path_factory, request.param)


@pytest.fixture
def daemon(_one):
    """The module's daemon, one worker; shared, so use names of your own."""
    yield from _living(_one)


@pytest.fixture
def daemons(_each):
    """The module's daemon, once with one worker and once with three."""
    yield from _living(_each)


def _living(d):
    """Blames its death on the test during which it died, and starts it again for the others."""
    if not d.alive():
        d.lines.clear()
        d.start()
    yield d
    if not d.alive():
        status, d.process = d.process.wait(), None
        pytest.fail(f"the daemon died: exit {status}; log:\n{d.log()[-8000:]}", pytrace=False)


def _shared(request, tmp_path_factory, workers, store=None):
    conf = config.merge(config.merge(getattr(request.module, "CONF", {}), store or {}), {"workers": workers})
    d = Daemon(tmp_path_factory.mktemp("belfryd"), conf)
    prepare = getattr(request.module, "prepare", None)
    if prepare:
        prepare(d.folder)
    try:
        d.start()
        yield d
        d.stop()
    finally:
        d.kill()


@pytest.fixture
def start(tmp_path):
    """start(conf, ...) starts a daemon of the test's own; it is stopped, and must end cleanly, with the test."""
    started = []

    def go(conf=None, prepare=None, **how):
        d = Daemon(tmp_path / f"d{len(started)}", conf, **how)
        started.append(d)
        if prepare:
            prepare(d.folder)
        try:
            return d.start()
        except AssertionError:
            if not d.alive() and (built := re.search(r".*not built.*", d.log())):
                d.kill()
                pytest.skip(built[0])
            raise

    yield go
    try:
        for d in started:
            d.stop()
    finally:
        for d in started:
            d.kill()


@pytest.fixture(scope="module", params=[("memory", 1), ("memory", 3), ("sqlite", 1), ("sqlite", 3)], ids=lambda p: f"{p[0]}-w{p[1]}")
def _stored(request, tmp_path_factory):
    store, workers = request.param
    yield from _shared(request, tmp_path_factory, workers, STORES[store])


@pytest.fixture
def stored(_stored):
    """The module's daemon with each store, once with one worker and once with three."""
    yield from _living(_stored)


@pytest.fixture(params=["memory", "sqlite"])
def own(request, start):
    """Starts a daemon of the test's own, on the module's configuration, with each store."""
    base = config.merge(getattr(request.module, "CONF", {}), STORES[request.param])
    return lambda conf: start(config.merge(base, conf))


@pytest.fixture
def sockets():
    """A folder with a path short enough for local sockets."""
    with tempfile.TemporaryDirectory(prefix="bf") as folder:
        yield pathlib.Path(folder)


@pytest.fixture
def topic():
    return mark("t/" + "x")


@pytest.fixture
def room():
    return mark("room")


@pytest.fixture(scope="session")
def keys():
    """Private keys, and pem() of their public half."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    def pem(key):
        return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    return types.SimpleNamespace(
        rsa=rsa.generate_private_key(public_exponent=65537, key_size=2048),
        ec256=ec.generate_private_key(ec.SECP256R1()), ec384=ec.generate_private_key(ec.SECP384R1()), pem=pem)
