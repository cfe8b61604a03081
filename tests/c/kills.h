/* SPDX-License-Identifier: MIT */
/* Kills a process at every step of what it does, and looks at what those have of it who go on.
 *
 * A case is a scenario, a number n and a mode. A judge makes a family of its own and forks companions and a victim. The
 * victim comes to its n-th access that writes to shared memory, and there it is killed at once; or stopped, looked at
 * by the others, and then killed, or let go on. Afterwards all that is left must finish in time, and nothing of the
 * dead may remain. n goes up until the victim comes to its end before step n, some times in a row, as others race with it. */
#ifndef MPFAST_TEST_KILLS_H
#define MPFAST_TEST_KILLS_H

#define FAMILY_PARTICIPANTS 16
#define FAMILY_SMALL_SLOTS 64
#define FAMILY_LARGE_SLOTS 64

static void step(void);
#define POINT() step()
#define READ_POINT() ((void)0)
#define STEP() step()
#include "users.h"
#include "core/life/fork.h"

#include <sys/prctl.h>
#include <sys/wait.h>

#define COMPANIONS 2
#define SLOTS_KEPT 6
#define IN_TIME (200 * MILLISECOND) /* what docs/family.md promises */
#define AT_ONCE 8                   /* cases that run side by side: most of their time they wait */
#ifdef STRIDE                       /* a harness with long ways leaves some steps out */
#elif defined(__SANITIZE_THREAD__)
#define STRIDE 8 /* it sees nothing between processes, and makes each slow */
#else
#define STRIDE (SANITIZED ? 3 : 1)
#endif
enum mode { KILL, STOP_KILL, STOP_GO, MODES };
enum { LATE = 3, NOT_REACHED = 4 };

struct scenario {
    const char *name;
    void (*prepare)(void);    /* judge: makes the slots, or a dead process */
    void (*victim)(void);     /* armed from beginning to end */
    void (*companion)(void);  /* each of them goes on whatever happens; NULL: there are none */
    void (*alongside)(void);  /* judge, as long as the victim is not halted */
    void (*meanwhile)(void);  /* judge, while the victim is stopped */
    void (*afterwards)(void); /* judge: what a survivor does; timed like the companions */
    int companions;
    bool stranger; /* the victim is forked without the hooks, and so in no family */
    bool newborn;  /* armed before the hooks run in it */
};

/* What the processes of one case tell each other. Not part of what is tested: no access is a step. */
struct scene {
    _Atomic int begun, reached, killed, go, inside, recoveries, flag, acted, done, broken;
    _Atomic int64_t died, finished;
    _Atomic uint32_t victim, companion[COMPANIONS];
    _Atomic int owned[FAMILY_SLOTS]; /* by whoever claimed the slot and has not given it up */
    uint32_t slot[SLOTS_KEPT];
    int slots;
};

static struct scene *scene;
static const struct scenario *playing;
static _Atomic int64_t *lateness; /* how late the clock's process was woken so far, in all */
static struct family *family;
static enum mode mode;
static pid_t victim_pid;
static int steps_left, steps_given; /* 0: not armed */
static int number;                  /* of a companion */

static void step(void)
{
    if (steps_left == 0)
        return;
    scene->begun = 1;
    if (--steps_left > 0)
        return;
    scene->reached = 1;
    if (mode != KILL) {
        raise(SIGSTOP);
        return;
    }
    scene->killed = 1;
    scene->died = clock_now();
    kill(getpid(), SIGKILL);
}

static inline void arm(void) { steps_left = steps_given; }

static inline struct user self(void) { return (struct user){.f = family, .me = family_me(family), .number = number}; }

static inline uint32_t keep(enum slot_kind kind) { return scene->slot[scene->slots++] = make(family, kind); }

static inline bool asleep(uint32_t identity)
{
    return identity != 0 && load_relaxed(&family->participants[identity_index(identity)].waits[0].tid) != 0;
}

/* Has the victim come to its end, or to its step? */
static inline bool halted(void)
{
    siginfo_t info = {0};
    EXPECT_EQ(waitid(P_PID, (id_t)victim_pid, &info, WEXITED | WSTOPPED | WNOHANG | WNOWAIT), 0);
    return info.si_pid != 0;
}

#define UNTIL(condition) \
    while (!(condition)) \
    usleep(100)

static inline void companions_asleep(void)
{
    for (int i = 0; i < playing->companions; i++)
        UNTIL(asleep(scene->companion[i]) || scene->done > i);
}

static void in_child_hook(void)
{
    if (playing != NULL && playing->newborn && steps_given > 0)
        arm();
    else
        steps_left = 0; /* a victim's child is another process */
}

static inline _Noreturn void end_member(void)
{
    participant_leave(family);
    _exit(GOOD);
}

static inline pid_t spawn(void (*body)(void))
{
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    body();
    steps_left = 0;
    end_member();
}

static void companion_body(void)
{
    scene->companion[number] = family_me(family);
    playing->companion();
    scene->finished = clock_now();
    scene->done++;
}

static void victim_body(void)
{
    scene->victim = family_me(family);
    if (!playing->newborn)
        arm();
    playing->victim();
}

/* As spawn(), in no family: the hooks see none. */
static inline pid_t spawn_stranger(void (*body)(void))
{
    struct family *first = families.first;
    families.first = NULL;
    pid_t pid = spawn(body);
    families.first = first;
    return pid;
}

static inline int await_halt(void)
{
    int status;
    EXPECT_EQ(waitpid(victim_pid, &status, WUNTRACED), victim_pid);
    return status;
}

static inline void kill_stopped(void)
{
    scene->killed = 1;
    scene->died = clock_now();
    kill(victim_pid, SIGKILL);
}

/* Until the victim is dead, or has come to its end. */
static inline void attend(void)
{
    int status = await_halt();
    if (WIFSTOPPED(status)) {
        usleep(chance(2) * 1000);
        if (playing->meanwhile != NULL)
            playing->meanwhile();
        if (mode == STOP_KILL)
            kill_stopped();
        else
            kill(victim_pid, SIGCONT);
        status = await_halt();
    }
    EXPECT_EQ(WIFSIGNALED(status), scene->killed);
    EXPECT_EQ(WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), scene->killed ? SIGKILL : GOOD);
}

static inline void await_companions(void)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, 0)) > 0)
        EXPECT_EQ(status, 0);
    EXPECT_EQ(scene->done, playing->companions);
}

static inline bool others_gone(void)
{
    for (uint32_t i = 1; i < FAMILY_PARTICIPANTS; i++)
        if (i != identity_index(family_me(family)) && state_kind(load_acquire(&family->participants[i].state)))
            return false;
    return true;
}

/* Newcomers alone must be able to take every entry; or somebody looks for the dead. */
static inline void clean_up(bool by_newcomers)
{
    struct family *view[FAMILY_PARTICIPANTS];
    struct reaped r = {0};
    if (by_newcomers)
        for (int i = 0; i < FAMILY_PARTICIPANTS - 2; i++)
            view[i] = view_new(family);
    for (int i = 0; by_newcomers && i < FAMILY_PARTICIPANTS - 2; i++)
        view_leave(view[i]);
    for (uint32_t i = 1; i < FAMILY_PARTICIPANTS; i++)
        if (i != identity_index(family_me(family)))
            reap_owner(family, identity_make(i, 0), &r);
    EXPECT(others_gone());
}

static inline void expect_nobody(uint32_t index)
{
    struct participant *p = &family->participants[index];
    EXPECT_EQ(load_relaxed(&p->pages), 0);
    EXPECT_EQ(load_relaxed(&p->dropping), 0);
    for (int i = 0; i < WAIT_RECORDS; i++)
        EXPECT_EQ(load_relaxed(&p->waits[i].tid), 0);
    for (uint32_t w = 0; w < FAMILY_SLOTS / 64; w++)
        EXPECT_EQ(load_relaxed(refs_of(family, index) + w), 0);
}

/* Every slot is free, and can be had. */
static inline void expect_all_slots(void)
{
    for (uint32_t i = 0; i < FAMILY_SLOTS; i++)
        EXPECT_EQ(slot_kind(load_acquire(&family->states[i])), SLOT_FREE);
    for (uint32_t i = 0; i < FAMILY_SLOTS; i++)
        make(family, i < FAMILY_SMALL_SLOTS ? SLOT_EVENT : SLOT_CONDITION);
    EXPECT_EQ(handle_claim(family, SLOT_SMALL, SLOT_EVENT), -ENOSPC);
    EXPECT_EQ(handle_claim(family, SLOT_LARGE, SLOT_EVENT), -ENOSPC);
}

static inline void nothing_is_left(void)
{
    clean_up(steps_given % 2);
    for (uint32_t i = 1; i < FAMILY_PARTICIPANTS; i++)
        if (i != identity_index(family_me(family)))
            expect_nobody(i);
    while (scene->slots > 0)
        handle_remove(family, scene->slot[--scene->slots]);
    expect_all_slots();
}

/* The case itself: one process, which ends with what the runner is to know. */
static inline int judge(void)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    family = family_new();
    families_add(family);
    scene = mmap(NULL, sizeof *scene, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    EXPECT(scene != MAP_FAILED);
    int given = steps_given;
    steps_given = 0;
    if (playing->prepare != NULL)
        playing->prepare();
    for (number = 0; number < playing->companions; number++)
        spawn(companion_body);
    steps_given = given;
    victim_pid = (playing->stranger ? spawn_stranger : spawn)(victim_body);
    if (playing->alongside != NULL)
        playing->alongside();
    attend();
    scene->go = 1;
    int64_t late = *lateness;
    if (!scene->killed)
        scene->died = clock_now();
    if (playing->afterwards != NULL)
        playing->afterwards();
    int64_t end = clock_now();
    await_companions();
    if (scene->finished > end)
        end = scene->finished;
    late = *lateness - late;
    nothing_is_left();
    if (end - scene->died > IN_TIME + 3 * late + SANITIZED * 50 * MILLISECOND)
        return fprintf(stderr, "%s: survivors needed %.0f ms\n", doing, (double)(end - scene->died) / 1e6), LATE;
    return scene->reached ? GOOD : NOT_REACHED;
}

struct job {
    pid_t pid;
    int step, attempts;
};

static inline void start(struct job *job, const struct scenario *s, enum mode m)
{
    static const char *const modes[] = {"killed", "stopped, killed", "stopped, let go"};
    static char text[80];
    job->attempts++;
    job->pid = fork();
    EXPECT(job->pid >= 0);
    if (job->pid != 0)
        return;
    snprintf(text, sizeof text, "%s, %s at step %d", s->name, modes[m], job->step);
    doing = text;
    playing = s;
    mode = m;
    steps_given = job->step;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(30);
    chance_seed((uint64_t)job->step * MODES + m);
    _exit(judge());
}

/* True if the job is over. */
static inline bool judged(struct job *job, int status, const struct scenario *s, enum mode m, int *reached,
                          int *highest)
{
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : BAD;
    if (code == LATE && job->attempts < 3) {
        start(job, s, m);
        return false;
    }
    if (code != GOOD && code != NOT_REACHED)
        failed(__FILE__, __LINE__, s->name, job->step, status);
    *reached += code == GOOD;
    if (code == GOOD && job->step > *highest)
        *highest = job->step;
    job->pid = 0;
    return true;
}

/* All n of one scenario and mode; how many were reached. */
static inline int sweep(const struct scenario *s, enum mode m)
{
    struct job jobs[AT_ONCE] = {0};
    int next = 1, reached = 0, highest = 0, running = 0;
    while (running > 0 || next <= highest + AT_ONCE) {
        for (int i = 0; i < AT_ONCE && next <= highest + AT_ONCE; i++)
            if (jobs[i].pid == 0) {
                jobs[i] = (struct job){.step = next};
                next += STRIDE;
                start(&jobs[i], s, m);
                running++;
            }
        int status;
        pid_t pid = waitpid(-1, &status, 0);
        EXPECT(pid > 0);
        for (int i = 0; i < AT_ONCE; i++)
            if (jobs[i].pid == pid)
                running -= judged(&jobs[i], status, s, m, &reached, &highest);
    }
    return reached;
}

/* How late the scheduler is: what comes on top of every promise. */
static inline pid_t watch_clock(void)
{
    lateness = mmap(NULL, sizeof *lateness, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    EXPECT((void *)lateness != MAP_FAILED);
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        int64_t began = clock_now();
        usleep(2000);
        *lateness += clock_now() - began - 2 * MILLISECOND;
    }
}

static inline int run_scenarios(const struct scenario *all, int n)
{
    int total = 0;
    begin(100);
    EXPECT_EQ(pthread_atfork(NULL, NULL, in_child_hook), 0);
    EXPECT_EQ(fork_install(), 0);
    pid_t clock = watch_clock();
    for (int round = 0; round < (stress() ? 10 : 1); round++)
        for (int i = 0; i < n; i++) {
            int64_t began = clock_now();
            int count[MODES];
            for (int m = 0; m < MODES; m++)
                total += count[m] = sweep(&all[i], (enum mode)m);
            double ms = (double)(clock_now() - began) / 1e6;
            printf("%-24s %3d + %3d + %3d steps %6.0f ms\n", all[i].name, count[0], count[1], count[2], ms);
            for (int m = 0; m < MODES; m++)
                EXPECT(count[m] > 0);
        }
    printf("%d cases\n", total);
    kill(clock, SIGKILL);
    EXPECT_EQ(waitpid(clock, NULL, 0), clock);
    EXPECT_EQ(waitpid(-1, NULL, 0), -1);
    return GOOD;
}

#endif
