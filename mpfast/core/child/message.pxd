# SPDX-License-Identifier: MIT
cdef extern from "core/child/message.h" nogil:
    const size_t _PIPED "MESSAGE_PIPED"
    enum message_place:
        MESSAGE_IN_PIPE
        MESSAGE_IN_FILE
        MESSAGE_BY_SOCKET
    message_place message_place_for(size_t size)
    int message_file()
    int message_hold(const char *data, size_t size, int *feed)
    ssize_t message_feed(int sock, int pidfd, const char *data, size_t size)
