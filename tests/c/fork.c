/* SPDX-License-Identifier: MIT */
/* fork.h, membership.h and participant.h between real processes: hand-over by fork and by exec, and proofs of death. */
#define FAMILY_PARTICIPANTS 16
#define FAMILY_SMALL_SLOTS 64
#define FAMILY_LARGE_SLOTS 64
#include "users.h"
#include "core/life/fork.h"

#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static struct family *family;
static uint32_t slot;
static const char *myself;

struct board {
    _Atomic int stop, found, probes;
    _Atomic uint32_t identity, wrong;
};

static struct board *board; /* shared by all processes; the harness's own */

static _Noreturn void leave(void)
{
    participant_leave(family);
    _exit(GOOD);
}

static void pause_for_ever(void)
{
    for (;;)
        pause();
}

/* A child that does so; its identity is on the board when this returns. */
static pid_t child(void (*body)(void))
{
    board->identity = 0;
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        board->identity = family_me(family);
        body();
        leave();
    }
    while (board->identity == 0)
        sched_yield();
    return pid;
}

static int end_of(pid_t pid)
{
    int status;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    return status;
}

/* It is a zombie when this returns, or it is stopped. */
static void await(pid_t pid, int what)
{
    siginfo_t info;
    EXPECT_EQ(waitid(P_PID, (id_t)pid, &info, what | WNOWAIT), 0);
}

static void end_zombie(pid_t pid) { await(pid, WEXITED); }
static void await_stop(pid_t pid) { await(pid, WSTOPPED); }

static void expect_alone(void)
{
    struct reaped r = {0};
    for (uint32_t i = 1; i < FAMILY_PARTICIPANTS; i++) {
        if (i == identity_index(family_me(family)))
            continue;
        reap_owner(family, identity_make(i, 0), &r);
        EXPECT_EQ(state_kind(load_acquire(&family->participants[i].state)), PARTICIPANT_FREE);
        EXPECT(!ref_get(family, i, slot));
    }
}

/* An entry that is somebody's, or reserved for somebody, must never look as if nobody were there. */
static void probe(void)
{
    while (!board->stop) {
        for (uint32_t i = 1; i < FAMILY_PARTICIPANTS; i++) {
            shared64 *word = &family->participants[i].state;
            uint64_t state = load_acquire(word);
            if ((state_kind(state) == PARTICIPANT_LIVE || state_kind(state) == PARTICIPANT_RESERVED) &&
                participant_gone(family, i, state) && load_acquire(word) == state)
                board->wrong = i;
        }
        board->probes++;
    }
}

static void have_slot(void)
{
    EXPECT(slot_valid(family, slot, SLOT_LOCK, generation_of(family, slot)));
    EXPECT(family->fd >= 0 && byte_held(family->fd, 1) && !byte_held(family->fd, identity_index(family_me(family))));
    handle_remove(family, slot);
    EXPECT(!ref_get(family, identity_index(family_me(family)), slot));
}

static void have_grandchildren(void)
{
    for (int i = 0; i < 3; i++)
        EXPECT_EQ(end_of(child(have_slot)), 0);
}

static pid_t start_prober(void)
{
    board->stop = board->wrong = 0;
    board->probes = 0;
    pid_t prober = child(probe);
    while (board->probes == 0)
        sched_yield();
    return prober;
}

static void stop_prober(pid_t prober)
{
    board->stop = 1;
    EXPECT_EQ(end_of(prober), 0);
    EXPECT_EQ(board->wrong, 0);
}

static void forks(void)
{
    pid_t prober = start_prober();
    for (int i = times(150); i > 0; i--)
        EXPECT_EQ(end_of(child(i % 10 ? have_slot : have_grandchildren)), 0);
    stop_prober(prober);
    expect_alone();
}

static void *fork_some(void *unused)
{
    for (int i = times(40); i > 0; i--) {
        pid_t pid = fork();
        if (pid == 0)
            family_me(family) != 0 ? have_slot(), leave() : _exit(BAD);
        EXPECT_EQ(end_of(pid), 0);
    }
    return unused;
}

/* Forks of several threads at once: each child has its own entry. */
static void threads_fork(void)
{
    pthread_t thread[3];
    pid_t prober = start_prober();
    for (int i = 0; i < 3; i++)
        EXPECT_EQ(pthread_create(&thread[i], NULL, fork_some, NULL), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    stop_prober(prober);
    expect_alone();
}

/* Started by exec, without fork's hooks, with an entry that its parent reserved: argv has the identity, the descriptor and what to do then. */
static int executed(char **argv)
{
    uint32_t identity = (uint32_t)strtoul(argv[1], NULL, 10), claimed = (uint32_t)strtoul(argv[3], NULL, 10);
    int fd = atoi(argv[2]);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    EXPECT_EQ(family_attach(fd, &family), 0);
    EXPECT(member_expected(family, identity) && !member_expected(family, identity + (1u << 14)));
    EXPECT(fcntl(fd, F_SETFD, FD_CLOEXEC) == 0);
    EXPECT_EQ(member_become(family, identity, fd), 0);
    EXPECT_EQ(handle_attach(family, claimed, SLOT_LOCK, generation_of(family, claimed)), 0);
    EXPECT(lock_try(slot_at(family, claimed), family_me(family)));
    raise(SIGSTOP);
    if (argv[4][0] == 'd')
        kill(getpid(), SIGKILL);
    lock_release(family, slot_at(family, claimed));
    handle_remove(family, claimed);
    leave();
}

static pid_t execute(uint32_t identity, int fd, const char *end)
{
    char numbers[3][16];
    snprintf(numbers[0], 16, "%u", identity);
    snprintf(numbers[1], 16, "%d", fd);
    snprintf(numbers[2], 16, "%u", slot);
    char *argv[] = {(char *)myself, numbers[0], numbers[1], numbers[2], (char *)end, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fd, fd); /* to itself: the program keeps it */
    pid_t pid;
    EXPECT_EQ(posix_spawn(&pid, myself, &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

static void execs(void)
{
    struct reaped r = {0};
    struct lock *l = slot_at(family, slot);
    pid_t prober = start_prober();
    for (int i = times(20); i > 0; i--) {
        uint32_t identity;
        int fd;
        EXPECT_EQ(member_reserve(family, &identity, &fd, &r), 0);
        ref_set(family, identity_index(identity), slot);
        refs_vouched(family);
        bool dies = i % 2;
        pid_t pid = execute(identity, fd, dies ? "die" : "leave");
        EXPECT(pid > 0);
        member_let_go(family, identity, fd, &r);
        await_stop(pid);
        EXPECT(!participant_died(family, identity));
        if (dies) /* while the prober looks elsewhere: this one will look dead, and is */
            stop_prober(prober);
        kill(pid, SIGCONT);
        end_zombie(pid);
        EXPECT_EQ(participant_died(family, identity), dies);
        EXPECT_EQ(participant_pid(family, identity), pid);
        EXPECT_EQ(LOCK_OWNER(load_relaxed(&l->word)), dies ? identity : 0);
        end_of(pid);
        reap_owner(family, identity, &r);
        EXPECT_EQ(load_relaxed(&l->word), dies ? identity | LOCK_DEAD : 0);
        if (!dies)
            continue;
        EXPECT_EQ(load_relaxed(&l->dead_pid), pid);
        EXPECT(lock_recover(family, l, family_me(family)));
        lock_release(family, l);
        prober = start_prober();
    }
    stop_prober(prober);
    expect_alone();
}

/* Becomes another program, which knows nothing of all this. It is not dead, though its byte is free. */
static void become_another(void)
{
    EXPECT(lock_try(slot_at(family, slot), family_me(family)));
    execl("/bin/sleep", "sleep", "60", (char *)NULL);
    _exit(BAD);
}

static void close_all(void)
{
    EXPECT(lock_try(slot_at(family, slot), family_me(family)));
    close(family->fd);
    pause_for_ever();
}

/* Not dead as long as it runs, or is stopped; dead as a zombie; then reaped. */
static void live_and_die(void (*body)(void), bool byte_goes)
{
    struct reaped r = {0};
    struct lock *l = slot_at(family, slot);
    pid_t pid = child(body);
    uint32_t identity = board->identity;
    while (load_acquire(&l->word) != identity || byte_held(family->fd, identity_index(identity)) == byte_goes)
        sched_yield();
    for (int stopped = 0; stopped < 2; stopped++) {
        EXPECT(!participant_died(family, identity));
        reap_owner(family, identity, &r);
        EXPECT_EQ(load_relaxed(&l->word), identity);
        kill(pid, SIGSTOP);
        await_stop(pid);
    }
    kill(pid, SIGKILL);
    end_zombie(pid);
    EXPECT(participant_died(family, identity));
    EXPECT(WIFSIGNALED(end_of(pid)) && participant_died(family, identity));
    reap_owner(family, identity, &r);
    EXPECT_EQ(load_relaxed(&l->word), identity | LOCK_DEAD);
    EXPECT(!participant_died(family, identity) && participant_pid(family, identity) == 0);
    EXPECT(lock_recover(family, l, family_me(family)));
    lock_release(family, l);
    expect_alone();
}

static void hold(void)
{
    EXPECT(lock_try(slot_at(family, slot), family_me(family)));
    pause_for_ever();
}

static void deaths(void)
{
    live_and_die(hold, false);
    live_and_die(become_another, true);
    live_and_die(close_all, true);
}

/* A copy of the descriptor by which that process holds its byte; -1 where that is forbidden. */
static int copy_of_description(pid_t pid)
{
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0), copy = -1;
    for (int i = 3; i < 64; i++) {
        char path[64];
        struct stat st;
        snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, i);
        if (stat(path, &st) == 0 && st.st_ino == family->ino && st.st_dev == family->dev)
            copy = (int)syscall(SYS_pidfd_getfd, pidfd, i, 0);
    }
    close(pidfd);
    return copy;
}

/* Its description is open elsewhere as well, and outlives it. Then it looks alive only where its pid says nothing. */
static void outlived(void)
{
    struct reaped r = {0};
    struct lock *l = slot_at(family, slot);
    pid_t pid = child(hold);
    uint32_t identity = board->identity;
    struct participant *p = &family->participants[identity_index(identity)];
    while (load_acquire(&l->word) != identity)
        sched_yield();
    int fd = copy_of_description(pid);
    EXPECT(!participant_died(family, identity));
    kill(pid, SIGKILL);
    end_of(pid);
    EXPECT(participant_died(family, identity));
    add_relaxed(&p->namespace, UINT64_C(1));
    EXPECT_EQ(participant_died(family, identity), fd < 0);
    if (fd >= 0)
        close(fd);
    else
        printf("no pidfd_getfd here: half a test\n");
    EXPECT(participant_died(family, identity));
    reap_owner(family, identity, &r);
    EXPECT(lock_recover(family, l, family_me(family)));
    lock_release(family, l);
    expect_alone();
}

/* Forked behind libc's back: nobody, who has nothing, can claim nothing, and breaks nothing. */
static void nobody(void)
{
    uint32_t generation = generation_of(family, slot);
    pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    EXPECT(pid >= 0);
    if (pid == 0) {
        bool good = family_me(family) == 0 && handle_claim(family, SLOT_SMALL, SLOT_LOCK) == -EOWNERDEAD &&
                    handle_attach(family, slot, SLOT_LOCK, generation) == -ESTALE;
        handle_remove(family, slot);
        participant_leave(family);
        _exit(good ? GOOD : BAD);
    }
    EXPECT_EQ(end_of(pid), 0);
    EXPECT(slot_valid(family, slot, SLOT_LOCK, generation));
    EXPECT_EQ(state_kind(load_acquire(&family->participants[identity_index(family_me(family))].state)),
              PARTICIPANT_LIVE);
    expect_alone();
}

/* Children for whom there is no entry are told so, and do no harm. */
static void full_table(void)
{
    pid_t pids[FAMILY_PARTICIPANTS];
    int n = 0, refused = 0;
    for (; n < FAMILY_PARTICIPANTS - 2; n++)
        pids[n] = child(pause_for_ever);
    for (int i = 0; i < 3; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(family_me(family) == 0 && handle_claim(family, SLOT_SMALL, SLOT_LOCK) == -EOWNERDEAD ? 42 : BAD);
        refused += WEXITSTATUS(end_of(pid)) == 42;
    }
    EXPECT_EQ(refused, 3);
    kill(pids[4], SIGKILL);
    end_of(pids[4]);
    pids[4] = child(pause_for_ever); /* the dead one's entry is found in time */
    while (n > 0) {
        kill(pids[--n], SIGKILL);
        end_of(pids[n]);
    }
    expect_alone();
}

/* Each owner of an entry has a generation of its own, and what names an earlier one means nobody. */
static void generations(void)
{
    struct reaped r = {0};
    uint32_t before = 0;
    for (int i = 0; i < 20; i++) {
        pid_t pid = child(i % 2 ? have_slot : pause_for_ever);
        uint32_t identity = board->identity;
        EXPECT(identity != before && identity_index(identity) != identity_index(family_me(family)));
        EXPECT(i == 0 || identity_index(identity) == identity_index(before));
        EXPECT(!participant_died(family, before) && participant_pid(family, before) == 0);
        kill(pid, i % 2 ? SIGCONT : SIGKILL);
        end_of(pid);
        EXPECT_EQ(participant_died(family, identity), i % 2 == 0);
        reap_owner(family, identity, &r);
        before = identity;
    }
    expect_alone();
}

int main(int argc, char **argv)
{
    (void)argc;
    if (argc == 5)
        return executed(argv);
    begin(50);
    myself = "/proc/self/exe";
    EXPECT_EQ(fork_install(), 0);
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    EXPECT(board != MAP_FAILED);
    family = family_new();
    families_add(family);
    slot = make(family, SLOT_LOCK);
    RUN(forks);
    RUN(threads_fork);
    RUN(execs);
    RUN(deaths);
    RUN(outlived);
    RUN(nobody);
    RUN(generations);
    RUN(full_table);
    handle_remove(family, slot);
    family_end(family);
    return GOOD;
}
