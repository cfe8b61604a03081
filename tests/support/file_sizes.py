# SPDX-License-Identifier: MIT
"""Programs that work under a limit on the size of files: their texts."""

import programs

PROGRAM = """
import {mp} as mp, os, resource, signal, sys
def limit(size, hard=True):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size if hard else resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
def work(queue, lock, argument):
    with lock:
        queue.put(argument)
def limited(queue, lock, argument, size):
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    limit(size)
    with lock:
        queue.put(argument)
def send(end, argument):
    end.send(argument)
def run(ctx, *objects, target=work):
    process = ctx.Process(target=target, args=objects)
    process.start()
    return process
def all_of(ctx, queue, lock):
    for argument in [b"x" * size for size in {messages}]:
        process = run(ctx, queue, lock, argument)
        assert queue.get(timeout=30) == argument
        process.join()
        assert process.exitcode == 0
    with ctx.Pool(2) as pool:
        print(pool.map(abs, [-1, -2]))
if __name__ == "__main__":
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    ctx = mp.get_context({method})
    {main}
"""
ALL = "all_of(ctx, ctx.Queue(), ctx.Lock())"
# Of each kind, and what multiprocessing has behind it.
KINDS = """
condition, event, semaphore, bounded = ctx.Condition(), ctx.Event(), ctx.Semaphore(2), ctx.BoundedSemaphore(2)
with condition, semaphore, bounded:
    event.set()
joinable = ctx.JoinableQueue(3)
joinable.put(1), joinable.get(), joinable.task_done(), joinable.join()
print(type(ctx.Barrier(1)).__name__, ctx.Barrier(1).wait(), ctx.Condition(ctx.Lock()), event.is_set())
"""
LATER = """
queue, lock = ctx.Queue(), ctx.Lock()
limit({size})
all_of(ctx, queue, lock)
"""
WORKER = """
queue, lock = ctx.Queue(), ctx.Lock()
for argument in (b"x", b"x" * 3000000):
    process = run(ctx, queue, lock, argument, {size}, target=limited)
    print(len(queue.get(timeout=30)), process.join(), process.exitcode)
"""
NOTHING = """
for make in (ctx.Lock, ctx.Queue, ctx.Event):
    try:
        make()
    except OSError as error:
        print(error.strerror)
"""
PIPES = """
reader, writer = ctx.Pipe()
for size in {messages}:
    argument = b"x" * size
    process = run(ctx, writer, argument, target=send)
    print(len(reader.recv()), process.join(), process.exitcode)
"""
MESSAGES = [1, 9000, 3_000_000]  # a pipe, a memory file, and more than a socket holds
UNIT = 512  # bytes, of the shell's `ulimit -f`
SIZES = [1 << 10, 1 << 20, 1 << 30]


def program(path, mp, method, main, size=None, options="", **environment):
    """Runs one, and returns the lines that it prints. options: those of a shell's ulimit that sets the limit before."""
    text = PROGRAM.replace("{main}", main.strip().replace("\n", "\n    ")).replace("{size}", str(size))
    programs.write(path, text, mp=mp, method=repr(method), messages=MESSAGES)
    before = [] if not options else ["sh", "-c", f'ulimit {options} {size // UNIT} && exec "$@"', "sh"]
    return programs.run(path, before=before, **environment).lines()
