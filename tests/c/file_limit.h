/* SPDX-License-Identifier: MIT */
/* Programs that change the limit on the size of files. */
#ifndef FILE_LIMIT_H
#define FILE_LIMIT_H

#include "check.h"

#include <signal.h>
#include <sys/resource.h>

static void file_limit(rlim_t soft, rlim_t hard)
{
    struct rlimit l = {soft, hard};
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &l), 0);
}

/* Call it first. False: there is a limit already, so the program cannot set its own. */
static bool file_limit_begin(void)
{
    struct rlimit before;
    EXPECT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_DFL);
    if (before.rlim_max == RLIM_INFINITY)
        return true;
    puts("there is a limit on the size of files already");
    return false;
}

#endif
