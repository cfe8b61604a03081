# SPDX-License-Identifier: MIT
"""A peer with the multiprocessing of its own Python, whatever version that is. It knows nothing of this repository.

It gets its orders as one JSON object on the command line and tells on stdout where it listens, and how it went.
"""

import json
import sys
from multiprocessing.connection import Client, Listener


def main(role, address, key, job, sizes):
    address = tuple(address) if isinstance(address, list) else address
    key = bytes.fromhex(key) if key else None
    if role == "client":
        with Client(address, authkey=key) as conn:
            say(globals()[job](conn, sizes))
        return
    with Listener(address, authkey=key) as listener:
        say(listener.address.decode() if isinstance(listener.address, bytes) else listener.address)
        with listener.accept() as conn:
            say(globals()[job](conn, sizes))


def say(thing):
    print(json.dumps(thing), flush=True)


def echo(conn, sizes):
    """Bytes of each size there and back, then objects until there are no more."""
    for size in sizes:
        data = conn.recv_bytes()
        if len(data) != size:
            return f"{len(data)} bytes, not {size}"
        conn.send_bytes(data)
    try:
        while True:
            conn.send(conn.recv())
    except EOFError:
        return "done"


def bulk(conn, sizes):
    """Receives zeros, and sends as many: too many to have twice."""
    for size in sizes:
        data = conn.recv_bytes()
        if len(data) != size or data[-1:] != b"\1" or data.count(0) != size - 1:
            return f"{len(data)} bytes, not {size} zeros and a one"
        del data
        data = bytearray(size)
        data[-1] = 1
        conn.send_bytes(data)
        del data
    return "done"


def refused(conn, sizes):
    return "no error"


if __name__ == "__main__":
    try:
        main(**json.loads(sys.argv[1]))
    except Exception as error:
        say(f"{type(error).__name__}: {error}")
