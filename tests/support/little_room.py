# SPDX-License-Identifier: MIT
"""Programs that start processes where there is little room: their texts, and how rights and memory are taken away."""

import os
import shutil

import pytest

UID = 61234  # an unused one

PROGRAM = """
import {mp} as mp, errno, multiprocessing.connection, os, resource, signal, sys, time
def exit_with(code):
    os._exit(code)
def start(ctx, target=time.sleep, *args):
    process = ctx.Process(target=target, args=args or (60,))
    process.start()
    return process
def run(ctx):
    process = start(ctx, exit_with, 3)
    process.join()
    code = process.exitcode
    process.close()
    return code
def fill(ctx, most):
    processes = []
    try:
        while len(processes) < most:
            processes.append(start(ctx))
    except OSError as e:
        return processes, e
    return processes, None
def end(processes):
    for process in processes:
        process.kill()
    for process in processes:
        process.join()
    codes = {process.exitcode for process in processes}
    for process in processes:
        process.close()
    return codes
def descriptors():
    return len(os.listdir("/proc/self/fd"))
def children():
    return {int(pid) for pid in open(f"/proc/self/task/{os.getpid()}/children").read().split()}
def tasks():
    mine = [f"/proc/{pid}/task" for pid in os.listdir("/proc") if pid.isdigit()]
    return sum(len(os.listdir(path)) for path in mine if os.path.exists(path) and os.stat(path).st_uid == os.getuid())
if __name__ == "__main__":
    ctx = mp.get_context({method})
    {main}
"""

FEW_DESCRIPTORS = """
assert run(ctx) == 3
servants = children()
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
processes, error = fill(ctx, 100)
print(errno.errorcode[error.errno], 10 < len(processes) < 62)
print(all(process.is_alive() for process in processes), end(processes))
assert run(ctx) == 3
print(children() - servants)
"""

FEW_PROCESSES = """
assert run(ctx) == 3
servants = children()
limit = tasks() + 6
resource.setrlimit(resource.RLIMIT_NPROC, (limit, limit))
processes, error = fill(ctx, 20)
print(type(error).__name__, errno.errorcode[error.errno])
print(1 < len(processes) < 10, all(process.is_alive() for process in processes), end(processes))
while tasks() > limit - 4:
    time.sleep(0.01)
assert run(ctx) == 3
print(children() - servants)
"""

# Of a context that has started nothing yet.
NO_PROCESSES = """
limits = resource.getrlimit(resource.RLIMIT_NPROC)
before = descriptors()
resource.setrlimit(resource.RLIMIT_NPROC, (tasks(), limits[1]))
processes, error = fill(ctx, 1)
print(type(error).__name__, errno.errorcode[error.errno])
del error
print(descriptors() == before)
resource.setrlimit(resource.RLIMIT_NPROC, limits)
servants = children()
assert not servants
print(run(ctx), children() - servants if {method} != "forkserver" else set())
"""

NO_MEMORY = """
flag = os.environ["MPFAST_TEST_NO_FORK"]
assert run(ctx) == 3
before, servants = descriptors(), children()
open(flag, "w").close()
processes, error = fill(ctx, 20)
print(type(error).__name__, errno.errorcode[error.errno], len(processes) < 10)
os.unlink(flag)
end(processes)
assert run(ctx) == 3
del error
print(descriptors() > before + 8, children() - servants)
"""

# Preloaded into the program: fork() that fails when it is told to.
SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
pid_t fork(void)
{
    const char *flag = getenv("MPFAST_TEST_NO_FORK");
    if (flag && access(flag, F_OK) == 0) {
        errno = ENOMEM;
        return -1;
    }
    return ((pid_t (*)(void))dlsym(RTLD_NEXT, "fork"))();
}
pid_t vfork(void)
{
    return fork();
}
"""


def few_rights():
    """A command that runs a program as another user that may read everything. Root has no limit of processes."""
    if os.getuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root, and no setpriv to become somebody else")
    capabilities = "-all,+dac_override"
    return [
        *("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups"),
        *(f"--inh-caps={capabilities}", f"--ambient-caps={capabilities}"),
    ]
