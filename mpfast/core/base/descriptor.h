/* SPDX-License-Identifier: MIT */
/* Descriptors of this process that no standard stream ever is.
 *
 * A program may have been started with 0, 1 or 2 closed. The next descriptor gets that number, and whatever a C library
 * prints then would be written into it. */
#ifndef MPFAST_DESCRIPTOR_H
#define MPFAST_DESCRIPTOR_H

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DESCRIPTOR_FIRST = 3 };

/* The same file under a number that is no standard stream's, closed by exec. Takes fd over; a negative one (an error of
 * the call that was to make it: errno says which) becomes -errno, as does a failure. */
static inline int descriptor_above(int fd)
{
    if (fd < 0)
        return -errno;
    if (fd >= DESCRIPTOR_FIRST)
        return fd;
    int above = fcntl(fd, F_DUPFD_CLOEXEC, DESCRIPTOR_FIRST);
    int rc = above < 0 ? -errno : above;
    close(fd);
    return rc;
}

/* The same for both ends of a pipe or a pair of sockets. After an error neither is open. */
static inline int descriptors_above(int ends[2])
{
    int rc = 0;
    for (int i = 0; i < 2; i++) {
        ends[i] = descriptor_above(ends[i]);
        rc = ends[i] < 0 ? ends[i] : rc;
    }
    for (int i = 0; i < 2 && rc < 0; i++)
        if (ends[i] >= 0)
            close(ends[i]);
    return rc;
}

/* A mark that tells a descriptor's file from another one that has its number later. 0 if it is closed. */
static inline uint64_t descriptor_mark(int fd)
{
    struct stat found;
    if (fd < 0 || fstat(fd, &found) < 0)
        return 0;
    return (uint64_t)found.st_ino ^ (uint64_t)found.st_dev << 48;
}

/* Closes it, unless the program has closed it behind our back. Its number may be another file's by now. */
static inline void descriptor_close(int fd, uint64_t mark)
{
    if (mark != 0 && descriptor_mark(fd) == mark)
        close(fd);
}

#endif
