# SPDX-License-Identifier: MIT
"""The one door from C's -errno to Python's exceptions."""

from libc.errno cimport EACCES, ENOSYS, EPERM
from libc.string cimport strerror


cdef inline int raise_no_room(str doing, size_t size) except -1:
    """Raises the MemoryError of a mapping that the kernel refused, mostly because of RLIMIT_AS."""
    raise MemoryError(f"{doing}: no room for {size} bytes of address space (see ulimit -v)")


cdef inline int raise_errno(int rc, doing=None, dict texts=None, filename=None) except -1:
    """Raises the OSError that the status -errno of a C function stands for.

    doing: what was tried, which stands in front of the text. texts: texts for a status, in place of the system's.
    """
    text = None if texts is None else texts.get(-rc)
    if text is None:
        text = strerror(-rc).decode()
    raise OSError(-rc, text if doing is None else f"{doing}: {text}", *(() if filename is None else (filename,)))


cdef inline int raise_call(int rc, str call, dict texts=None) except -1:
    """raise_errno() for a system call that a filter may refuse. The error names it then."""
    if rc in (-EPERM, -EACCES, -ENOSYS):
        raise_errno(rc, f"this system refuses {call}")
    raise_errno(rc, None, texts)
