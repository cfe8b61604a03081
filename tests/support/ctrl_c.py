# SPDX-License-Identifier: MIT
"""A program that is interrupted in each of its start() calls: python ctrl_c.py PACKAGE METHOD ROUNDS one|group

Each round starts a process while another program sends SIGINT, some moment later. Whatever comes of start(), there must
be a child if and only if the process object has its pid, and KeyboardInterrupt must be raised once. Prints what it saw
as JSON.
"""

import contextlib
import importlib
import json
import multiprocessing
import os
import random
import signal
import statistics
import struct
import subprocess
import sys
import time

import programs

SENDER = """
import os, struct, sys, time
to, kill = int(sys.argv[1]), {"one": os.kill, "group": os.killpg}[sys.argv[2]]
os.setpgid(0, 0)
os.write(1, b"r")
while message := os.read(0, 8):
    time.sleep(struct.unpack("d", message)[0])
    kill(to, 2)
"""


def child(writer):
    os.write(writer.fileno(), struct.pack("i", os.getpid()))


def pids_read(fd):
    """The processes that have told that they live."""
    found = set()
    with contextlib.suppress(BlockingIOError):
        while message := os.read(fd, 4):
            found.add(struct.unpack("i", message)[0])
    return found


def look():
    """How many descriptors and processes there are."""
    multiprocessing.active_children()  # reaps
    return len(os.listdir("/proc/self/fd")), len(programs.session(os.getsid(0)))


def spin(end):
    """A function, because CPython 3.13 leaves the jump at the end of a loop out of the `try` around it."""
    while time.perf_counter() < end:
        pass


class Storm:
    def __init__(self, ctx, sender, longest):
        self.ctx, self.sender, self.longest = ctx, sender, longest
        self.reader, self.writer = ctx.Pipe(duplex=False)
        os.set_blocking(self.reader.fileno(), False)
        self.seen = dict.fromkeys(("during start()", "after start()", "no child", "child", "ended by SIGINT"), 0)
        self.problems = []

    def round(self):
        process = self.ctx.Process(target=child, args=(self.writer,))
        me, returned, began = os.getpid(), False, time.perf_counter()
        pause = random.uniform(0, 2e-4)  # the sender needs some time to wake up
        try:
            self.sender.stdin.write(struct.pack("d", random.uniform(0, self.longest)))
            spin(began + pause)
            process.start()
            returned = True
            time.sleep(5)
            self.problems.append("KeyboardInterrupt was not raised")
        except KeyboardInterrupt:
            if os.getpid() != me:
                os._exit(99)  # a child that got out of start()
            self.seen["after start()" if returned else "during start()"] += 1
        self.check(process, returned)

    def check(self, process, returned):
        """With no more signals under way."""
        pid = process.pid
        if pid is None:
            self.seen["no child"] += 1
            if returned:
                self.problems.append("start() returned, and there is no pid")
            return
        self.seen["child"] += 1
        process.join(30)
        told = pids_read(self.reader.fileno())
        if process.exitcode != 0 or told != {pid}:
            self.problems.append(f"child {pid} ended with {process.exitcode}, those that told are {told}")
        process.close()

    def check_in_group(self, process, returned):
        """The child gets the signal as well: it may end of it, but not hang."""
        if process.pid is not None:
            self.seen["child"] += 1
            process.join(30)
            if process.exitcode is None:
                self.problems.append("a child hangs")
                process.kill()
                process.join()
            self.seen["ended by SIGINT"] += process.exitcode != 0
            process.close()
        else:
            self.seen["no child"] += 1
        pids_read(self.reader.fileno())


def duration(ctx, writer):
    """How long start() takes, about."""
    found = []
    for _ in range(9):
        process = ctx.Process(target=child, args=(writer,))
        began = time.perf_counter()
        process.start()
        found.append(time.perf_counter() - began)
        process.join()
        process.close()
    return statistics.median(found)


def main(package, method, rounds, whom):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell may have left it ignored
    ctx = importlib.import_module(package).get_context(method)
    command = [sys.executable, "-S", "-c", SENDER, str(os.getpid()), whom]
    sender = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    sender.stdout.read(1)
    storm = Storm(ctx, sender, 0)
    storm.longest = duration(ctx, storm.writer)
    pids_read(storm.reader.fileno())
    if whom == "group":
        storm.check = storm.check_in_group
    before = look()
    for _ in range(rounds):
        storm.round()
    pids = pids_read(storm.reader.fileno())
    if pids:
        storm.problems.append(f"children {pids} without an object")
    after = look()
    sender.stdin.close()
    sender.wait()
    print(json.dumps({"seen": storm.seen, "problems": storm.problems[:10], "before": before, "after": after}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
