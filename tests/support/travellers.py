# SPDX-License-Identifier: MIT
"""What the processes of the tests about descriptors do."""

import ctypes
import os
import socket
import threading
from multiprocessing import resource_sharer

import deny
from harness import until

sharer = resource_sharer._resource_sharer


def identity(fd):
    s = os.fstat(fd)
    return s.st_dev, s.st_ino


def receive(carrier):
    """From a queue or a connection."""
    return (carrier.get if hasattr(carrier, "get") else carrier.recv)()


def give(carrier, thing):
    """Into a queue or a connection."""
    (carrier.put if hasattr(carrier, "put") else carrier.send)(thing)


def send_new(carrier, times=1):
    """Sends one end of so many pairs of sockets. Each has its number to say."""
    for number in range(times):
        one, other = socket.socketpair()
        with one, other:
            one.sendall(b"%d" % number)
            give_socket(carrier, other)


def give_socket(carrier, sock):
    """Returns when the socket is pickled and may be closed, which multiprocessing's queues do later."""
    key = sharer._key
    give(carrier, sock)
    until(lambda: sharer._key > key, "the socket is pickled")


def descriptors_at_rest():
    """How many descriptors this process has once nothing is under way, and once the thread has ended."""
    until(lambda: not sharer._cache, "all is received")
    until(lambda: not bell_threads(), "the thread has ended")
    return len(os.listdir("/proc/self/fd"))


def bell_threads():
    return [thread for thread in threading.enumerate() if thread.name == "mpfast-travel"]


def copies():
    """How many descriptors the resource sharer keeps."""
    return len(sharer._cache)


def fetch(carrier):
    """What the received socket has to say."""
    with receive(carrier) as received:
        return received.recv(10)


def fetch_handle(carrier):
    """Which file a received descriptor stands for, and whether a program that is executed has it."""
    fd = receive(carrier).detach()
    try:
        return identity(fd), os.get_inheritable(fd)
    finally:
        os.close(fd)


def fetch_and_close(carrier):
    receive(carrier).close()


def forward(source, target):
    """Passes on what was received as it came. Nothing is detached here."""
    give(target, receive(source))


def may_take_from(pid):
    """Does the kernel let this process take a descriptor of that one?"""
    libc, number = ctypes.CDLL(None), deny.number("pidfd_getfd")
    pidfd = os.pidfd_open(pid)
    try:
        taken = libc.syscall(number, pidfd, 2, 0)
        if taken >= 0:
            os.close(taken)
        return taken >= 0
    finally:
        os.close(pidfd)


def refuse(call):
    """From now on the kernel refuses this system call to this process."""
    deny.deny(call)


def no_visits():
    """From now on nothing is fetched from a resource sharer in this process."""

    def get_connection(ident):
        raise AssertionError("a visit to the resource sharer")

    resource_sharer._ResourceSharer.get_connection = staticmethod(get_connection)


def become_nobody():
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)


def take(place):
    from mpfast.serialize import travel

    fd = travel.take(place)
    if fd >= 0:
        os.close(fd)
    return fd


def send_tensors(carrier, count):
    import torch
    import torch.multiprocessing

    for number in range(count):
        give(carrier, torch.full((100,), number))


def send_from_a_fork(carrier):
    """os.fork() does not tell multiprocessing, whose resource sharer does not run in such a child."""
    pid = os.fork()
    if pid == 0:
        try:
            send_new(carrier)
            until(lambda: not copies(), "it is received")
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
