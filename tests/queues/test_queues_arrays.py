# SPDX-License-Identifier: MIT
"""Large buffers, of numpy's arrays and of others that pickle's protocol 5 lists beside the pickle."""

import gc
import mmap

import pytest
from queuers import Buffer, through

KIB, MIB = 1 << 10, 1 << 20


@pytest.fixture(params=["fork"])
def method(request):
    return request.param


SIZES = [0, 1, 4 * KIB - 1, 4 * KIB, 4 * KIB + 1, 64 * KIB, MIB, 2 * MIB - 1, 2 * MIB, 2 * MIB + 1, 9 * MIB + 5]


@pytest.mark.parametrize("size", SIZES)
def test_a_buffer(q, size):
    data = bytearray(range(256)) * (size // 256 + 1)
    value = Buffer(memoryview(data)[:size])
    assert through(q, value) == value


def test_several_buffers_with_others_between(q):
    values = [Buffer(bytearray([n]) * size) for n, size in enumerate(SIZES)]
    mixed = [value for pair in zip(values, range(100), strict=False) for value in pair]
    assert through(q, mixed) == mixed


def test_what_is_received_is_the_receivers(q):
    value = Buffer(bytearray(3 * MIB))
    one, two = through(q, value), through(q, value)
    memoryview(one.data)[:5] = b"wrote"
    assert bytes(memoryview(two.data)[:5]) == bytes(5)
    assert bytes(value.data[:5]) == bytes(5)
    again = through(q, value)
    assert bytes(memoryview(again.data)[:5]) == bytes(5)
    assert bytes(memoryview(one.data)[:5]) == b"wrote"


def test_a_buffer_outlives_its_queue(ctx, kind):
    q = getattr(ctx, kind)()
    result = through(q, Buffer(bytearray(b"x") * 3 * MIB))
    q.close()
    del q
    gc.collect()
    assert bytes(result.data) == b"x" * 3 * MIB


def test_memory_mapped(q):
    with mmap.mmap(-1, MIB) as mapped:
        mapped[:3] = b"abc"
        value = Buffer(mapped)
        result = through(q, value)
        assert bytes(result.data) == mapped[:]
        del value


class TestNumpy:
    @pytest.fixture(autouse=True)
    def numpy(self):
        self.np = pytest.importorskip("numpy")

    def check(self, q, value):
        result = through(q, value)
        assert type(result) is type(value)
        assert result.dtype == value.dtype
        assert result.shape == value.shape
        assert result.tobytes() == value.tobytes()
        return result

    @pytest.mark.parametrize("dtype", ["?", "u1", "<i4", "c16", "U5", "S7", "M8[ns]", "i4,f8,(2,3)u1"])
    @pytest.mark.parametrize("count", [0, 1, 10, 100_000])
    def test_types(self, q, dtype, count):
        self.check(q, self.np.zeros(count, dtype))

    @pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (100, 200), (64, 64, 64)])
    def test_shapes(self, q, shape):
        self.check(q, self.np.arange(self.np.prod(shape, dtype=int), dtype=float).reshape(shape))

    def test_orders_and_strides(self, q):
        grid = self.np.arange(90_000.0).reshape(300, 300)
        for value in (grid, self.np.asfortranarray(grid), grid.T, grid[::2, ::3], grid[::-1], grid[5:, 7:]):
            self.check(q, value)

    def test_objects(self, q):
        value = self.np.array([None, [1], "text"] * 3000, dtype=object)
        assert list(through(q, value)) == list(value)

    def test_writable(self, q):
        for count in (10, 1000, 1_000_000):
            result = self.check(q, self.np.arange(count))
            assert result.flags.writeable
            result += 1
            assert result[3] == 4

    def test_aligned(self, q):
        for count in (600, 5000, 1_000_000):
            one, two = through(q, [self.np.arange(count, dtype="f8"), self.np.arange(count, dtype="u1")])
            assert one.flags.aligned
            assert two.flags.aligned

    def test_one_array_twice_in_an_item(self, q):
        array = self.np.arange(100_000)
        one, two = through(q, [array, array])
        assert one is two

    def test_many_arrays_in_an_item(self, q):
        arrays = {str(n): self.np.full((n, 17), n) for n in range(0, 1000, 9)}
        result = through(q, arrays)
        assert list(result) == list(arrays)
        assert all((result[key] == arrays[key]).all() for key in arrays)
