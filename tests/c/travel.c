/* SPDX-License-Identifier: MIT */
/* travel.h: a descriptor is taken from another process's table, or nothing is, and nothing stays open. */
#include "check.h"

#include "core/wire/travel.h"

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>

static void place(struct travel *t, enum travel_place at, int fd)
{
    t->fd[at] = fd;
    EXPECT_EQ(travel_look(fd, &t->file[at]), 0);
}

static int opened(void)
{
    int count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* What the sender does: it says where things are, then makes what it is told of its descriptors, until the end. */
static void sends(int order, int answer)
{
    int bell[2], goods = memfd_create("goods", 0);
    struct travel t = {.key = 7, .pid = getpid()};
    uint64_t key = 0;
    char what;
    EXPECT_EQ(write(goods, "goods", 5), 5);
    EXPECT_EQ(pipe2(bell, O_CLOEXEC | O_NONBLOCK), 0);
    place(&t, TRAVEL_GOODS, goods);
    place(&t, TRAVEL_BELL_READER, bell[0]);
    place(&t, TRAVEL_BELL_WRITER, bell[1]);
    EXPECT_EQ(write(answer, &t, sizeof t), sizeof t);
    while (read(order, &what, 1) == 1) {
        if (what == 'l')
            (void)!read(bell[0], &key, sizeof key);
        else if (what == 'f')
            while (write(bell[1], &key, sizeof key) > 0)
                ;
        else if (what == 'o')
            EXPECT_EQ(dup2(memfd_create("other", 0), goods), goods);
        else if (what == 'b')
            close(bell[1]);
        EXPECT_EQ(write(answer, &key, sizeof key), sizeof key);
    }
    _exit(GOOD);
}

static int order[2], answer[2];

static struct travel begin_sender(pid_t *pid)
{
    struct travel t;
    EXPECT_EQ(pipe(order) + pipe(answer), 0);
    *pid = fork();
    if (*pid == 0) {
        close(order[1]), close(answer[0]);
        sends(order[0], answer[1]);
    }
    close(order[0]), close(answer[1]);
    EXPECT_EQ(read(answer[0], &t, sizeof t), sizeof t);
    return t;
}

static uint64_t tell(char what)
{
    uint64_t key;
    EXPECT_EQ(write(order[1], &what, 1), 1);
    EXPECT_EQ(read(answer[0], &key, sizeof key), sizeof key);
    return key;
}

static void end_sender(pid_t pid)
{
    int status;
    close(order[1]), close(answer[0]);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
}

static void taken(void)
{
    pid_t pid;
    char text[8];
    struct travel t = begin_sender(&pid);
    int before = opened(), fd = travel_take(&t);
    if (fd == -EPERM || fd == -ENOSYS) {
        printf("the kernel does not let a parent take from its child: %s\n", strerror(-fd));
        exit(SKIP);
    }
    EXPECT(fd >= 0);
    EXPECT_EQ(pread(fd, text, sizeof text, 0), 5);
    EXPECT_EQ(fcntl(fd, F_GETFD), 0);
    close(fd);
    EXPECT_EQ(tell('l'), 7);
    EXPECT_EQ(opened(), before);
    end_sender(pid);
}

static void refused(char what, int error)
{
    pid_t pid;
    struct travel t = begin_sender(&pid);
    tell(what);
    int before = opened();
    EXPECT_EQ(travel_take(&t), error);
    EXPECT_EQ(opened(), before);
    end_sender(pid);
}

static void another_file(void) { refused('o', -ESTALE); }

static void a_full_bell(void) { refused('f', -EAGAIN); }

static void a_bell_that_is_gone(void) { refused('b', -EBADF); }

static void the_dead(void)
{
    pid_t pid;
    struct travel t = begin_sender(&pid);
    siginfo_t info;
    int before = opened();
    kill(pid, SIGKILL);
    EXPECT_EQ(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    EXPECT_EQ(travel_take(&t), -ESRCH); /* not reaped yet */
    EXPECT_EQ(opened(), before);
    EXPECT_EQ(waitpid(pid, NULL, 0), pid);
    EXPECT_EQ(travel_take(&t), -ESRCH);
    EXPECT_EQ(opened(), before);
    close(order[1]), close(answer[0]);
}

/* Another process at this pid, which has a descriptor of the same number. */
static void another_process(void)
{
    pid_t pid;
    struct travel t = begin_sender(&pid);
    t.pid = getpid();
    int before = opened(), rc = travel_take(&t);
    EXPECT(rc == -ESTALE || rc == -EBADF);
    EXPECT_EQ(opened(), before);
    end_sender(pid);
}

static void looks(void)
{
    struct travel_file file, again;
    int fd = eventfd(0, 0), null = open("/dev/null", O_RDONLY), other = open("/dev/null", O_WRONLY);
    EXPECT_EQ(travel_look(fd, &file), -EOPNOTSUPP);
    EXPECT_EQ(travel_look(-1, &file), -EBADF);
    EXPECT_EQ(travel_look(null, &file) + travel_look(other, &again), 0);
    EXPECT(travel_same(&file, &file) && !travel_same(&file, &again));
    close(fd), close(null), close(other);
}

int main(void)
{
    begin(60);
    RUN(looks);
    RUN(taken);
    RUN(another_file);
    RUN(a_full_bell);
    RUN(a_bell_that_is_gone);
    RUN(the_dead);
    RUN(another_process);
    return GOOD;
}
