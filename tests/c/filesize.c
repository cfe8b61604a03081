/* SPDX-License-Identifier: MIT */
/* filesize.h: a file gets its size under any soft limit, none under a hard one, and no thread sees another limit. */
#include "file_limit.h"

#include "core/base/atomic.h"
#include "core/base/filesize.h"

#include <sys/stat.h>

#define SIZE ((off_t)1 << 40)

static int made(off_t size)
{
    struct stat st;
    int fd = memfd_create("made", MFD_CLOEXEC);
    int rc = filesize_set(fd, size);
    EXPECT_EQ(fstat(fd, &st), 0);
    EXPECT_EQ(st.st_size, rc == 0 ? size : 0);
    EXPECT_EQ(close(fd), 0);
    return rc;
}

static shared32 done;

static void *see(void *unused)
{
    struct rlimit l;
    do {
        EXPECT_EQ(getrlimit(RLIMIT_FSIZE, &l), 0);
        EXPECT_EQ(l.rlim_cur, 0);
    } while (load_relaxed(&done) == 0);
    return unused;
}

static void unseen(void)
{
    pthread_t thread;
    file_limit(0, RLIM_INFINITY);
    EXPECT_EQ(pthread_create(&thread, NULL, see, NULL), 0);
    for (int n = 0; n < 100; n++)
        EXPECT_EQ(made(SIZE), 0);
    store_relaxed(&done, 1);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
}

static void soft_limits(void)
{
    rlim_t soft[] = {0, 4096, SIZE - 1, SIZE, RLIM_INFINITY};
    for (size_t i = 0; i < sizeof soft / sizeof *soft; i++) {
        file_limit(soft[i], RLIM_INFINITY);
        EXPECT_EQ(made(SIZE), 0);
    }
}

/* SIGXFSZ would end this process. */
static void hard_limits(void)
{
    file_limit(4096, 8192);
    EXPECT_EQ(made(4096), 0);
    EXPECT_EQ(made(8192), 0);
    EXPECT_EQ(made(8193), -EFBIG);
    EXPECT(filesize_allowed(4096) && !filesize_allowed(4097));
    file_limit(0, 0);
    EXPECT_EQ(made(0), 0);
    EXPECT_EQ(made(1), -EFBIG);
}

/* Whether the limit may be raised again: then there is no hard limit to try. */
static bool privileged(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit low = {4096, 4096}, none = {RLIM_INFINITY, RLIM_INFINITY};
        _exit(setrlimit(RLIMIT_FSIZE, &low) == 0 && setrlimit(RLIMIT_FSIZE, &none) == 0);
    }
    int status;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    return status != 0;
}

int main(void)
{
    if (!file_limit_begin())
        return 77;
    unseen();
    soft_limits();
    EXPECT(waitpid(-1, NULL, __WALL) < 0 && errno == ECHILD); /* no helper is left */
    if (!privileged())
        hard_limits();
    return 0;
}
