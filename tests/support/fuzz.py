# SPDX-License-Identifier: MIT
"""A fuzzer of the receiving side. It makes bytes that are nearly messages, and a model says what must come of them.

The model knows multiprocessing's wire only. Of a length below -1 it says nothing but that it must not end well.
"""

import contextlib
import os
import pickle
import random
import struct

SIZES = [0, 1, 2, 3, 4, 8, 11, 12, 13, 100, 255, 256, 257, 1000, 4091, 4092, 4093, 16384, 16385, 30_000]
LENGTHS = [0, 1, 5, 255, 257, 65536, 1 << 20, (1 << 31) - 1, -1, -2, -3, -256, -(1 << 31)]
LONG_LENGTHS = [0, 1, 5, 257, 65537, (1 << 31) - 1, 1 << 31, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]
FILLING = os.urandom(1 << 16)
OBJECT = [1, "two", {"three": 4.0}]
PICKLE = pickle.dumps(OBJECT)
BLOCK = 64  # inputs that one seed makes
REFUSALS = (OSError, EOFError, MemoryError, ValueError, OverflowError, pickle.UnpicklingError)


class End(Exception):
    """Nothing more can come."""


class Unspecified(Exception):
    """From here on only crashes and hangs are wrong."""


def make(chance):
    """Some bytes, at most what a pipe holds."""
    parts = [piece(chance) for _ in range(chance.choice((1, 1, 1, 2, 3)))]
    data = b"".join(parts)[:60_000]
    for _ in range(chance.choice((0, 0, 0, 1, 2))):
        data = damaged(chance, data)
    return data


def piece(chance):
    kind = chance.randrange(8)
    size = chance.choice(SIZES)
    if kind < 3:
        return struct.pack("!i", size) + FILLING[:size]
    if kind == 3:
        return struct.pack("!iQ", -1, size) + FILLING[:size]
    if kind == 4:
        return struct.pack("!i", chance.choice(LENGTHS)) + FILLING[:size]
    if kind == 5:
        return struct.pack("!iQ", -1, chance.choice(LONG_LENGTHS)) + FILLING[:size]
    if kind == 6:
        return struct.pack("!i", -2) + chance.randbytes(chance.randrange(40))
    return struct.pack("!i", len(PICKLE)) + PICKLE


def damaged(chance, data):
    if not data:
        return data
    where = chance.randrange(min(len(data), 24))
    kind = chance.randrange(4)
    if kind == 0:
        return data[:where]
    if kind == 1:
        return data[:where] + bytes([data[where] ^ (1 << chance.randrange(8))]) + data[where + 1 :]
    if kind == 2:
        return data[:where] + chance.randbytes(1) + data[where:]
    return data[: chance.randrange(len(data))]


def parse(data, start, limit):
    """(where the next message begins, where it ends). End or Unspecified if there is none."""
    if len(data) - start < 4:
        raise End
    (size,) = struct.unpack_from("!i", data, start)
    start += 4
    if size == -1:
        if len(data) - start < 8:
            raise End
        (size,) = struct.unpack_from("!Q", data, start)
        start += 8
    elif size < 0:
        raise Unspecified
    if (limit is not None and size > limit) or size > len(data) - start:
        raise End
    return start, start + size


def receivers(chance):
    """A call that receives, its limit, and whether it can be compared."""
    target = bytearray(1 << 16)

    def into(reader):
        return bytes(target[: reader.recv_bytes_into(target)])

    limit = chance.choice((0, 10, 256, 5000, 1 << 20))
    return chance.choice(
        (
            (lambda reader: reader.recv_bytes(), None),
            (lambda reader: reader.recv_bytes(limit), limit),
            (into, None),
        )
    )


def check(connection, data, chance):
    """Receives until an error comes, which must be when the model says so."""
    inlet, outlet = os.pipe()
    os.write(outlet, data)
    os.close(outlet)
    reader = connection.Connection(inlet, writable=False)
    receive, limit = receivers(chance)
    start = 0
    try:
        while True:
            begin, start = parse(data, start, limit)
            assert receive(reader) == data[begin:start]
    except End:
        refuse(receive, reader)
    except Unspecified:
        with contextlib.suppress(*REFUSALS):
            receive(reader)
    finally:
        if not reader.closed:
            reader.close()


def refuse(receive, reader):
    """No message comes, and none of the bytes left over is taken for one that was never sent."""
    try:
        got = receive(reader)
    except REFUSALS:
        return
    raise AssertionError(f"{len(got)} bytes came of what is no message")


def check_object(connection, data):
    """recv() of a whole message that is cut anywhere, or followed by anything."""
    inlet, outlet = os.pipe()
    os.write(outlet, data)
    os.close(outlet)
    with connection.Connection(inlet, writable=False) as reader:
        whole = struct.pack("!i", len(PICKLE)) + PICKLE
        if data.startswith(whole):
            assert reader.recv() == OBJECT
        elif whole.startswith(data):
            with contextlib.suppress(*REFUSALS):
                raise AssertionError(f"{reader.recv()} came of a part of a message")


def run(connection, count, seed):
    """So many inputs. Whatever fails names seed and number, by which it can be had again."""
    for block in range(count // BLOCK + 1):
        chance = random.Random(f"{seed} {block}")
        for number in range(BLOCK):
            data = make(chance)
            try:
                check(connection, data, chance)
            except BaseException as e:
                e.add_note(f"input {number} of block {block} of seed {seed!r}: {data[:80].hex()}, {len(data)} bytes")
                raise
    whole = struct.pack("!i", len(PICKLE)) + PICKLE
    for cut in range(len(whole) + 1):
        check_object(connection, whole[:cut])
        check_object(connection, whole + FILLING[:cut])
