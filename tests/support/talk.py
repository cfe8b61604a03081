# SPDX-License-Identifier: MIT
"""Wires to test, and what the processes at the other end of them do."""

import os
import socket
import struct

from harness import Thread

WIRES = ["one-way", "duplex", "AF_UNIX", "AF_INET"]
TWO_WAY = WIRES[1:]
LOCAL = WIRES[:3]
KEY = b"a key for the tests"


def ends(connection, wire, authkey=None):
    """(reader, writer) of a wire. Both do both unless it is one-way."""
    if wire in ("one-way", "duplex"):
        return connection.Pipe(wire == "duplex")
    with connection.Listener(family=wire, authkey=authkey) as listener:
        client = Thread(connection.Client, listener.address, authkey=authkey)
        return listener.accept(), client.result()


def frame(payload):
    """A message as multiprocessing writes it."""
    return struct.pack("!i", len(payload)) + payload


def long_frame(payload):
    """The same as if it were a long one, which is legal for any length."""
    return struct.pack("!iQ", -1, len(payload)) + payload


def pattern(size):
    """Bytes of which no two places look alike."""
    piece = b"".join(struct.pack("!I", number) for number in range(0, min(size, 1 << 16) + 4, 4))
    return (piece * (size // (1 << 16) + 1))[:size]


def over_and_over(function, times=None):
    """Calls it so often, or until it raises."""
    while times != 0:
        function()
        times = times and times - 1


def resident():
    """Bytes of memory that this process has."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# Of children --------------------------------------------------------------------------------------------------------


def echo(conn, count):
    """Answers so many messages, or all until the end."""
    try:
        for _ in range(count):
            conn.send(conn.recv())
    except EOFError:
        return "EOFError"
    return "done"


def echo_bytes(conn, count):
    for _ in range(count):
        conn.send_bytes(conn.recv_bytes())


def stream(conn, count, size):
    """Sends messages that tell their number and have any size up to this one."""
    for number in range(count):
        conn.send((number, b"x" * (number * 7919 % (size + 1))))


def collect(conn, count, size):
    """Receives what stream() sends. True if all of it came, in order."""
    return all(conn.recv() == (number, b"x" * (number * 7919 % (size + 1))) for number in range(count))


def send_without_end(conn, size):
    data = bytes(size)
    while True:
        conn.send_bytes(data)


def recv_then_send(inlet, outlet):
    outlet.send(inlet.recv())


def use_received(conn, method, *args):
    """Calls a method of an object that comes through the connection."""
    thing = conn.recv()
    return getattr(thing, method)(*args)


def read_handle(reduction, conn):
    """Receives a descriptor, and returns what is in the file."""
    import importlib

    fd = importlib.import_module(reduction).recv_handle(conn)
    try:
        return os.pread(fd, 100, 0)
    finally:
        os.close(fd)


def kind(conn):
    return type(conn).__module__, type(conn).__qualname__, conn.readable, conn.writable, conn.closed


def pass_down(ctx, conn, generations):
    """Has the last of several generations send a word."""
    if generations == 0:
        conn.send("from below")
        return
    process = ctx.Process(target=pass_down, args=(ctx, conn, generations - 1))
    process.start()
    process.join()
    assert process.exitcode == 0


def serve_once(listener):
    """Accepts one connection and answers one message."""
    with listener.accept() as conn:
        conn.send(conn.recv())


def raw_client(address):
    """A socket connected to a listener."""
    sock = socket.socket(socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX)
    sock.connect(address)
    return sock


class Unloadable:
    """Is pickled without trouble, and raises when it is unpickled."""

    def __reduce__(self):
        return int, ("no number",)


class Unpicklable:
    def __reduce__(self):
        raise RuntimeError("this one stays here")
