# SPDX-License-Identifier: MIT

cdef enum:
    KEY_ROOM = 256

cdef struct key_bytes:
    const char *data
    size_t size
    char room[KEY_ROOM]  # where short keys are written

cdef object key_dump(object key, key_bytes *k)
cdef object key_load(const char *data, size_t size)
