# SPDX-License-Identifier: MIT
"""Descriptors in queues and connections: sockets, tickets of reduction.DupFd(), tensors."""

import errno
import importlib
import multiprocessing.connection
import os
import pickle
import socket
import struct
import threading
from multiprocessing import reduction, resource_sharer

import pytest
import travellers
import watch
import workers
from harness import ChildRaised, until

import mpfast
from mpfast.serialize import travel

only_mpfast = pytest.mark.parametrize("mp", [mpfast], ids=["mpfast"])
only_fork = pytest.mark.parametrize("method", ["fork"], indirect=True)


@pytest.fixture(autouse=True)
def sharing():
    """The resource sharer of this process ends with the test."""
    yield
    resource_sharer.stop(10)


@pytest.fixture(params=["Queue", "SimpleQueue", "Pipe"])
def carrier(ctx, request):
    """(what is written to, what is read from)"""
    if request.param == "Pipe":
        reader, writer = ctx.Pipe(False)
        yield writer, reader
        writer.close()
    else:
        reader = writer = getattr(ctx, request.param)()
        yield writer, reader
    reader.close()
    if request.param == "Queue":
        reader.join_thread()


@pytest.fixture(params=["socket", "pipe", "file", "directory", "eventfd"])
def fd(request, tmp_path):
    """A descriptor of each kind."""
    if request.param == "socket":
        one, other = socket.socketpair()
        with one, other:
            yield one.fileno()
        return
    if request.param == "pipe":
        kept, made = os.pipe()
    elif request.param == "file":
        kept, made = None, os.memfd_create("a file")
    elif request.param == "directory":
        kept, made = None, os.open(tmp_path, os.O_RDONLY)
    else:
        kept, made = None, os.eventfd(0)
    yield made
    for descriptor in (kept, made):
        if descriptor is not None:
            os.close(descriptor)


# The contract -------------------------------------------------------------------------------------------------------


def test_a_socket_to_a_child(carrier, start):
    writer, reader = carrier
    child = start(reader)
    for _ in range(3):
        travellers.send_new(writer)
        assert child.run(travellers.fetch, reader) == b"0"


def test_a_socket_from_a_child(carrier, start):
    writer, reader = carrier
    child = start(writer)
    child.run(travellers.send_new, writer, 3)
    assert [travellers.fetch(reader) for _ in range(3)] == [b"0", b"1", b"2"]


def test_between_children(carrier, start):
    writer, reader = carrier
    sender, receiver = start(writer), start(reader)
    sender.run(travellers.send_new, writer)
    assert receiver.run(travellers.fetch, reader) == b"0"


@only_fork
def test_a_handle(carrier, start, fd):
    writer, reader = carrier
    child = start(reader)
    travellers.give(writer, reduction.DupFd(fd))
    assert child.run(travellers.fetch_handle, reader) == (travellers.identity(fd), True)


@only_fork
def test_within_one_process(carrier, fd):
    writer, reader = carrier
    travellers.give(writer, reduction.DupFd(fd))
    assert travellers.fetch_handle(reader) == (travellers.identity(fd), True)
    until(lambda: not travellers.copies(), "the copy is closed")


@only_fork
def test_a_handle_is_passed_on(ctx, carrier, start):
    """Nobody detaches it on the way."""
    writer, reader = carrier
    between = ctx.SimpleQueue()
    first, last = start(between, writer), start(reader)
    with open(os.devnull) as file:
        travellers.give(between, reduction.DupFd(file.fileno()))
        first.run(travellers.forward, between, writer)
        assert last.run(travellers.fetch_handle, reader)[0] == travellers.identity(file.fileno())
    between.close()


@pytest.mark.parametrize("hundreds", [2, pytest.param(10, marks=pytest.mark.stress)])
def test_nothing_is_left_of_hundreds(carrier, start, hundreds):
    writer, reader = carrier
    child = start(writer)
    child.run(travellers.send_new, writer)
    travellers.fetch(reader)
    there, here = child.run(travellers.descriptors_at_rest), travellers.descriptors_at_rest()
    for _ in range(hundreds):
        child.run(travellers.send_new, writer, 100)
        assert [travellers.fetch(reader) for _ in range(100)] == [b"%d" % number for number in range(100)]
    # The thread of multiprocessing's that hands them over closes the last one after it has forgotten it.
    until(lambda: child.run(travellers.descriptors_at_rest) <= there, "the child has closed them")
    until(lambda: travellers.descriptors_at_rest() <= here, "they are closed here")


def test_the_other_end_sees_the_end(carrier, start):
    """The sender's copy is closed when the receiver has its own."""
    writer, reader = carrier
    child = start(reader)
    one, other = socket.socketpair()
    with one:
        with other:
            travellers.give_socket(writer, other)
        assert child.run(travellers.fetch_and_close, reader) is None
        assert one.recv(1) == b""


@only_fork
def test_the_sender_was_killed(carrier, start):
    """What it had sent cannot be had any more, and the error says so."""
    writer, reader = carrier
    child = start(writer)
    child.run(travellers.send_new, writer, 3)  # multiprocessing's queue may not have written the last one
    child.kill()
    ours = type(reader).__module__.startswith("mpfast")
    text = "the process that sent this descriptor ended" if ours else None
    for _ in range(2):
        with pytest.raises((ConnectionRefusedError, FileNotFoundError), match=text):
            travellers.fetch(reader)


def test_tensors(carrier, start):
    torch = pytest.importorskip("torch")
    importlib.import_module("torch.multiprocessing")
    writer, reader = carrier
    child = start(writer)
    child.run(travellers.send_tensors, writer, 20)
    for number in range(20):
        assert torch.equal(travellers.receive(reader), torch.full((100,), number))
    until(lambda: child.run(travellers.copies) == 0, "the copies are closed")


# How mpfast does it -------------------------------------------------------------------------------------------------


@only_mpfast
def test_no_visit_to_the_resource_sharer(carrier, start):
    writer, reader = carrier
    child = start(writer, reader)
    if not child.run(travellers.may_take_from, os.getpid()):
        pytest.skip("a child may not take descriptors from its parent here")
    child.run(travellers.no_visits)
    travellers.send_new(writer)
    assert child.run(travellers.fetch, reader) == b"0"
    until(lambda: not travellers.copies(), "the copy is closed")


@only_mpfast
def test_the_first_one_travels_too(carrier, start, monkeypatch):
    writer, reader = carrier
    child = start(writer)
    if not travellers.may_take_from(child.pid):
        pytest.skip("a process may not take descriptors from its child here")
    child.run(travellers.send_new, writer)
    with monkeypatch.context() as patch:
        patch.setattr(resource_sharer._ResourceSharer, "get_connection", None)
        assert travellers.fetch(reader) == b"0"


@only_mpfast
@pytest.mark.parametrize("call", ["pidfd_open", "pidfd_getfd", "pidfd_getfd=ENOSYS"])
def test_the_kernel_refuses(carrier, start, call):
    """The receiver then goes to the resource sharer."""
    writer, reader = carrier
    child = start(reader)
    child.run(travellers.refuse, call)
    for _ in range(20):
        travellers.send_new(writer)
        assert child.run(travellers.fetch, reader) == b"0"
    until(lambda: not travellers.copies(), "the copies are closed")


@pytest.fixture
def ticket():
    """What a descriptor's ticket becomes in a pickle, and the descriptor."""
    with open(os.devnull) as file:
        yield travel.Traveller(*travel.reduce(reduction.DupFd(file.fileno()))[1]), file.fileno()


@only_mpfast
@only_fork
def test_another_user_may_not_take(ctx, start, ticket):
    if os.geteuid() != 0:
        pytest.skip("only root becomes another user")
    child = start(ctx.Lock())
    assert child.run(travellers.take, ticket[0]._place) >= 0
    child.run(travellers.become_nobody)
    assert child.run(travellers.take, ticket[0]._place) == -errno.EPERM
    with pytest.raises(ChildRaised, match="PermissionError"):
        child.run(workers.invoke, ticket[0], "detach")


def test_the_number_means_another_file_by_now(ticket):
    """The kernel would give it, and the receiver does not take it for the one that was sent."""
    traveller, _ = ticket
    (key,) = travellers.sharer._cache
    copy = travel_copy(key)
    with open(__file__) as other:
        os.dup2(other.fileno(), copy)
    before = watch.descriptors()
    assert travel.take(traveller._place) == -errno.ESTALE
    assert watch.descriptors() == before
    assert travellers.copies() == 1


def test_the_same_file_opened_otherwise_is_another(ticket):
    traveller, _ = ticket
    (key,) = travellers.sharer._cache
    with open(os.devnull, "w") as other:
        os.dup2(other.fileno(), travel_copy(key))
    assert travel.take(traveller._place) == -errno.ESTALE


def travel_copy(key):
    return travellers.sharer._cache[key][1].__closure__[0].cell_contents


def test_what_was_taken_cannot_be_taken_again(ticket):
    traveller, _ = ticket
    os.close(traveller.detach())
    until(lambda: not travellers.copies(), "the copy is closed")
    before = watch.descriptors()
    assert travel.take(traveller._place) < 0
    assert watch.descriptors() == before


def test_damaged_places(ticket):
    """Nothing is taken and nothing stays open."""
    place = ticket[0]._place
    before = watch.descriptors()
    assert travel.take(b"") < 0
    assert travel.take(place + b"x") < 0
    for at in range(8, len(place), 4):  # the key means nothing to the receiver
        assert travel.take(place[:at] + bytes([place[at] ^ 0x40]) + place[at + 1 :]) < 0, at
    assert watch.descriptors() == before
    assert travellers.copies() == 1


@pytest.fixture
def no_thread(monkeypatch):
    """No thread can be started that would listen to the bell."""
    real = threading.Thread.start

    def start(self):
        if self.name == "mpfast-travel":
            raise RuntimeError("can't start new thread")
        real(self)

    until(lambda: not travellers.bell_threads(), "the thread of the test before has ended")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        yield
    travel.forget()


def test_a_full_bell(no_thread, ticket):
    """The receiver does not wait for a sender that does not listen. It goes to the resource sharer."""
    before = watch.descriptors()
    for _ in range(1 << 20):
        fd = travel.take(ticket[0]._place)
        if fd < 0:
            break
        os.close(fd)
    assert fd == -errno.EAGAIN
    assert watch.descriptors() == before
    os.close(ticket[0].detach())
    assert not travellers.copies()


def test_without_a_thread_the_next_pickling_listens(no_thread, ticket):
    os.close(ticket[0].detach())
    assert travellers.copies() == 1
    second = travel.Traveller(*travel.reduce(reduction.DupFd(ticket[1]))[1])
    assert travellers.copies() == 1
    os.close(second.detach())


def test_the_program_has_the_numbers_of_the_bell(no_thread, ticket):
    """It closed all descriptors, and files of its own have the numbers. They are neither read nor closed."""
    numbers = struct.unpack_from("=8x4x4xii", ticket[0]._place)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(b"not a bell's key")
        for number in numbers:
            os.dup2(ours.fileno(), number)
        second = travel.Traveller(*travel.reduce(reduction.DupFd(ticket[1]))[1])
        os.close(second.detach())
        os.close(ticket[0].detach())
        travel.forget()
        assert ours.recv(100, socket.MSG_DONTWAIT) == b"not a bell's key"
        for number in numbers:
            os.close(number)


def test_the_thread_ends_when_nothing_is_under_way(ticket):
    assert len(travellers.bell_threads()) == 1
    os.close(ticket[0].detach())
    until(lambda: not travellers.bell_threads(), "the thread has ended")
    again = travel.Traveller(*travel.reduce(reduction.DupFd(ticket[1]))[1])
    os.close(again.detach())
    until(lambda: not travellers.copies(), "the copy is closed")


@only_mpfast
@only_fork
def test_a_child_of_os_fork_sends(ctx, start):
    q = ctx.SimpleQueue()
    with open(os.devnull) as file:
        q.put(reduction.DupFd(file.fileno()))  # this process has a bell now
        os.close(q.get().detach())
    child = start(q)
    child.send(travellers.send_from_a_fork, q)
    assert travellers.fetch(q) == b"0"
    assert child.result() == 0
    q.close()


def test_another_python_gets_what_it_can_read():
    """A peer of which mpfast does not know whether it has mpfast gets the ticket of multiprocessing."""
    with (
        mpfast.connection.Listener(family="AF_UNIX") as listener,
        multiprocessing.connection.Client(listener.address) as client,
        listener.accept() as ours,
        open(os.devnull) as file,
    ):
        ours.send(reduction.DupFd(file.fileno()))
        message = client.recv_bytes()
        assert b"mpfast" not in message
        os.close(pickle.loads(message).detach())


@pytest.mark.parametrize("duplex", [True, False])
def test_other_code_may_read(duplex):
    """fileno() of the reading end says that other code may read it. Then nothing needs mpfast."""
    reader, writer = mpfast.Pipe(duplex)
    with reader, writer, open(os.devnull) as file:
        for exposed in (False, True):
            if exposed:
                reader.fileno()
            writer.send(reduction.DupFd(file.fileno()))
            message = reader.recv_bytes()
            assert (b"mpfast" in message) is not exposed
            os.close(pickle.loads(message).detach())
