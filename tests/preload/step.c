/* SPDX-License-Identifier: MIT */
/* LD_PRELOAD: kills one process of a program at its n-th step. A step is a system call of the launching protocol, and
 * there are two moments to each: just before it and just after it.
 *
 * MPFAST_STEP_ROLE   user (the program), server (what it runs, or a template), child (what the server forks)
 * MPFAST_STEP        which moment, from 0 on
 * MPFAST_STEP_DONE   a file that is made when the process is killed, and of which there is only one
 *
 * The user's steps count from the first socketpair() on, the others' from their beginning. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum role { USER, SERVER, CHILD, OTHER };
static enum role role, wanted;
static long moment = -1, at;
static const char *done;

__attribute__((constructor)) static void begin(void)
{
    const char *name = getenv("MPFAST_STEP_ROLE"), *step = getenv("MPFAST_STEP"), *depth = getenv("MPFAST_STEP_DEPTH");
    done = getenv("MPFAST_STEP_DONE");
    if (name == NULL || step == NULL || done == NULL)
        return;
    wanted = strcmp(name, "user") == 0 ? USER : strcmp(name, "server") == 0 ? SERVER : CHILD;
    at = strtol(step, NULL, 10);
    role = depth == NULL ? USER : SERVER;
    moment = role == USER ? -1 : 0;
    setenv("MPFAST_STEP_DEPTH", "1", 1); /* for the programs that this one runs */
}

static void here(void)
{
    if (role != wanted || moment < 0 || moment++ != at)
        return;
    int error = errno;
    if (open(done, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600) >= 0)
        raise(SIGKILL);
    errno = error; /* the call's: another process was it */
}

#define REAL(name) ((__typeof__(name) *)dlsym(RTLD_NEXT, #name))
#define STEP(type, name, parameters, arguments)                                                                        \
    type name parameters                                                                                               \
    {                                                                                                                  \
        here();                                                                                                        \
        type result = REAL(name) arguments;                                                                            \
        here();                                                                                                        \
        return result;                                                                                                 \
    }

STEP(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))
STEP(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags))
STEP(ssize_t, recv, (int fd, void *data, size_t size, int flags), (fd, data, size, flags))
STEP(int, poll, (struct pollfd *fds, nfds_t n, int timeout), (fds, n, timeout))
STEP(int, shutdown, (int fd, int how), (fd, how))
STEP(pid_t, waitpid, (pid_t pid, int *status, int flags), (pid, status, flags))
STEP(int, waitid, (idtype_t type, id_t id, siginfo_t *info, int flags), (type, id, info, flags))

int socketpair(int family, int type, int protocol, int ends[2])
{
    if (role == USER && moment < 0 && done != NULL)
        moment = 0;
    here();
    int result = REAL(socketpair)(family, type, protocol, ends);
    here();
    return result;
}

pid_t fork(void)
{
    here();
    pid_t pid = REAL(fork)();
    if (pid == 0 && role == SERVER) {
        role = CHILD;
        moment = 0;
    } else if (pid == 0)
        role = OTHER;
    here();
    return pid;
}

int ioctl(int fd, unsigned long what, ...)
{
    va_list list;
    va_start(list, what);
    void *argument = va_arg(list, void *);
    va_end(list);
    here();
    int result = ((int (*)(int, unsigned long, void *))dlsym(RTLD_NEXT, "ioctl"))(fd, what, argument);
    here();
    return result;
}

int prctl(int option, ...)
{
    unsigned long given[4];
    va_list list;
    va_start(list, option);
    for (int i = 0; i < 4; i++)
        given[i] = va_arg(list, unsigned long);
    va_end(list);
    if (option == PR_SET_NAME && done != NULL && strcmp((const char *)given[0], "mpfast-template") == 0) {
        role = SERVER;
        moment = 0;
    }
    here();
    int result = ((int (*)(int, ...))dlsym(RTLD_NEXT, "prctl"))(option, given[0], given[1], given[2], given[3]);
    here();
    return result;
}

void _exit(int code)
{
    here();
    ((void (*)(int))dlsym(RTLD_NEXT, "_exit"))(code);
    __builtin_unreachable();
}
