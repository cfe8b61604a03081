/* SPDX-License-Identifier: MIT */
/* What the kernel takes for a message. It is one write and one read of all its bytes, in C, with nothing around them.

   floor PATTERN WIRE SIZE CPU PEER_CPU MILLISECONDS prints nanoseconds per message, round trip or call:
   PATTERN  stream (one way), turns (there and back), poll (poll(2) of something that is not ready)
   WIRE     pipe, pair (socketpair), unix, inet
   The processes sleep until there is something to read. On two CPUs they may also look again and again. The better of
   both counts, because a program may do either. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BATCHES = 5 };

struct end {
    int in, out;
};

struct job {
    bool turns;
    size_t size;
    char *data;
    struct end ends[2];
    int orders[2], done[2];
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int checked(int result, const char *what)
{
    if (result < 0)
        die(what);
    return result;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    checked(sched_setaffinity(0, sizeof set, &set), "sched_setaffinity");
}

/* Wires ------------------------------------------------------------------------------------------------------------ */

static void meet(struct job *j, int family, struct sockaddr *address, socklen_t length)
{
    int listener = checked(socket(family, SOCK_STREAM, 0), "socket"), yes = 1;
    checked(bind(listener, address, length), "bind");
    checked(listen(listener, 1), "listen");
    socklen_t room = sizeof(struct sockaddr_un);
    checked(getsockname(listener, address, &room), "getsockname");
    int client = checked(socket(family, SOCK_STREAM, 0), "socket");
    checked(connect(client, address, family == AF_UNIX ? room : length), "connect");
    int server = checked(accept(listener, NULL, NULL), "accept");
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes); /* of no effect unless it is TCP */
    setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    close(listener);
    j->ends[0] = (struct end){client, client};
    j->ends[1] = (struct end){server, server};
}

static void wire_unix(struct job *j)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX}; /* no name: the kernel finds an abstract one */
    meet(j, AF_UNIX, (struct sockaddr *)&address, sizeof(sa_family_t));
}

static void wire_inet(struct job *j)
{
    union {
        struct sockaddr_in in;
        struct sockaddr_un room;
    } address = {.in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}}};
    meet(j, AF_INET, (struct sockaddr *)&address.in, sizeof address.in);
}

static void wire_pipe(struct job *j)
{
    int there[2], back[2];
    checked(pipe(there), "pipe");
    checked(pipe(back), "pipe");
    j->ends[0] = (struct end){back[0], there[1]};
    j->ends[1] = (struct end){there[0], back[1]};
}

static void wire_pair(struct job *j)
{
    int fds[2];
    checked(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), "socketpair");
    j->ends[0] = (struct end){fds[0], fds[0]};
    j->ends[1] = (struct end){fds[1], fds[1]};
}

static void connect_ends(struct job *j, const char *wire)
{
    if (!strcmp(wire, "pipe"))
        wire_pipe(j);
    else if (!strcmp(wire, "pair"))
        wire_pair(j);
    else if (!strcmp(wire, "unix"))
        wire_unix(j);
    else
        wire_inet(j);
}

/* Messages --------------------------------------------------------------------------------------------------------- */

static void again(ssize_t n)
{
    if (n == 0 || (errno != EAGAIN && errno != EINTR))
        die("the other end");
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static void put(int fd, const char *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = write(fd, data + done, size - done);
        if (n > 0)
            done += (size_t)n;
        else
            again(n);
    }
}

static void get(int fd, char *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = read(fd, data + done, size - done);
        if (n > 0)
            done += (size_t)n;
        else
            again(n);
    }
}

static void play(struct job *j, int role, long count)
{
    struct end *e = &j->ends[role];
    for (long i = 0; i < count; i++) {
        if (role == 0)
            put(e->out, j->data, j->size);
        if (role == 1 || j->turns)
            get(e->in, j->data, j->size);
        if (role == 1 && j->turns)
            put(e->out, j->data, j->size);
    }
}

static void peer(struct job *j, int cpu)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    pin(cpu);
    for (long count; read(j->orders[0], &count, sizeof count) == sizeof count && count > 0;) {
        play(j, 1, count);
        put(j->done[1], (char *)&count, sizeof count);
    }
    _exit(0);
}

static double batch(struct job *j, long count)
{
    put(j->orders[1], (char *)&count, sizeof count);
    double begin = now();
    play(j, 0, count);
    get(j->done[0], (char *)&count, sizeof count);
    return now() - begin;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median of some batches that together take so long. */
static double per_message(struct job *j, double milliseconds)
{
    long count = 1;
    double took = batch(j, count), wanted = milliseconds * 1e6 / BATCHES, each[BATCHES];
    while (took < wanted / 4) {
        count *= 4;
        took = batch(j, count);
    }
    count = (long)((double)count * wanted / took) + 1;
    for (int i = 0; i < BATCHES; i++)
        each[i] = batch(j, count) / (double)count;
    qsort(each, BATCHES, sizeof *each, by_size);
    return each[BATCHES / 2];
}

static double measure(struct job *j, const char *wire, int cpu, int peer_cpu, double milliseconds, bool spin)
{
    connect_ends(j, wire);
    for (int i = 0; spin && i < 2; i++) {
        checked(fcntl(j->ends[i].in, F_SETFL, O_NONBLOCK), "fcntl");
        checked(fcntl(j->ends[i].out, F_SETFL, O_NONBLOCK), "fcntl");
    }
    checked(pipe(j->orders), "pipe");
    checked(pipe(j->done), "pipe");
    pid_t pid = checked(fork(), "fork");
    if (pid == 0)
        peer(j, peer_cpu);
    pin(cpu);
    double result = per_message(j, milliseconds);
    long end = 0;
    put(j->orders[1], (char *)&end, sizeof end);
    waitpid(pid, NULL, 0);
    return result;
}

static double poll_call(double milliseconds)
{
    int fds[2];
    checked(pipe(fds), "pipe");
    struct pollfd p = {.fd = fds[0], .events = POLLIN};
    long count = 0;
    double begin = now();
    while (now() - begin < milliseconds * 1e6)
        for (int i = 0; i < 1000; i++, count++)
            poll(&p, 1, 0);
    return (now() - begin) / (double)count;
}

int main(int argc, char **argv)
{
    if (argc != 7)
        return 2;
    struct job j = {.turns = !strcmp(argv[1], "turns"), .size = strtoull(argv[3], NULL, 10)};
    int cpu = atoi(argv[4]), peer_cpu = atoi(argv[5]);
    double milliseconds = atof(argv[6]), best;
    signal(SIGPIPE, SIG_IGN);
    alarm(20);
    if (!strcmp(argv[1], "poll")) {
        pin(cpu);
        best = poll_call(milliseconds);
    } else {
        j.data = mmap(NULL, j.size + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        if (j.data == MAP_FAILED)
            die("mmap");
        best = measure(&j, argv[2], cpu, peer_cpu, milliseconds, false);
        double other = cpu == peer_cpu ? best : measure(&j, argv[2], cpu, peer_cpu, milliseconds, true);
        best = other < best ? other : best;
    }
    printf("%.1f\n", best);
    return 0;
}
