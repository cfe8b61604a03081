# SPDX-License-Identifier: MIT
"""What must end in a clear error, never in a crash or a hang: full tables, damaged segments, lost descriptors, and
processes that were made behind everybody's back. Each is a program of its own, as it would ruin the tests' family.
"""

import platform
import re
import subprocess
import sys
import textwrap

import pytest

METHODS = ["fork", "forkserver", "spawn"]
TIMEOUT = 60

PREAMBLE = """
import ctypes, errno, faulthandler, gc, os, resource, signal, sys, time
import mpfast

faulthandler.register(signal.SIGALRM, chain=True)  # no thread: 3.12 warns of forks beside threads
signal.alarm(50)

def family_fd():
    for fd in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{fd}").startswith("/memfd:mpfast"):
                return int(fd)
        except FileNotFoundError:
            pass

def tell(function, *args):
    '''Prints what comes of a call.'''
    try:
        print("returned", function(*args), flush=True)
    except Exception as e:
        print(type(e).__name__, getattr(e, "errno", None) and errno.errorcode[e.errno], e, flush=True)

def in_child(function, *args):
    '''Runs it in a child of os.fork().'''
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            function(*args)
        finally:
            os._exit(0)
    status = os.waitpid(pid, 0)[1]
    if status:
        print("status", status, flush=True)
"""


@pytest.fixture
def program(tmp_path):
    def run(text, *args, stderr=""):
        """The lines that the program prints; `stderr` must be found in what it and its children complain about."""
        script = tmp_path / "program.py"
        script.write_text(PREAMBLE + textwrap.dedent(text))
        done = subprocess.run([sys.executable, script, *args], capture_output=True, text=True, timeout=TIMEOUT)
        assert done.returncode == 0, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        assert stderr in done.stderr, done.stderr
        assert stderr != "" or done.stderr == ""
        return done.stdout.splitlines()

    return run


CLONE = {"x86_64": 56, "aarch64": 220}.get(platform.machine())


@pytest.mark.skipif(CLONE is None, reason=f"the number of the system call clone on {platform.machine()}")
def test_a_child_that_was_made_behind_libcs_back(program):
    """It would use its parent's identity; all it gets are errors that say why. The parent does not notice."""
    lines = program(f"""
    lock, held, event, barrier = mpfast.Lock(), mpfast.RLock(), mpfast.Event(), mpfast.Barrier(2)
    condition, semaphore, bounded = mpfast.Condition(), mpfast.Semaphore(1), mpfast.BoundedSemaphore(1)
    held.acquire()
    sys.stdout.flush()
    pid = ctypes.CDLL(None).syscall({CLONE}, signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        for call in (lock.acquire, lock.release, lock.__enter__, held.acquire, held.release, event.is_set, event.set,
                     event.wait, barrier.wait, barrier.abort, condition.acquire, semaphore.acquire, semaphore.release,
                     bounded.acquire, mpfast.Lock, mpfast.Condition, lock.locked, lock.recover):
            tell(call)
        repr(lock), repr(held), repr(event.__class__), mpfast.locks()
        os._exit(0)
    print("status", os.waitpid(pid, 0)[1])
    print(lock.acquire(False), event.is_set(), held._semlock._count(), barrier.n_waiting, condition.acquire(False))
    """)
    assert lines[-2:] == ["status 0", "True False 1 0 True"]
    assert len(lines) == 20
    for line in lines[:-2]:
        assert line.startswith("RuntimeError None ")
        assert "fork" in line


def test_a_full_table_of_large_slots(program):
    lines = program("""
    things = []
    def fill():
        while True:
            things.append(mpfast.Condition(lock))
    lock = mpfast.Lock()
    tell(fill)
    print(len(things) > 60_000)
    tell(mpfast.BoundedSemaphore, 300)
    tell(mpfast.Lock)
    things.pop()
    tell(mpfast.Condition, lock)
    things.clear()
    print(all(mpfast.Condition(lock).acquire(False) and lock.release() is None for _ in range(1000)))
    """)
    assert lines[0].startswith("OSError ENOSPC ")
    assert "in use" in lines[0]
    assert lines[1] == "True"
    assert lines[2].startswith("OSError ENOSPC ")
    assert lines[3].startswith("returned <Lock")
    assert lines[4].startswith("returned <Condition")
    assert lines[5] == "True"


def test_a_full_table_of_small_slots(program):
    lines = program("""
    things = []
    def fill():
        make, keep = mpfast.Lock, things.append
        while True:
            keep(make())
    gc.disable()
    tell(fill)
    print(len(things) > 1_000_000)
    tell(mpfast.Event)
    del things[::2]
    tell(mpfast.Event)
    print(all(thing.acquire(False) for thing in things[:1000]))
    """)
    assert lines[0].startswith("OSError ENOSPC ")
    assert lines[1] == "True"
    assert lines[2].startswith("OSError ENOSPC ")
    assert lines[3].startswith("returned <Event")
    assert lines[4] == "True"


def test_a_full_table_of_participants(program):
    """A child of a fork that finds no place in the table is told so when it uses a lock; fork() itself cannot fail.
    The table is filled by forging entries, see layout.h and participant.h of core/family. stress/ does it with
    processes.
    """
    lines = program("""
    TOP, TABLE, SIZE, COUNT = 40, 4096, 128, 4096
    LIVE_BY_PID = 2 | 1 << 22 | os.getpid() << 32
    lock, fd = mpfast.Lock(), family_fd()
    free = [i for i in range(1, COUNT) if os.pread(fd, 8, TABLE + i * SIZE) == bytes(8)]
    def write_entries(state):
        for i in free:
            os.pwrite(fd, state.to_bytes(8, "little"), TABLE + i * SIZE)
    write_entries(LIVE_BY_PID)
    os.pwrite(fd, COUNT.to_bytes(4, "little"), TOP)
    in_child(tell, lock.acquire)
    in_child(tell, mpfast.Lock)
    tell(mpfast.get_context("spawn").Process(target=print, args=(lock,)).start)
    tell(lock.acquire)
    lock.release()
    write_entries(0)
    in_child(tell, lock.acquire)
    """)
    for line in lines[:2]:
        assert line.startswith("RuntimeError None ")
        assert "participant table was full" in line
    assert " EAGAIN " in lines[2]
    assert "participant table is full" in lines[2]
    assert lines[3:] == ["returned True"] * 2


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
@pytest.mark.parametrize(
    ("offset", "text"),
    [(0, "damaged"), (8, "another version"), (12, "another version"), (32, "damaged"), (40, "damaged")],
    ids=["magic", "abi", "layout", "size", "participants"],
)
def test_a_damaged_header(program, method, offset, text):
    """A child that is to join checks what it is given, and goes no further."""
    program(
        f"""
    if __name__ == "__main__":
        ctx = mpfast.get_context({method!r})
        lock = ctx.Lock()
        os.pwrite(family_fd(), b"\\xff\\xff\\xff\\x7f", {offset})
        process = ctx.Process(target=print, args=(lock,))
        try:
            process.start()
        except OSError as e:
            print(e, file=sys.stderr)
        else:
            process.join()
            assert process.exitcode == 1, process.exitcode
        os._exit(0)
    """,
        stderr=text,
    )


def test_a_descriptor_that_is_no_family(program):
    """The handed-over descriptor is replaced on the way."""
    program(
        """
    if __name__ == "__main__":
        ctx = mpfast.get_context("spawn")
        lock = ctx.Lock()
        from multiprocessing import reduction
        real = reduction.DupFd
        def other(fd):
            return real(os.memfd_create("something else"))
        reduction.DupFd = other
        process = ctx.Process(target=print, args=(lock,))
        process.start()
        process.join()
        assert process.exitcode == 1
        os._exit(0)
    """,
        stderr="not a family segment",
    )


def test_a_descriptor_that_the_program_closed(program):
    """As daemons close all of theirs. The mapping stays, so do locks; children of a fork too, whose pids tell of death.
    Only a new interpreter cannot be given the family any more."""
    lines = program("""
    if __name__ == "__main__":
        lock, event = mpfast.Lock(), mpfast.Event()
        os.close(family_fd())
        with lock:
            print("works")
        tell(mpfast.Lock)
        in_child(tell, lock.acquire, False)
        tell(lock.acquire)            # the child was killed inside, as os._exit says nothing
        tell(lock.recover)
        lock.release()
        process = mpfast.get_context("fork").Process(target=event.wait)
        process.start()
        event.set()
        process.join()
        print(process.exitcode)
        tell(mpfast.get_context("spawn").Process(target=print, args=(lock,)).start)
        tell(lock.acquire)
    """)
    assert lines[:3] == ["works", "returned <Lock(owner=None)>", "returned True"]
    assert lines[3].startswith("LockOwnerDied EOWNERDEAD ")
    assert lines[4:6] == ["returned True", "0"]
    assert lines[6].startswith("OSError EBADF ")
    assert "descriptor" in lines[6]
    assert lines[7] == "returned True"


def test_a_descriptor_number_that_means_another_file(program, tmp_path):
    """The program closed our descriptor and has got its number for a file of its own: that one is left alone."""
    lines = program(
        """
    lock = mpfast.Lock()
    fd = family_fd()
    os.close(fd)
    own = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
    os.dup2(own, fd)
    def child():
        print(lock.acquire(False), os.fstat(fd).st_ino == os.fstat(own).st_ino, flush=True)
        lock.release()
    in_child(child)
    print(os.fstat(fd).st_ino == os.fstat(own).st_ino, lock.acquire(False))
    """,
        str(tmp_path / "own"),
    )
    assert lines == ["True True", "True True"]


@pytest.mark.parametrize("when", ["first", "later"])
def test_no_descriptors_left(program, when):
    lines = program(
        f"""
    when = {when!r}
    def use():
        tell(lock.acquire)
        lock.release()
    if when == "later":
        lock = mpfast.Lock()
    fds = []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    try:
        while True:
            fds.append(os.dup(0))
    except OSError:
        pass
    if when == "first":
        tell(mpfast.Lock)
    else:
        tell(mpfast.Lock)
        in_child(use)
        use()
    for fd in fds:
        os.close(fd)
    if when == "first":
        lock = mpfast.Lock()
    in_child(tell, lock.acquire)
    """
    )
    if when == "first":
        assert lines[0].startswith("OSError EMFILE ")
        assert lines[1:] == ["returned True"]
    else:
        assert lines[0] == "returned <Lock(owner=None)>"
        assert lines[1:] == ["returned True"] * 3


@pytest.mark.not_asan
def test_no_memory_left(program):
    """The address space is limited: the family cannot be mapped."""
    lines = program("""
    import mpfast.synchronize
    resource.setrlimit(resource.RLIMIT_AS, (400 << 20, resource.RLIM_INFINITY))
    tell(mpfast.Lock)
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    tell(mpfast.Lock)
    """)
    assert lines[0].startswith("MemoryError ")
    assert "ulimit -v" in lines[0]
    assert lines[1].startswith("returned <Lock")


QUEUE_DAMAGE = """
def word_at(fd, value):
    '''Where the file has these bytes.'''
    at = 0
    while True:
        at = os.lseek(fd, at, os.SEEK_DATA)
        hole = os.lseek(fd, at, os.SEEK_HOLE)
        if (found := os.pread(fd, hole - at, at).find(value)) >= 0:
            return at + found
        at = hole

def cell(number):
    '''The cell of an int in the first page of a queue: see mpfast/core/queue/layout.h.'''
    return (1 << 36 | number + 2**31 << 2 | 2).to_bytes(8, "little")

def overwrite(at, number):
    os.pwrite(family_fd(), number.to_bytes(8, "little"), at)

q, other = mpfast.Queue(), mpfast.Queue()
fd = family_fd()
"""
DAMAGED = "its shared memory is damaged"


@pytest.mark.parametrize(
    ("damage", "raised"),
    [
        ("overwrite(word_at(fd, cell(77777)), 99 << 36 | 2)", DAMAGED),  # of another page
        ("overwrite(word_at(fd, cell(77777)), 1 << 36 | 31 << 31 | 1)", DAMAGED),  # of no block
        ("overwrite(word_at(fd, cell(77777)), 1 << 2)", DAMAGED),  # not filled
        ("overwrite(word_at(fd, b'payload!') - 8, 1 << 50)", DAMAGED),  # longer than its block
        ("overwrite(word_at(fd, b'payload!') - 8, 77 << 56 | 8)", "a message of unknown kind 77 and 8 bytes"),
    ],
)
def test_a_damaged_queue(program, damage, raised):
    """The error names the queue, in each process that has it. Of a message that is damaged itself, others go on."""
    text = f"""
q.put_many([1, 77777, b"payload!"])
print([q.get() for _ in range(1 + ("payload" in {damage!r}))])
{damage}
tell(q.get, True, 20)
in_child(tell, q.put, 1)
tell(q.get, True, 20)
other.put("unharmed")
print(other.get())
"""
    told = program(QUEUE_DAMAGE + text)[1:]
    name = re.search(r"Queue-\d+", told[0])[0]
    error = f"CorruptedQueueError EBADMSG [Errno 74] cannot %s {name}: %s"
    assert told[0] == error % ("get from", raised)
    if raised == DAMAGED:
        assert told[1:] == [error % ("put into", DAMAGED), error % ("get from", DAMAGED), "unharmed"]
    else:
        assert told[1:] == ["returned None", "returned 1", "unharmed"]
