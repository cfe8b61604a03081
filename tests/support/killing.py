# SPDX-License-Identifier: MIT
"""A program with processes that are killed, its fork server among them: python killing.py SCENARIO METHOD [ROUNDS]

It kills only what it started: its children, the fork server's, and itself. Prints what came of it as JSON.
"""

import contextlib
import json
import multiprocessing
import os
import random
import signal
import sys
import time

from harness import PATIENCE, children_of, thread_state, until

import mpfast


def alive(pid):
    return thread_state(pid, pid) not in ("", "Z", "X")


def kill(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def kill_and_wait(pids):
    """Until they are dead: what is handed to one that is about to die is lost with it, as with any process."""
    for pid in pids:
        kill(pid)
    until(lambda: not any(map(alive, pids)), "they are dead")


def server():
    """The fork server: this process's child that is neither one of its processes nor the resource tracker."""
    own = {process.pid for process in multiprocessing.active_children()}
    for pid in children_of(os.getpid()) - own:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            if b"resource_tracker" not in file.read() and alive(pid):
                return pid
    return None


def spares():
    """The server's spares."""
    own = {process.pid for process in multiprocessing.active_children()}
    return {pid for pid in children_of(server()) - own if alive(pid)}


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def wait_and_exit(reader, code):
    """Ends with the code once a process writes a byte, or none can any more."""
    os.read(reader.fileno(), 1)
    sys.exit(code)


def sleep(link=None):
    if link is not None:
        link.send(os.getpid())
    time.sleep(600)


class Program:
    def __init__(self, method):
        self.ctx = mpfast.get_context(method)
        self.run(3)

    def start(self, target, *args, **options):
        process = self.ctx.Process(target=target, args=args, **options)
        process.start()
        return process

    def run(self, code):
        """The exit code of a process that is to end with this one."""
        process = self.start(sys.exit, code)
        process.join(PATIENCE)
        found = process.exitcode
        process.close()
        return found


# Scenarios: each returns what the test expects to read ---------------------------------------------------------------


def one_spare(program):
    """The next start() takes another one, and nothing is to be seen."""
    found = []
    for _ in range(5):
        victims = until(spares, "there is a spare")
        kill_and_wait([min(victims)])
        found += [program.run(4), program.run(5)]
    return found


def all_spares(program):
    found = []
    for _ in range(5):
        kill_and_wait(until(spares, "there is a spare"))
        found += [program.run(4), program.run(5)]
    return found


def stopped_spare(program):
    """A spare that does not run is given its process all the same, which begins when it runs again."""
    victims = until(spares, "there is a spare")
    for victim in victims:
        os.kill(victim, signal.SIGSTOP)
    processes = [program.start(sys.exit, 6) for _ in range(len(victims) + 1)]
    for victim in victims:
        os.kill(victim, signal.SIGCONT)
    for process in processes:
        process.join(PATIENCE)
    return [process.exitcode for process in processes].count(6) - len(processes)


def the_server(program):
    """What runs goes on, its end is seen with its exit code, and the next start() has a new server."""
    reader, writer = program.ctx.Pipe(duplex=False)
    process = program.start(wait_and_exit, reader, 7)
    victim = server()
    kill(victim)
    until(lambda: not alive(victim), "the server is dead")
    process.join(0.05)
    lives = process.is_alive(), process.exitcode
    code = program.run(8)
    fresh = server() not in (None, victim)
    writer.send_bytes(b"x")
    process.join(PATIENCE)
    return [*lives, code, fresh, process.exitcode]


def the_server_while_idle(program):
    found = []
    for _ in range(3):
        victim = server()
        kill(victim)
        until(lambda: not alive(victim), "the server is dead")  # noqa: B023
        found += [program.run(4), program.run(5)]
    return found


def the_server_in_a_burst(program):
    """Killed at some moment of 20 starts: whatever start() has returned from is a process, and it ends as it should."""
    found = set()
    for number in range(6):
        victim = server()
        pid = os.fork()
        if pid == 0:
            time.sleep(number * 0.002)
            kill(victim)
            os._exit(0)
        processes = [program.start(sys.exit, 9) for _ in range(20)]
        os.waitpid(pid, 0)
        for process in processes:
            process.join(PATIENCE)
            found.add(process.exitcode)
            process.close()
    return sorted(found, key=str)


def its_children(program):
    found = []
    for signum in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV):
        process = program.start(sleep)
        os.kill(process.pid, signum)  # wherever it is by now
        process.join(PATIENCE)
        found.append(process.exitcode)
        process.close()
    return found


def user(program):
    """It is killed itself. Its output names its children, first the daemon."""
    reader, writer = program.ctx.Pipe(duplex=False)
    told = []
    for daemon in (True, False):
        program.start(sleep, writer, daemon=daemon)
        told.append(reader.recv())
    print(json.dumps([*told, server()]), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def user_after_thread(program):
    """The daemon was started by a thread that has ended: that is no reason to die."""
    import threading

    reader, writer = program.ctx.Pipe(duplex=False)
    thread = threading.Thread(target=lambda: program.start(sleep, writer, daemon=True))
    thread.start()
    thread.join()
    pid = reader.recv()
    time.sleep(0.05)
    assert alive(pid), "the daemon died with the thread"
    print(json.dumps([pid, None, server()]), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def anybody(program, rounds):
    """A process is killed at any moment, again and again."""
    problems, kills = [], 0
    before = descriptors()
    for number in range(rounds):
        processes = [program.start(time.sleep, random.uniform(0, 0.004)) for _ in range(random.randrange(1, 4))]
        candidates = [process.pid for process in processes]
        if program.ctx.get_start_method() == "forkserver":
            candidates += [*spares(), server()]
        victim = random.choice(candidates)
        time.sleep(random.uniform(0, 0.004))
        if victim is not None and (victim == server() or victim in spares() or alive(victim)):
            kill_and_wait([victim])
            kills += 1
        for process in processes:
            process.join(PATIENCE)
            expected = (0, -9) if process.pid == victim else (0,)
            if process.exitcode not in expected:
                problems.append(f"round {number}: {process} where {victim} was killed")
            process.close()
        if (code := program.run(5)) != 5:
            problems.append(f"round {number}: the next process ended with {code}")
    if descriptors() > before + 16:
        problems.append(f"{descriptors() - before} descriptors more than before")
    return {"problems": problems[:10], "kills": kills}


def main(scenario, method, *rounds):
    program = Program(method)
    print(json.dumps(globals()[scenario](program, *map(int, rounds))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
