# SPDX-License-Identifier: MIT
# cython: language_level=3, binding=False, embedsignature=True, embedsignature.format=clinic
"""Memory of the family for the objects of ctypes, and the objects that lie in it.

Up to 64 bytes lie in a small slot, up to 64 KiB in a block of the heap (core/values/heap.h), and more in the window of a
large slot. A number with a lock of its own lies behind that lock, in the same slot. None of it has a name or a
descriptor. It is zero, and no page of it exists before the program touches it. It lives as long as some process of the
family has an object on it.
"""

from cpython.buffer cimport PyBuffer_FillInfo, PyBuffer_Release, PyBUF_CONTIG_RO, PyBUF_FORMAT, PyObject_GetBuffer
from libc.errno cimport EBADF, ESTALE
from libc.stdint cimport int64_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memmove
from posix.mman cimport munmap
from mpfast.core.base.atomic cimport load32
from mpfast.core.family.family cimport family_fd_valid
from mpfast.core.family.slots cimport SLOT_ARRAY, SLOT_LARGE, SLOT_RLOCK, SLOT_SMALL, SLOT_VALUE, SMALL_SLOT_SIZE
from mpfast.core.life.handle cimport handle_attach
from mpfast.core.store.map cimport WINDOW_WORDS, window_map
from mpfast.core.values.beside cimport BESIDE_AT, BESIDE_SIZE
from mpfast.core.values.heap cimport *
from mpfast.family.family cimport Handle, fail, me
from mpfast.sync.mutex cimport Mutex
from mpfast.values.numbers cimport *

import ctypes
import sys
from multiprocessing import context as _context, reduction as _reduction

cdef dict _CODES = {
    "c": ctypes.c_char, "u": ctypes.c_wchar, "b": ctypes.c_byte, "B": ctypes.c_ubyte, "h": ctypes.c_short,
    "H": ctypes.c_ushort, "i": ctypes.c_int, "I": ctypes.c_uint, "l": ctypes.c_long, "L": ctypes.c_ulong,
    "q": ctypes.c_longlong, "Q": ctypes.c_ulonglong, "f": ctypes.c_float, "d": ctypes.c_double,
}
cdef dict _KINDS = {
    **{_CODES[code]: (<int>NUMBER_SIGNED, code) for code in "qlihb"},
    **{_CODES[code]: (<int>NUMBER_UNSIGNED, code) for code in "QLIHB"},
    **{_CODES[code]: (<int>NUMBER_FLOAT, code) for code in "df"},
}
cdef set _reduced = set()  # types that ForkingPickler knows
cdef bint _little = sys.byteorder == "little"


cdef bint look_up(object type, number_type *t) except -1:
    """Says how numbers of exactly this type lie in memory. False if it is no such type."""
    found = _KINDS.get(type)
    if found is None:
        t.kind = NUMBER_NONE
        return False
    t.kind = <number_kind><int>found[0]
    t.size = ctypes.sizeof(type)
    t.format[0] = <char>ord(found[1])
    t.format[1] = 0
    return True


def type_of(typecode_or_type):
    """The type of ctypes that a typecode stands for. All else is taken for a type."""
    found = _CODES.get(typecode_or_type)
    if found is None and isinstance(typecode_or_type, str):
        from multiprocessing.sharedctypes import typecode_to_type
        found = typecode_to_type.get(typecode_or_type)  # a later version may have more of them
    return typecode_or_type if found is None else found


cdef class SharedBytes(Handle):
    """Some bytes that processes share. It exports them as a buffer that can be written to."""

    def __cinit__(self):
        self.block_class = HEAP_CLASSES

    def __dealloc__(self):
        cdef heap *h
        if self.mapped != 0:
            munmap(self.data, self.mapped)
        if self.block_class < HEAP_CLASSES and load32(self.identity) != 0:
            h = heap_of(self.family)
            if heap_moved(h, self.block_class):
                heap_trim(h, heap_owner(self.slot, self.generation))

    cdef int take_block(self) except -1:
        """Takes a block of the heap for a slot that was just claimed. 0 if there is none."""
        cdef heap *h = heap_of(self.family)
        cdef uint32_t which = heap_class(self.size)
        cdef uint64_t owner = heap_owner(self.slot, self.generation)
        cdef int64_t block
        if h == NULL:
            return 0
        if heap_moved(h, which):
            heap_trim(h, owner)
        block = heap_find(h, which, owner, self.size)
        if block < 0:
            return 0
        self.block_class, self.block = which, <uint32_t>block
        return self.point()

    cdef int map_window(self) except -1:
        cdef size_t size = self.size
        if size > WINDOW_WORDS:
            raise MemoryError(f"{size} bytes are more than a window of the family has")
        self.data = <char *>window_map(self.family, self.slot, 0, size)
        if self.data == NULL:
            if not family_fd_valid(self.family):
                fail(-EBADF, "cannot map shared memory")
            raise MemoryError(f"no room for {size} bytes of shared memory (see ulimit -v and vm.max_map_count)")
        self.mapped = size
        return 0

    cdef int point(self) except -1:
        """Finds the bytes of the slot."""
        if self.block_class < HEAP_CLASSES:
            self.data = heap_data(heap_of(self.family), self.block_class, self.block)
            if self.data == NULL:
                raise MemoryError("no room for the heap of the family (see ulimit -v)")
        elif self.kind == SLOT_RLOCK:
            self.data = <char *>self.cell + BESIDE_AT
        elif self.kind == SLOT_VALUE:
            self.data = <char *>self.cell
        else:
            self.map_window()
        return 1

    cdef int find_block(self, uint32_t block_class, uint32_t block) except -1:
        """Finds the block that was pickled."""
        cdef heap *h = heap_of(self.family)
        if h == NULL:
            raise MemoryError("no room for the heap of the family (see ulimit -v)")
        if not heap_owned(h, block_class, block, heap_owner(self.slot, self.generation)):
            raise ValueError("stale SharedBytes: its block is not what was pickled")
        self.block_class, self.block = block_class, block
        return 0

    cdef int check(self) except -1:
        """Does it lie within its place?"""
        cdef size_t room = SMALL_SLOT_SIZE
        if self.block_class < HEAP_CLASSES:
            room = heap_size(self.block_class)
        elif self.kind == SLOT_RLOCK:
            room = BESIDE_SIZE
        elif self.kind == SLOT_ARRAY:
            room = WINDOW_WORDS
        if <size_t>self.size > room:
            raise ValueError(f"damaged SharedBytes: {self.size} bytes do not fit into its place")
        return 0

    def __getbuffer__(self, Py_buffer *view, int flags):
        me(self)
        PyBuffer_FillInfo(view, self, self.data, self.size, 0, flags)

    def __len__(self):
        return self.size

    def create_memoryview(self):
        """A view of the bytes, which keeps them."""
        return memoryview(self)

    def __reduce__(self):
        rebuild, args, _ = Handle.__reduce__(self)
        return _rebuild_memory, (rebuild, args, self.size, self.block_class, self.block)


def _rebuild_memory(rebuild, args, Py_ssize_t size, uint32_t block_class, uint32_t block):
    cdef SharedBytes memory = rebuild(*args)
    memory.size = size
    if block_class < HEAP_CLASSES:
        memory.find_block(block_class, block)
    memory.check()
    memory.point()
    return memory


cdef SharedBytes new_memory(Py_ssize_t size):
    cdef SharedBytes memory = SharedBytes.__new__(SharedBytes)
    memory.size = size
    if heap_class(size) < HEAP_CLASSES:
        memory.claim(SLOT_SMALL, SLOT_VALUE, size > SMALL_SLOT_SIZE)
        if size <= SMALL_SLOT_SIZE:
            memory.point()
            return memory
        if memory.take_block():
            return memory
        memory = SharedBytes.__new__(SharedBytes)
        memory.size = size
    memory.claim(SLOT_LARGE, SLOT_ARRAY)
    memory.point()
    return memory


cdef SharedBytes memory_beside(Mutex lock, Py_ssize_t size):
    """The memory behind an RLock, in its slot. It is for one object that has the lock for itself."""
    cdef SharedBytes memory = SharedBytes.__new__(SharedBytes)
    cdef int rc
    me(lock)
    rc = handle_attach(lock.family, lock.slot, SLOT_RLOCK, lock.generation)
    if rc < 0:
        fail(-ESTALE, "cannot find the memory of a lock")
    memory.place(lock.family, lock.slot, SLOT_RLOCK)
    memory.size = size
    memory.point()
    return memory


cdef object new_object(object type, SharedBytes memory):
    """An object of ctypes in the memory."""
    if type not in _reduced:
        _reduction.ForkingPickler.register(type, reduce_ctype)
        _reduced.add(type)
    obj = type.from_buffer(memory)
    obj._wrapper = memory
    return obj


def reduce_ctype(obj):
    """How ForkingPickler pickles an object of ctypes in shared memory. RuntimeError unless a child is being started."""
    _context.assert_spawning(obj)
    if isinstance(obj, ctypes.Array):
        return rebuild_ctype, (obj._type_, obj._wrapper, obj._length_)
    return rebuild_ctype, (type(obj), obj._wrapper, None)


def rebuild_ctype(type_, wrapper, length):
    """The object of ctypes in the memory of a wrapper, multiprocessing's or mpfast's."""
    if length is not None:
        type_ = type_ * length
    if type(wrapper) is SharedBytes:
        return new_object(type_, wrapper)
    _reduction.ForkingPickler.register(type_, reduce_ctype)
    obj = type_.from_buffer(wrapper.create_memoryview())
    obj._wrapper = wrapper
    return obj


cdef char *data_of(object obj) except? NULL:
    """Where an object of ctypes in our memory lies. NULL if that is elsewhere."""
    cdef SharedBytes memory
    cdef size_t at, size
    wrapper = getattr(obj, "_wrapper", None)
    if type(wrapper) is not SharedBytes:
        return NULL
    memory = wrapper
    at, size = ctypes.addressof(obj), ctypes.sizeof(obj)
    if at < <uintptr_t>memory.data or at + size > <uintptr_t>memory.data + <size_t>memory.size:
        return NULL
    return <char *>at


def raw_value(typecode_or_type, *args):
    """An object of ctypes in shared memory, without a lock. Does not block."""
    type_ = type_of(typecode_or_type)
    obj = new_object(type_, new_memory(ctypes.sizeof(type_)))
    if args or type_ not in _KINDS:
        obj.__init__(*args)
    return obj


def raw_array(typecode_or_type, size_or_initializer):
    """An array of ctypes in shared memory, without a lock. Does not block.

    Memory that nothing is written to does not exist.
    """
    type_ = type_of(typecode_or_type)
    if isinstance(size_or_initializer, int):
        type_ = type_ * size_or_initializer
        return new_object(type_, new_memory(ctypes.sizeof(type_)))
    length = len(size_or_initializer)
    whole = type_ * length
    cdef SharedBytes memory = new_memory(ctypes.sizeof(whole))
    obj = new_object(whole, memory)
    if not fill(type_, memory.data, length, size_or_initializer):
        obj.__init__(*size_or_initializer)
    return obj


cdef bint fill(object item_type, char *data, Py_ssize_t length, object source) except -1:
    """Copies items from a buffer of the same format at once. False if it is no such buffer."""
    cdef Py_buffer view
    cdef number_type t
    cdef bint same
    if isinstance(source, (list, tuple)) or not look_up(item_type, &t):
        return False
    try:
        PyObject_GetBuffer(source, &view, PyBUF_CONTIG_RO | PyBUF_FORMAT)
    except (BufferError, TypeError):
        return False
    same = view.ndim == 1 and view.itemsize == t.size and view.len == length * t.size and same_format(view.format, &t)
    if same:
        memmove(data, view.buf, view.len)
    PyBuffer_Release(&view)
    return same


cdef bint same_format(const char *format, const number_type *t):
    """Are items of a buffer's native format numbers of this kind? The caller compares the sizes."""
    if format == NULL:
        return t.format[0] == c"B"
    if format[0] == c"@" or format[0] == c"<" and _little or format[0] == c"=":
        format += 1
    if format[0] == 0 or format[1] != 0:
        return False
    if t.kind == NUMBER_FLOAT:
        return format[0] in (c"f", c"d")
    if t.kind == NUMBER_SIGNED:
        return format[0] in (c"b", c"h", c"i", c"l", c"q", c"n")
    return format[0] in (c"B", c"H", c"I", c"L", c"Q", c"N")


def copy(obj):
    """A copy of an object of ctypes, in shared memory of its own."""
    new = new_object(type(obj), new_memory(ctypes.sizeof(obj)))
    ctypes.pointer(new)[0] = obj
    return new
