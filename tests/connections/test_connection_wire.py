# SPDX-License-Identifier: MIT
"""The wire is multiprocessing's: peers are processes of any Python from 3.11 on, as client and as server."""

import importlib
import itertools
import json
import os
import subprocess
from pathlib import Path

import pytest
import pythons
import talk
from harness import PATIENCE, Thread

PEER = Path(talk.__file__).with_name("peer.py").read_text()
SIZES = [0, 1, 16384, 16385]
HUGE = (1 << 31) + 1
ROLES = ["client", "server"]
OBJECTS = [None, 1 << 80, "text \u20ac", {"a": [1, 2.5, (b"x" * 40_000,)]}, bytearray(70_000), {1, 2}, ValueError("x")]
_numbers = itertools.count()

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(params=pythons.VERSIONS)
def command(request):
    found = pythons.command_for(request.param)
    if found is None:
        pytest.skip(f"no Python {request.param} here (python{request.param}, pyenv, MPFAST_TEST_PYTHONS)")
    return found


@pytest.fixture(params=["AF_UNIX", "AF_INET"])
def family(request):
    return request.param


@pytest.fixture(params=[None, talk.KEY], ids=["no key", "key"])
def key(request):
    return request.param


def free_address(family):
    """Abstract, for a peer may see other files than we do."""
    return ("localhost", 0) if family == "AF_INET" else f"\0mpfast-test-{os.getpid()}-{next(_numbers)}"


class Peer:
    """A peer's process. `conn` is our end of the connection; None if there is none because one of the two refused."""

    def __init__(self, connection, command, role, family, key=None, job="echo", sizes=(), our_key=...):
        self.orders = {"role": role, "key": key.hex() if key else None, "job": job, "sizes": list(sizes)}
        self.command, self.raised = command, None
        our_key = key if our_key is ... else our_key
        if role == "client":
            with connection.Listener(free_address(family), authkey=our_key) as listener:
                self.begin(listener.address)
                self.conn = self.attempt(listener.accept)
        else:
            self.begin(free_address(family))
            address = json.loads(self.process.stdout.readline())
            address = tuple(address) if isinstance(address, list) else address
            self.conn = self.attempt(lambda: connection.Client(address, authkey=our_key))

    def begin(self, address):
        address = address.decode() if isinstance(address, bytes) else address
        argument = json.dumps(self.orders | {"address": address})
        self.process = subprocess.Popen([*self.command, "-c", PEER, argument], stdout=subprocess.PIPE, text=True)

    def attempt(self, function):
        try:
            return function()
        except Exception as e:
            self.raised = e
            return None

    def __enter__(self):
        return self

    def end(self):
        """What the peer says about it."""
        if self.conn:
            self.conn.close()
        output, _ = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == 0
        return json.loads(output)

    def __exit__(self, *_):
        if self.conn:
            self.conn.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@pytest.mark.parametrize("role", ROLES)
def test_matrix(connection, command, role, family, key):
    """Every size there and back, with every call that receives; then objects."""
    with Peer(connection, command, role, family, key, sizes=sorted(SIZES * 2) + SIZES) as peer:
        conn = peer.conn
        assert peer.raised is None
        for size in SIZES:
            data = talk.pattern(size)
            conn.send_bytes(data)
            assert conn.recv_bytes() == data
            conn.send_bytes(memoryview(b"xx" + data + b"yy"), 2, size)
            assert conn.recv_bytes(size) == data
        for size in SIZES:
            data, target = talk.pattern(size), bytearray(size)
            conn.send_bytes(data)
            assert conn.recv_bytes_into(target) == size
            assert target == data
        for thing in OBJECTS:
            conn.send(thing)
            got = conn.recv()
            assert got == thing or got.args == thing.args
        assert peer.end() == "done"


@pytest.mark.parametrize("role", ROLES)
def test_wrong_key(mp, connection, command, role, family):
    with Peer(connection, command, role, family, talk.KEY, job="refused", our_key=b"another") as peer:
        assert peer.conn is None
        assert type(peer.raised) is mp.AuthenticationError
        assert str(peer.raised) in ("digest received was wrong", "digest sent was rejected")
        assert peer.end() in (
            "AuthenticationError: digest sent was rejected",
            "AuthenticationError: digest received was wrong",
        )


@pytest.mark.parametrize("role", ROLES)
def test_a_peer_that_is_killed(connection, command, role, family, key):
    with Peer(connection, command, role, family, key, sizes=SIZES) as peer:
        peer.conn.send_bytes(b"")
        assert peer.conn.recv_bytes() == b""
        waiting = Thread(peer.conn.recv_bytes).asleep()
        peer.process.kill()
        with pytest.raises((EOFError, ConnectionResetError)):
            waiting.result()


def memory_available():
    with open("/proc/meminfo") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) << 10


@pytest.fixture
def room():
    if memory_available() < 5 * HUGE:
        pytest.skip("too little memory for messages of 2 GiB")


@pytest.mark.stress
@pytest.mark.timeout(300)
@pytest.mark.parametrize("role", ROLES)
def test_more_than_two_gigabytes(mp, connection, command, role, family, room):
    """The size at which the header becomes a long one."""
    if mp.__name__ == "multiprocessing" and command != pythons.command_for(pythons.OWN):
        pytest.skip("the contract with itself is enough")
    with Peer(connection, command, role, family, job="bulk", sizes=[HUGE]) as peer:
        conn = peer.conn
        data = bytearray(HUGE)
        data[-1] = 1
        conn.send_bytes(data)
        del data
        got = conn.recv_bytes(HUGE)
        assert len(got) == HUGE
        assert got[-1] == 1
        assert got.count(0) == HUGE - 1
        del got
        assert peer.end() == "done"


@pytest.mark.stress
@pytest.mark.timeout(300)
@pytest.mark.parametrize("wire", talk.WIRES)
@pytest.mark.parametrize("size", [(1 << 31) - 2, (1 << 31) - 1, 1 << 31, HUGE, (1 << 32) + 5])
def test_around_two_gigabytes(connection, wire, size, room):
    """Also what is received into a buffer, and messages after it."""
    reader, writer = talk.ends(connection, wire)
    data = bytearray(size)
    data[0], data[-1] = 1, 2
    sending = Thread(lambda: [writer.send_bytes(data), writer.send("after it")])
    got = reader.recv_bytes()
    assert (len(got), got[0], got[-1]) == (size, 1, 2)
    del got
    assert reader.recv() == "after it"
    sending.result()


def test_both_packages_were_here():
    """The matrix above is no matrix if both sides are the same module."""
    assert importlib.import_module("mpfast.connection") is not importlib.import_module("multiprocessing.connection")
