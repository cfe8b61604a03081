# SPDX-License-Identifier: MIT
"""The exit table: how a fork server's children ended, told to the process whose server it is."""

import errno
import os
import random
import select
import signal
import struct
import threading
import time

import pytest
import watch
from harness import PATIENCE, until, wait_asleep

from mpfast.launch.forkserver.exit_table import Table

SLOTS = 65536


@pytest.fixture
def table():
    return Table()


def wanted(table):
    token = table.take()
    assert table.want(token)
    return token


def readable(fd):
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(PATIENCE * 1000))


# One process --------------------------------------------------------------------------------------------------------


def test_a_life(table):
    token = table.take()
    assert token > 0
    assert table.pid(token) == 0
    table.born(token, 4711)
    assert table.want(token)
    assert table.pid(token) == 4711
    assert table.result(token, 0) is None
    table.said(token, 7)
    assert table.result(token, 0) is None
    table.reaped(token, -9)
    assert table.result(token, 0) == table.result(token, PATIENCE) == (-9, True)
    table.drop(token)
    assert table.result(token, PATIENCE) is None
    assert table.pid(token) == 0


def test_all_exit_codes(table):
    for code in range(-64, 256):
        token = wanted(table)
        table.reaped(token, code)
        assert table.result(token, 0) == (code, True)


def test_who_is_not_wanted_is_forgotten(table):
    token = table.take()
    assert table.result(token, PATIENCE) is None
    table.reaped(token, 0)
    assert not table.want(token)
    assert table.result(token, PATIENCE) is None


def test_who_is_dropped_is_forgotten_when_it_is_reaped(table):
    token = wanted(table)
    table.drop(token)
    table.said(token, 3)
    table.drop(token)
    assert table.want(token)  # it lives
    table.drop(token)
    table.reaped(token, 3)
    assert not table.want(token)


def test_a_full_table(table):
    tokens = [table.take() for _ in range(SLOTS)]
    assert len(set(tokens)) == SLOTS
    with pytest.raises(OSError, match="^.Errno 28. all 65536 slots of the exit table are in use$") as e:
        table.take()
    assert e.value.errno == errno.ENOSPC
    for token in random.sample(tokens, 10):
        table.reaped(token, 0)
        again = table.take()
        assert again != token
        assert again % SLOTS == token % SLOTS
        with pytest.raises(OSError, match="in use"):
            table.take()


def test_what_comes_late_changes_nothing(table):
    old = wanted(table)
    table.reaped(old, 1)
    table.drop(old)
    tokens = [table.take() for _ in range(SLOTS)]
    (token,) = (t for t in tokens if t % SLOTS == old % SLOTS)
    table.born(token, 5)
    table.want(token)
    table.born(old, 6)
    table.said(old, 6)
    table.reaped(old, 6)
    table.drop(old)
    assert not table.want(old)
    assert table.result(token, 0) is None
    assert table.pid(token) == 5
    table.reaped(token, 2)
    table.drop(old)
    assert table.result(token, 0) == (2, True)


@pytest.mark.parametrize("timeout", [0, -1, 1e-9, 0.02, float("nan")])
def test_a_timeout(table, timeout):
    token = wanted(table)
    table.said(token, 0)
    began = time.monotonic()
    assert table.result(token, timeout) is None
    passed = time.monotonic() - began
    assert passed < PATIENCE
    assert not passed < timeout


def test_arguments(table):
    token = wanted(table)
    for code in (-65, 256, 1 << 30):
        with pytest.raises(ValueError, match=f"^exit code {code} is not in -64..255$"):
            table.reaped(token, code)
    for pid in (0, -1, 1 << 22):
        with pytest.raises(ValueError, match=f"^pid {pid} is no process's$"):
            table.born(token, pid)
    for bad in (-1, 1 << 64):
        with pytest.raises(OverflowError):
            table.result(bad, 0)
    for bad in ("1", None):
        with pytest.raises(TypeError):
            table.want(bad)
    for nobody in (0, token + SLOTS, (1 << 64) - 1):
        assert not table.want(nobody)
        table.reaped(nobody, 0)
    assert table.result(token, 0) is None


def test_what_a_child_says_is_what_the_kernel_keeps_of_it(table):
    """os._exit(300) is 44."""
    ours, theirs = os.pipe()
    os.write(theirs, b"x")
    for said in (300, -1, 44):
        token = wanted(table)
        table.said(token, said)
        assert table.result(token, 0, ours) == (said & 255, False)
    os.close(ours)
    os.close(theirs)


# Descriptors --------------------------------------------------------------------------------------------------------


def test_a_second_mapping(table):
    fd = table.fileno()
    other = Table(fd)
    assert table.fileno() == fd
    assert not os.get_inheritable(fd)
    with pytest.raises(ValueError, match="no descriptor of its own"):
        other.fileno()
    token = wanted(other)
    table.reaped(token, 3)
    del other
    os.fstat(fd)
    assert table.result(token, 0) == (3, True)


def test_what_is_no_table():
    ours, theirs = os.pipe()
    unsealed = os.memfd_create("unsealed", os.MFD_ALLOW_SEALING)
    os.ftruncate(unsealed, 8 * SLOTS)
    for fd, error in [(-1, errno.EBADF), (ours, errno.EBADMSG), (unsealed, errno.EPERM)]:
        with pytest.raises(OSError, match="table|descriptor") as e:
            Table(fd)
        assert e.value.errno == error
    for bad in ("0", b"", ()):
        with pytest.raises(TypeError):
            Table(bad)
    for fd in (ours, theirs, unsealed):
        os.close(fd)


def test_no_descriptors(table):
    """EMFILE: nothing is made, and nothing left."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            Table()
        other = Table(table.fileno())  # needs none
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    table.reaped(wanted(other), 0)


def test_tables_leave_nothing(table):
    descriptors, memory = watch.descriptors(), watch.memory_files()
    for _ in range(50):
        one = Table()
        two = Table(one.fileno())
        table.reaped(two.take(), 0)
        del one
        two.take()  # a mapping outlives the descriptor
        del two
    assert watch.descriptors() == descriptors
    assert watch.memory_files() == memory


# Waiting ------------------------------------------------------------------------------------------------------------


class Asker(threading.Thread):
    """Asks for a result, as patiently as a test can."""

    def __init__(self, *args):
        super().__init__(daemon=True)
        self.args, self.result = args, "none yet"
        self.start()

    def run(self):
        table, token, *other = self.args
        self.result = table.result(token, PATIENCE, *other)

    def end(self):
        self.join(PATIENCE)
        assert not self.is_alive()
        return self.result


def test_all_who_wait_are_woken(table):
    token = wanted(table)
    askers = [Asker(table, token) for _ in range(3)]
    for asker in askers:
        wait_asleep(os.getpid(), asker.native_id)
    table.said(token, 1)
    began = time.monotonic()
    table.reaped(token, 2)
    assert [asker.end() for asker in askers] == [(2, True)] * 3
    assert time.monotonic() - began < PATIENCE / 2


def test_who_waits_for_what_another_thread_drops(table):
    token = wanted(table)
    asker = Asker(table, token)
    wait_asleep(os.getpid(), asker.native_id)
    began = time.monotonic()
    table.drop(token)
    assert asker.end() is None
    assert time.monotonic() - began < PATIENCE / 2


class Stop(Exception):
    pass


def interrupt(asleep, then=None):
    """A thread that sends SIGUSR1 to the main thread, which `asleep` is to be found asleep."""

    def work():
        wait_asleep(os.getpid(), asleep)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
        if then is not None:
            then()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


@pytest.fixture
def on_signal():
    """on_signal(function): what SIGUSR1 does."""
    old = signal.getsignal(signal.SIGUSR1)
    yield lambda function: signal.signal(signal.SIGUSR1, lambda *_: function())
    signal.signal(signal.SIGUSR1, old)


def test_a_signal_handler_that_raises(table, on_signal):
    def stop():
        raise Stop

    on_signal(stop)
    token = wanted(table)
    thread = interrupt(threading.get_native_id())
    began = time.monotonic()
    with pytest.raises(Stop):
        table.result(token, PATIENCE)
    assert time.monotonic() - began < PATIENCE / 2
    thread.join(PATIENCE)
    table.reaped(token, 4)
    assert table.result(token, 0) == (4, True)


def test_a_signal_handler_that_does_not(table, on_signal):
    token = wanted(table)
    seen = threading.Event()
    on_signal(seen.set)
    thread = interrupt(threading.get_native_id(), lambda: seen.wait(PATIENCE) and table.reaped(token, 5))
    assert table.result(token, PATIENCE) == (5, True)
    assert seen.is_set()
    thread.join(PATIENCE)


# Processes ----------------------------------------------------------------------------------------------------------


def tell(fd, *numbers):
    os.write(fd, struct.pack(f"={len(numbers)}q", *numbers))


def hear(fd, count=1):
    data = b""
    while len(data) < 8 * count:
        assert readable(fd), "nothing was heard"
        more = os.read(fd, 8 * count - len(data))
        assert more, "the server has ended"
        data += more
    return struct.unpack(f"={count}q", data)


class Server:
    """A process that forks children and reaps them one after the other. A child waits for a number: at least 0, it says
    and ends with that; less, it says 0 and is killed by the signal."""

    def __init__(self, table, children, tells=True):
        self.ends = [os.pipe() for _ in range(children)]
        self.ours, theirs = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self.ours)
                self.serve(Table(table.fileno()), theirs, tells)
            finally:
                os._exit(0)
        os.close(theirs)
        self.pidfd = os.pidfd_open(self.pid)

    def serve(self, table, theirs, tells):
        tokens = {}
        for ours, _ in self.ends:
            token = table.take()
            pid = os.fork()
            if pid == 0:
                self.be_child(table, token, ours)
            table.born(token, pid)
            tokens[pid] = token
            tell(theirs, token, pid)
        for _, end in self.ends:
            os.close(end)
        while tokens:
            status = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
            code = status.si_status if status.si_code == os.CLD_EXITED else -status.si_status
            if tells:
                table.reaped(tokens[status.si_pid], code)
            os.waitpid(status.si_pid, 0)
            del tokens[status.si_pid]

    def be_child(self, table, token, ours):
        try:
            for _, end in self.ends:
                os.close(end)
            data = os.read(ours, 8)
            if data:
                (code,) = struct.unpack("=q", data)
                table.said(token, max(code, 0))
                if code < 0:
                    os.kill(os.getpid(), -code)
                os._exit(code)
        finally:
            os._exit(0)

    def end(self, kill=False):
        for ends in self.ends:
            os.close(ends[0])
            os.close(ends[1])
        self.ends = []
        if self.pid != 0:
            if kill:
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            assert readable(self.pidfd)
            assert os.waitpid(self.pid, 0)[1] == (signal.SIGKILL if kill else 0)
            self.pid = 0

    def dispose(self):
        if self.pid != 0:
            self.end(kill=True)
        os.close(self.ours)
        os.close(self.pidfd)


@pytest.fixture
def serve(table):
    """serve(number of children): a Server, and (token, pid) of each of its children."""
    servers = []

    def start(*args, **options):
        server = Server(table, *args, **options)
        servers.append(server)
        return server, [hear(server.ours, 2) for _ in server.ends]

    yield start
    for server in servers:
        server.dispose()


def test_children_of_another_process(table, serve):
    codes = [0, 1, 255, -signal.SIGTERM, -signal.SIGKILL, -signal.SIGRTMAX, 7, 64]
    server, children = serve(len(codes))
    for (token, pid), (_, end), code in zip(children, server.ends, codes, strict=True):
        assert table.want(token)
        until(lambda token=token: table.pid(token), "the server says who it is")
        assert table.pid(token) == pid
        tell(end, code)
        assert table.result(token, PATIENCE, server.pidfd) == (code, True)
        table.drop(token)
        table.drop(token)
    server.end()


def test_children_that_end_at_once(table, serve):
    deadly = [-signal.SIGTERM, -signal.SIGKILL, -signal.SIGUSR2, -signal.SIGRTMIN]
    codes = [random.choice([*range(256), *10 * deadly]) for _ in range(100)]
    server, children = serve(len(codes))
    assert all(table.want(token) for token, _ in children)
    for (_, end), code in zip(server.ends, codes, strict=True):
        tell(end, code)
    for (token, _), code in zip(children, codes, strict=True):
        assert table.result(token, PATIENCE, server.pidfd) == (code, True)
    server.end()


def test_children_that_nobody_wanted(table, serve):
    server, children = serve(3)
    server.end()
    assert not any(table.want(token) for token, _ in children)


def test_a_server_that_ended_after_it_had_told(table, serve):
    server, [(token, _)] = serve(1)
    assert table.want(token)
    tell(server.ends[0][1], 9)
    server.end()
    assert table.result(token, PATIENCE, server.pidfd) == (9, True)


@pytest.mark.parametrize("code", [9, -signal.SIGKILL])
def test_a_server_that_is_killed_before_it_tells(table, serve, code):
    """What the child said must do, and may be wrong."""
    server, [(token, pid), (silent, _)] = serve(2, tells=False)
    assert table.want(token)
    assert table.want(silent)
    signal.pidfd_send_signal(server.pidfd, signal.SIGSTOP)
    pidfd = os.pidfd_open(pid)
    tell(server.ends[0][1], code)
    assert readable(pidfd)
    os.close(pidfd)
    askers = [Asker(table, token, server.pidfd), Asker(table, silent, server.pidfd)]
    for asker in askers:
        wait_asleep(os.getpid(), asker.native_id)
    assert table.result(token, 0.01, server.pidfd) is None
    began = time.monotonic()
    server.end(kill=True)
    assert [asker.end() for asker in askers] == [(max(code, 0), False), None]
    assert time.monotonic() - began < PATIENCE / 2
    assert table.result(token, 0, server.pidfd) == (max(code, 0), False)


def test_a_forked_process_drops_nothing_of_its_parent(table):
    token = wanted(table)
    table.reaped(token, 6)
    pid = os.fork()
    if pid == 0:
        table.drop(token)
        os._exit(table.result(token, 0) != (6, True))
    assert os.waitpid(pid, 0)[1] == 0
    assert table.result(token, 0) == (6, True)
