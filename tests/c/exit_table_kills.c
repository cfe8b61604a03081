/* SPDX-License-Identifier: MIT */
/* The exit table when the server, a child or the user is killed before any of its accesses, or stopped there and then
 * killed, or stopped and let go on when the others have gone as far as they can.
 *
 * A case is a scene, a role, a number n and a mode. The judge makes a table, and forks a server, which forks a child for
 * each life, and a user. The victim comes to its n-th access. Whoever is left finishes in time; what the user hears is
 * true; and what is lost for good of the table is at most one slot for each that was killed. */
#define EXITS_SLOTS 8u

static void step(void);
#define POINT() step()
#define READ_POINT() step()
#define STEP() step()
#include "check.h"
#include "core/child/child.h"
#include "core/child/exit_table.h"

#define LIFE_COUNT 3
#define IN_TIME (2 * SECOND) /* a hundred times what it should be: the machine may be busy */

enum role { SERVER, CHILD, USER, ROLES };
enum mode { KILL, STOP_KILL, STOP_GO, MODES };

struct scene {
    const char *name;
    bool wants;  /* the user gives the children something to be, and drops them at last */
    bool awaits; /* before that it waits until they have ended */
    bool asks;   /* and asks how */
    bool says;   /* the children say it, too */
};

static const struct scene scenes[] = {
    {.name = "to the end", .wants = true, .awaits = true, .asks = true, .says = true},
    {.name = "who says nothing", .wants = true, .awaits = true, .asks = true},
    {.name = "dropped at its end", .wants = true, .awaits = true, .says = true},
    {.name = "dropped at once", .wants = true, .says = true},
    {.name = "never wanted"},
};

/* What the processes of a case tell each other: the server's and the children's sockets, so to speak. */
struct life {
    _Atomic uint64_t token;
    _Atomic pid_t pid;
    _Atomic int go, quit, asked, known, code;
};

struct stage {
    struct life lives[LIFE_COUNT];
    _Atomic int reached, killed;
    _Atomic int64_t slowest;
};

static const struct scene *playing;
static struct stage *stage;
static struct exits_table table;
static enum mode mode;
static enum role victim;
static int steps_left, steps_given; /* 0: not armed */
static long cases, hits;

static void step(void)
{
    if (steps_left == 0 || --steps_left > 0)
        return;
    stage->reached = 1;
    if (mode == KILL)
        stage->killed = 1;
    kill(getpid(), mode == KILL ? SIGKILL : SIGSTOP);
}

static void arm(enum role role) { steps_left = role == victim ? steps_given : 0; }

#define UNTIL(condition) \
    while (!(condition)) \
    usleep(50)

static pid_t start(void (*body)(void))
{
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(20);
    body();
    _exit(GOOD);
}

static int code_of(const struct life *life) { return 20 + (int)(life - stage->lives); }

/* Waits to be somebody, and then says what it ends with. Only the first of the children is a victim. */
static void be_child(struct life *life)
{
    life->pid = getpid();
    UNTIL(life->go || life->quit);
    if (life->quit)
        _exit(0);
    if (life == stage->lives)
        arm(CHILD);
    if (playing->says)
        exits_say(&table, life->token, code_of(life));
    step();
    steps_left = 0;
    _exit(code_of(life));
}

static pid_t fork_child(struct life *life)
{
    int left = steps_left;
    steps_left = 0;
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
        alarm(20);
        be_child(life);
    }
    UNTIL(life->pid != 0);
    steps_left = left;
    return pid;
}

/* As the server should: what is told first and reaped then is not lost if it is killed in between. */
static void reap_child(struct life *life)
{
    siginfo_t info = {0};
    EXPECT_EQ(waitid(P_PID, (id_t)life->pid, &info, WEXITED | WNOWAIT), 0);
    exits_reaped(&table, life->token, info.si_code == CLD_EXITED ? info.si_status : -info.si_status);
    EXPECT_EQ(waitpid(life->pid, NULL, 0), life->pid);
}

static void be_server(void)
{
    arm(SERVER);
    for (struct life *life = stage->lives; life < stage->lives + LIFE_COUNT; life++) {
        int64_t token = exits_take(&table);
        EXPECT(token > 0);
        life->token = (uint64_t)token;
        exits_born(&table, life->token, fork_child(life));
        reap_child(life);
    }
}

static int server_pidfd;

static void await(const struct life *life)
{
    int pidfd = child_open(life->pid);
    if (pidfd < 0) /* it was reaped already */
        return;
    EXPECT(child_wait(pidfd, POLLIN, NEVER) > 0);
    close(pidfd);
}

static void ask(struct life *life)
{
    int code = 0;
    int64_t began = clock_now();
    int known;
    do
        known = exits_wait(&table, life->token, began + 10 * SECOND, server_pidfd, &code);
    while (known == -EINTR);
    if (clock_now() - began > stage->slowest)
        stage->slowest = clock_now() - began;
    life->known = known;
    life->code = code;
    life->asked = 1;
}

static void be_user(void)
{
    arm(USER);
    for (struct life *life = stage->lives; life < stage->lives + LIFE_COUNT; life++) {
        UNTIL(life->pid != 0 || exits_ended(server_pidfd));
        if (life->pid == 0)
            return;
        if (!playing->wants) {
            life->quit = 1;
            continue;
        }
        EXPECT(exits_want(&table, life->token)); /* a child that waits is not reaped */
        life->go = 1;
        if (playing->awaits)
            await(life);
        if (playing->asks)
            ask(life);
        exits_drop(&table, life->token);
    }
}

/* The judge ---------------------------------------------------------------------------------------------------------- */

static pid_t server_pid, user_pid;

static pid_t victim_pid(void)
{
    return victim == SERVER ? server_pid : victim == USER ? user_pid : stage->lives[0].pid;
}

static bool ended(pid_t pid)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid != 0;
}

static bool stopped(pid_t pid)
{
    char path[40], line[256] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return false;
    (void)!fgets(line, sizeof line, file);
    fclose(file);
    char *state = strrchr(line, ')');
    return state != NULL && state[2] == 'T';
}

/* The others get some time to go on without the victim. */
static void attend(void)
{
    UNTIL(stage->reached || (ended(user_pid) && ended(server_pid)));
    if (!stage->reached || mode == KILL)
        return;
    UNTIL(stopped(victim_pid()));
    usleep(1000 + chance(2) * 4000);
    stage->killed = mode == STOP_KILL;
    EXPECT_EQ(kill(victim_pid(), mode == STOP_KILL ? SIGKILL : SIGCONT), 0);
}

static void expect_end(pid_t pid, enum role role)
{
    int status;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    if (role == victim && stage->killed)
        EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    else
        EXPECT_EQ(status, 0);
}

static void let_go(void)
{
    for (int i = 0; i < LIFE_COUNT; i++)
        stage->lives[i].quit = 1;
}

static void everybody_ends(void)
{
    attend();
    expect_end(user_pid, USER);
    let_go(); /* of those that the user never came to */
    expect_end(server_pid, SERVER);
    while (waitpid(-1, NULL, 0) > 0) /* the children of a server that was killed */
        ;
}

/* What the user has heard of a life. */
static void expect_truth(const struct life *life)
{
    bool killed = victim == CHILD && stage->killed && life == stage->lives;
    int shall = killed ? -SIGKILL : code_of(life);
    switch (life->known) {
    case EXITS_CERTAIN:
        EXPECT_EQ(life->code, shall);
        break;
    case EXITS_UNCERTAIN:
        EXPECT(victim == SERVER && stage->killed && playing->says);
        EXPECT_EQ(life->code, code_of(life));
        break;
    default:
        EXPECT_EQ(life->known, EXITS_UNKNOWN);
        EXPECT(victim == SERVER && stage->killed && !playing->says);
    }
}

/* A process that has the table anew can take all of it but what the dead have lost; and nobody else has what it takes. */
static void expect_slots(int fd)
{
    struct exits_table fresh;
    EXPECT_EQ(exits_map(fd, &fresh), 0);
    uint32_t had = 0;
    for (int64_t token; (token = exits_take(&fresh)) > 0; had++) {
        for (int i = 0; i < LIFE_COUNT; i++)
            EXPECT(stage->lives[i].token != (uint64_t)token);
        EXPECT(exits_want(&fresh, (uint64_t)token));
        exits_reaped(&fresh, (uint64_t)token, 0);
    }
    EXPECT(had >= EXITS_SLOTS - (stage->killed && victim != CHILD));
    exits_unmap(&fresh);
}

static void judge(void)
{
    int fd = exits_create(&table);
    EXPECT(fd >= 0);
    server_pid = start(be_server);
    server_pidfd = child_open(server_pid);
    EXPECT(server_pidfd >= 0);
    user_pid = start(be_user);
    everybody_ends();
    for (int i = 0; i < LIFE_COUNT; i++)
        if (stage->lives[i].asked)
            expect_truth(&stage->lives[i]);
    EXPECT(stage->slowest < IN_TIME);
    expect_slots(fd);
    exits_unmap(&table);
    close(server_pidfd);
    close(fd);
}

/* True if the victim came to its n-th access. */
static bool play(const struct scene *scene, enum role role, enum mode m, int n)
{
    static const char *const roles[] = {"server", "child", "user"};
    static const char *const modes[] = {"killed", "stopped, killed", "stopped, let go"};
    static char text[120];
    snprintf(text, sizeof text, "%s: %s %s at access %d", scene->name, roles[role], modes[m], n);
    doing = text;
    memset(stage, 0, sizeof *stage);
    playing = scene;
    victim = role;
    mode = m;
    steps_given = n;
    judge();
    cases++;
    hits += stage->reached;
    return stage->reached;
}

/* Signals are served, whenever they come. */
static void backstop(void)
{
    int code, fd = exits_create(&table);
    EXPECT(fd >= 0);
    int64_t token = exits_take(&table), began = clock_now();
    EXPECT(exits_want(&table, (uint64_t)token));
    EXPECT_EQ(exits_wait(&table, (uint64_t)token, NEVER, -1, &code), -EINTR);
    EXPECT(clock_now() >= began + EXITS_LONGEST);
    EXPECT_EQ(exits_wait(&table, (uint64_t)token, began, -1, &code), EXITS_UNKNOWN);
    exits_unmap(&table);
    close(fd);
}

int main(void)
{
#ifdef __SANITIZE_THREAD__
    puts("ThreadSanitizer sees nothing between processes");
    return SKIP;
#endif
    begin(100);
    EXPECT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    stage = mmap(NULL, sizeof *stage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    EXPECT((void *)stage != MAP_FAILED);
    RUN(backstop);
    for (int round = times(1); round > 0; round--)
        for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++)
            for (int role = 0; role < ROLES; role++) {
                long before = hits;
                for (int m = 0; m < MODES; m++)
                    for (int n = 1; play(&scenes[i], (enum role)role, (enum mode)m, n); n++)
                        ;
                printf("%-20s role %d: %ld hits\n", scenes[i].name, role, hits - before);
                EXPECT(hits > before || !(role == CHILD ? scenes[i].says : scenes[i].wants));
            }
    printf("%ld cases, %ld hits\n", cases, hits);
    EXPECT_EQ(waitpid(-1, NULL, 0), -1);
    return GOOD;
}
