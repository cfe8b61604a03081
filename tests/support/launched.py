# SPDX-License-Identifier: MIT
"""What processes do when launching is tested. Targets, subclasses, and looks at themselves from inside."""

import atexit
import multiprocessing.process
import multiprocessing.util
import os
import signal
import sys
import threading


def wait_for(event):
    event.wait(60)


def describe():
    """What a child knows of itself and of its parent."""
    me, parent = multiprocessing.current_process(), multiprocessing.parent_process()
    return {
        "pid": (os.getpid(), me.pid, me.ident),
        "name": me.name,
        "identity": me._identity,
        "repr": repr(me),
        "authkey": bytes(me.authkey),
        "daemon": me.daemon,
        "alive": me.is_alive(),
        "children": multiprocessing.active_children(),
        "parent": (parent.name, parent.pid, parent.ident, parent.is_alive(), repr(parent)),
        "thread": (threading.current_thread() is threading.main_thread(), threading.main_thread().native_id),
    }


def sees(link, function, *args):
    """Sends what the function returns, and ends."""
    link.send(function(*args))
    link.close()


def forbidden():
    """What a child may not do with itself: the texts of the errors."""
    me = multiprocessing.current_process()
    return [raised(call) for call in (me.start, me.join, me.terminate, lambda: me.sentinel, lambda: me.exitcode)]


def raised(call):
    try:
        return repr(call())
    except Exception as e:
        return f"{type(e).__name__}: {e}"


def join_sibling(process):
    """What a process may not do with one that another has started."""
    calls = (process.join, process.is_alive, process.start)
    return [raised(call) for call in calls], repr(process).rpartition(" ")[2]


def start_child_of(ctx, daemon=None):
    """Starts a child from inside: its name, identity and exit code, or the error."""
    try:
        process = ctx.Process(target=int, daemon=daemon)
        inherited = process.daemon
        process.start()
    except AssertionError as e:
        return str(e)
    process.join()
    return process.name, process._identity, process.exitcode, inherited


def quietly(function, *args):
    """Without the traceback on standard error."""
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    function(*args)


def exit_with(code):
    sys.exit(code)


def throw(kind):
    raise kind("on purpose")


def ignore(signum, ready):
    signal.signal(signum, signal.SIG_IGN)
    ready.set()
    signal.pause()


def nap(ready):
    """Lives until a signal ends it, with the signal's default action."""
    ready.set()
    signal.pause()


def have_child_watch(ctx, link):
    """Starts a child that waits for its parent's end, and lives until it is killed."""
    ctx.Process(target=watch_parent, args=(link,)).start()
    link.close()
    signal.pause()


def watch_parent(link):
    parent = multiprocessing.parent_process()
    alive = parent.is_alive()
    link.send((os.getpid(), parent.pid))
    parent.join(60)
    link.send((alive, parent.is_alive(), raised(parent.join)))


def in_thread(value, ready):
    """Ends with a thread still at work, which is waited for."""

    def work():
        threading.main_thread().join()
        value[0] += 1

    value[0] += 1
    threading.Thread(target=work).start()
    ready.set()


def finalize(value):
    """Leaves finalizers of several priorities: each notes its turn."""

    def note(place):
        value[place] = value[0] = value[0] + 1

    for place, priority in ((1, None), (2, 0), (3, 10), (4, -5), (5, 10)):
        multiprocessing.util.Finalize(None if priority is not None else note, note, (place,), exitpriority=priority)


class Adder:
    """Adds in run(), from what the constructor was given."""

    def __init__(self, summands, link, **options):
        super().__init__(**options)
        self.summands, self.link = summands, link

    def run(self):
        self.link.send((sum(self.summands), self.name, self.exitcode, type(self).__name__))
        self.link.close()


def adder_class(ctx):
    """A subclass of the context's Process that a spawned child can import."""
    name = f"{type(ctx).__module__.partition('.')[0]}_{ctx.get_start_method()}"
    return globals().setdefault(name, type(name, (Adder, ctx.Process), {"__module__": __name__}))


def __getattr__(name):
    """In a spawned child the classes of adder_class do not exist yet when it unpickles one of their objects."""
    package, _, method = name.partition("_")
    if package not in ("multiprocessing", "mpfast"):
        raise AttributeError(name)
    return adder_class(__import__(package).get_context(method))


class Unloadable:
    """Can be pickled. In the child it becomes an exception."""

    def __reduce__(self):
        return throw, (ValueError,)


class Ends:
    """Calls a function when it is unpickled."""

    def __init__(self, function):
        self.function = function

    def __reduce__(self):
        return self.function, ()


class Unpicklable:
    """Cannot be pickled. `kind` says the reason."""

    def __init__(self, kind):
        self.kind = kind

    def __reduce__(self):
        throw(self.kind)


class Watched(list):
    """A list that can be referred to weakly."""


def same(value):
    return value


def key_and_type(key):
    return bytes(key), type(key).__name__


def remember(path):
    """Registers what multiprocessing and Python run at a process's end. Each appends its name to the file."""

    def note(name):
        with open(path, "a") as file:
            file.write(f"{name}\n")

    atexit.register(note, "atexit")
    multiprocessing.util.Finalize(None, note, ("finalizer",), exitpriority=0)
    thread = threading.Thread(target=lambda: (threading.main_thread().join(), note("thread")))
    thread.start()


def read_one(reader):
    """Ends with the exit code that it reads. All the readers share a pipe, and each gets one byte of it."""
    os._exit(os.read(reader.fileno(), 1)[0])


def close_all(event, code):
    event.set()
    os.closerange(3, 1024)
    os._exit(code)


def close_all_and_sleep(event):
    event.set()
    os.closerange(3, 1024)
    signal.pause()


def leave_one_behind(writer):
    """A process of os.fork() that lives on and has what this one has open."""
    pid = os.fork()
    if pid == 0:
        writer.send_bytes(b"%d" % os.getpid())
        signal.pause()
        os._exit(0)


def tell_numbers(writers):
    for number, writer in enumerate(writers):
        writer.send(number)


def descend(ctx, generations):
    """Ends with the number of generations below and including this one."""
    if generations > 1:
        process = ctx.Process(target=descend, args=(ctx, generations - 1))
        process.start()
        process.join()
        sys.exit(process.exitcode + 1)
    sys.exit(1)
