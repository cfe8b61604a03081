# SPDX-License-Identifier: MIT
"""Nearly messages: what is none never becomes one, and nobody crashes, hangs or eats the memory over it.

MPFAST_FUZZ_INPUTS says how many there are in the long run, MPFAST_FUZZ_SEED where both begin.
"""

import gc
import multiprocessing.connection
import os
import resource
import types

import fuzz
import pytest
import talk

import mpfast.connection

INPUTS = int(os.environ.get("MPFAST_FUZZ_INPUTS", "10_000_000"))
SEED = os.environ.get("MPFAST_FUZZ_SEED", "mpfast")


def test_a_few_thousand_inputs(connection):
    fuzz.run(connection, 4000, SEED)


@pytest.mark.not_asan
def test_a_few_thousand_inputs_take_no_memory(connection):
    before = talk.resident()
    fuzz.run(connection, 2000, SEED + " of memory")
    gc.collect()
    assert talk.resident() - before < 64 << 20


class Forgiving(multiprocessing.connection.Connection):
    """Makes of a message that is cut short one that is empty."""

    def recv_bytes(self, maxlength=None):
        try:
            return super().recv_bytes(maxlength)
        except OSError:
            return b""


class Short(multiprocessing.connection.Connection):
    """Loses the last byte of large messages."""

    def recv_bytes(self, maxlength=None):
        got = super().recv_bytes(maxlength)
        return got[:-1] if len(got) > 16384 else got


@pytest.mark.parametrize("wrong", [Forgiving, Short])
def test_the_fuzzer_notices(wrong):
    with pytest.raises(AssertionError):
        fuzz.run(types.SimpleNamespace(Connection=wrong), 2000, SEED)


@pytest.mark.stress
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("part", range(4))
def test_ten_million_inputs(part):
    before = talk.resident()
    fuzz.run(mpfast.connection, INPUTS // 4, f"{SEED} {part}")
    gc.collect()
    assert talk.resident() - before < 64 << 20


@pytest.mark.not_asan
def test_no_memory_for_what_is_only_announced(connection):
    """A header alone makes nobody touch gigabytes; with little memory there is an error and no crash."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for length in (1 << 28, 1 << 30, (1 << 31) - 1):
        one, other = connection.Pipe(False)
        os.write(other.fileno(), length.to_bytes(4, "big") + b"a few bytes")
        other.close()
        with pytest.raises((OSError, MemoryError)):
            one.recv_bytes()
    for length in (1 << 34, 1 << 48, (1 << 63) - 1, 1 << 63, (1 << 64) - 1):
        one, other = connection.Pipe(False)
        os.write(other.fileno(), b"\xff\xff\xff\xff" + length.to_bytes(8, "big") + b"a few bytes")
        other.close()
        with pytest.raises((OSError, MemoryError, OverflowError, ValueError)):
            one.recv_bytes()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # KiB
