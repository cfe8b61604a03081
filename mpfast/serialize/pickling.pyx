# SPDX-License-Identifier: MIT
# cython: language_level=3
"""Pickling without making a pickler. A C pickler is used again and again, by one thread at a time.

Making one costs more than pickling a small object with it. ForkingPickler's reducers and copyreg's are honoured, even
those that are registered later. Buffers of some KiB (pickle's protocol 5) are not copied into the pickle but listed
beside it.
"""

from cpython.buffer cimport PyBUF_ANY_CONTIGUOUS, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint64_t
from mpfast.serialize.dictwatch cimport dictwatch_begin, dictwatch_state

cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX

import copyreg
import pickle
import sys
from multiprocessing.reduction import AbstractReducer

cdef Py_ssize_t IN_BAND = PY_SSIZE_T_MAX
cdef Py_ssize_t OUT_OF_BAND = 4096  # bytes from which a buffer is listed instead of copied
cdef int SPARE = 4  # idle picklers that are kept
ForkingPickler = AbstractReducer.ForkingPickler  # multiprocessing's own, even if the name in its module was replaced
cdef dict _registered = ForkingPickler._extra_reducers
cdef dict _copyreg = copyreg.dispatch_table
cdef dict _modules = sys.modules
cdef list _spare = []
cdef object _travel = None  # mpfast.serialize.travel, once something has imported the resource sharer
loads = pickle.loads


cdef class Pickled:
    """What the pickler has produced so far. It does not refer to the pickler, so its parts go with their last user."""

    def __cinit__(self):
        self.stream = []
        self.buffers = []

    def write(self, part):
        self.stream.append(bytes(part) if type(part) is bytearray else part)  # as it is now, if it changes later

    def keep_in_band(self, buffer):
        cdef Py_buffer view
        PyObject_GetBuffer(buffer, &view, PyBUF_ANY_CONTIGUOUS)
        size = view.len
        PyBuffer_Release(&view)
        if size < self.out_of_band:
            return True
        self.buffers.append(buffer)
        return False

    def reduce_descriptor(self, shared):
        if self.out_of_band == IN_BAND or self.carrier is not None and self.carrier._exposed():
            return shared.__reduce_ex__(5)
        return _travel.reduce(shared)


cdef bint travelling() except -1:
    """Descriptors are pickled by the resource sharer. Has something imported it?"""
    global _travel
    if _travel is None and "multiprocessing.resource_sharer" in _modules:
        from . import travel as _travel
    return _travel is not None


cdef class Pickling:
    """One object being pickled, with its pickler and what that has produced so far."""

    def __cinit__(self):
        self.made = Pickled.__new__(Pickled)
        self.stream, self.buffers = self.made.stream, self.made.buffers
        self.pickler = pickle.Pickler(self.made, 5, buffer_callback=self.made.keep_in_band)
        self.dump = self.pickler.dump
        self.clear_memo = self.pickler.clear_memo

    cdef refresh(self, uint64_t state):
        self.pickler.dispatch_table = table = {**_copyreg, **_registered}
        self.reducers, self.travels = state, travelling()
        if self.travels:
            table.setdefault(_travel.DupFd, self.made.reduce_descriptor)

    cdef int run(self, obj) except -1:
        cdef uint64_t state = dictwatch_state(_registered, _copyreg)
        if state != self.reducers or self.travels != travelling():
            self.refresh(state)
        self.dump(obj)
        return 0


cdef Pickling pickled(object obj, Py_ssize_t out_of_band=OUT_OF_BAND, object carrier=None):
    """Returns the object's pickle, to be given back to done(). After an exception the pickler is not used again.

    Buffers of `out_of_band` bytes or more are listed. IN_BAND: none are, and the pickle may be for a process without
    mpfast. So may one for a `carrier`, if its _exposed() says so. A reducer that pickles gets a pickler of its own.
    """
    cdef Pickling pickling = _unused()
    pickling.made.out_of_band, pickling.made.carrier = out_of_band, carrier
    pickling.run(obj)
    pickling.made.carrier = None
    return pickling


cdef Pickling pickled_by(object pickler, object obj):
    """As pickled(), by a class that replaces ForkingPickler. It says with dumps() what the message is."""
    message = pickler.dumps(obj)
    cdef Pickling pickling = _unused()
    pickling.stream.append(message)
    return pickling


cdef Pickling _unused():
    try:
        return _spare.pop()
    except IndexError:
        return Pickling()


cdef void done(Pickling pickling) noexcept:
    pickling.stream.clear()
    pickling.buffers.clear()
    pickling.clear_memo()
    if len(_spare) < SPARE:
        _spare.append(pickling)


cdef class Place:
    """Where a program may replace ForkingPickler: the name `_ForkingPickler` in modules of ours and of the stdlib."""

    def __init__(self):
        self.first = self.second = {}

    def add(self, dict names):
        """Looks into this module's names too. There can be two modules."""
        self.first, self.second = self.second, names
        dictwatch_begin(self.first, self.second)
        self.state = 0

    cdef object look(self, uint64_t state):
        self.found = None
        for names in (self.first, self.second):
            found = names.get("_ForkingPickler", ForkingPickler)
            if found is not ForkingPickler:
                self.found = found
        self.state = state
        return self.found


cdef object replaced(Place place):
    """The class that stands in ForkingPickler's place. None: it was not replaced."""
    cdef uint64_t state = dictwatch_state(place.first, place.second)
    return place.found if state == place.state else place.look(state)


dictwatch_begin(_registered, _copyreg)
