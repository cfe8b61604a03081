# SPDX-License-Identifier: MIT
"""Listener, Client and what they do to know each other."""

import gc
import os
import socket
import stat
import struct

import pytest
import talk
import watch
from harness import Thread

FAMILIES = ["AF_UNIX", "AF_INET"]
KEY = talk.KEY


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


def meet(listener, connection, authkey=None):
    """(what accept() gave, what Client() gave)"""
    client = Thread(connection.Client, listener.address, authkey=authkey)
    return listener.accept(), client.result()


def test_defaults(connection):
    """A socket file of one's own, which goes with the listener."""
    listener = connection.Listener()
    path = listener.address
    assert stat.S_ISSOCK(os.stat(path).st_mode)
    assert os.path.basename(path).startswith(("listener-", "sock-"))  # the latter from 3.14 on
    assert listener.last_accepted is None
    one, other = meet(listener, connection)
    one.send("word")
    assert other.recv() == "word"
    listener.close()
    assert not os.path.exists(path)
    one.send("the connections stay")
    assert other.recv() == "the connections stay"


@pytest.mark.parametrize("authkey", [None, KEY])
def test_meeting(connection, family, authkey):
    with connection.Listener(family=family, authkey=authkey) as listener:
        assert connection.address_type(listener.address) == family
        for number in range(3):
            one, other = meet(listener, connection, authkey)
            assert type(one) is type(other) is connection.Connection
            assert one.readable and one.writable and other.readable and other.writable  # noqa: PT018
            one.send(number)
            other.send(-number)
            assert (other.recv(), one.recv()) == (number, -number)
            assert not os.get_inheritable(one.fileno())
            assert not os.get_inheritable(other.fileno())


def test_arguments_by_name(connection, tmp_path):
    path = str(tmp_path / "socket")
    with connection.Listener(address=path, family="AF_UNIX", backlog=5, authkey=KEY) as listener:
        assert listener.address == path
        accepting = Thread(listener.accept)
        client = connection.Client(address=path, family="AF_UNIX", authkey=KEY)
        server = accepting.result()
        client.send(1)
        assert server.recv() == 1


def test_addresses(connection, tmp_path):
    with connection.Listener(("localhost", 0)) as listener:
        assert listener.address[0] == "127.0.0.1"
        assert listener.address[1] > 0
        _one, other = meet(listener, connection)
        assert listener.last_accepted[0] == "127.0.0.1"
        with socket.socket(fileno=os.dup(other.fileno())) as sock:
            assert listener.last_accepted == sock.getsockname()
    for address in (str(tmp_path / "a"), f"\0mpfast-test-{os.getpid()}", f"\0mpfast-test-{os.getpid()}".encode()):
        with connection.Listener(address) as listener:
            assert connection.address_type(listener.address) == "AF_UNIX"
            one, other = meet(listener, connection)
            one.send(1)
            assert other.recv() == 1


def test_address_type(connection):
    assert connection.address_type(("localhost", 1)) == "AF_INET"
    assert connection.address_type("/a/path") == "AF_UNIX"
    assert connection.address_type("\\\\.\\pipe\\x") == "AF_PIPE"
    assert connection.address_type(b"\0abstract") == "AF_UNIX"
    for wrong in (3, None, b"bytes", ["localhost", 1]):
        with pytest.raises((TypeError, ValueError), match="^address type of .* unrecognized$"):
            connection.address_type(wrong)


def test_families(connection):
    for maker in (connection.Listener, lambda family: connection.Client("x", family)):
        with pytest.raises(ValueError, match="AF_PIPE"):
            maker(family="AF_PIPE")
    with pytest.raises(ValueError, match="unrecognized family"):
        connection.Listener(family="AF_NONE")


def test_nobody_listens(connection, tmp_path):
    with pytest.raises(FileNotFoundError):
        connection.Client(str(tmp_path / "nothing"))
    with connection.Listener(str(tmp_path / "socket")) as listener:
        with pytest.raises(OSError, match="Address already in use"):
            connection.Listener(listener.address)
        os.link(listener.address, tmp_path / "left")
    with pytest.raises(ConnectionRefusedError):
        connection.Client(str(tmp_path / "left"))
    with connection.Listener(("localhost", 0)) as listener:
        address = listener.address
    with pytest.raises(ConnectionRefusedError):
        connection.Client(address)


def test_closed(connection, family):
    listener = connection.Listener(family=family)
    listener.close()
    listener.close()
    with pytest.raises(OSError, match="^listener is closed$"):
        listener.accept()
    with pytest.raises(AttributeError):
        _ = listener.address


def test_a_listener_in_a_forked_child(mp, connection, family):
    listener = connection.Listener(family=family, authkey=KEY)
    process = mp.get_context("fork").Process(target=talk.serve_once, args=(listener,))
    process.start()
    client = connection.Client(listener.address, authkey=KEY)
    client.send("word")
    assert client.recv() == "word"
    process.join()
    assert process.exitcode == 0
    process.close()
    listener.close()


# Keys ---------------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # multiprocessing looks at the key last
@pytest.mark.parametrize("key", ["text", 3, bytearray(b"key")])
def test_keys_are_bytes(connection, key):
    with pytest.raises(TypeError, match="^authkey should be a byte string$"):
        connection.Listener(authkey=key)
    with connection.Listener() as listener, pytest.raises(TypeError, match="^authkey should be a byte string$"):
        connection.Client(listener.address, authkey=key)


def test_wrong_key(mp, connection, family):
    """Both are told, both let go of their descriptors, and the listener goes on."""
    with connection.Listener(family=family, authkey=KEY) as listener:
        before = len(watch.descriptors())
        for _ in range(3):
            client = Thread(connection.Client, listener.address, authkey=b"another key")
            with pytest.raises(mp.AuthenticationError, match="^digest received was wrong$"):
                listener.accept()
            with pytest.raises(mp.AuthenticationError, match="^digest sent was rejected$"):
                client.result()
            del client
        gc.collect()
        assert len(watch.descriptors()) == before
        one, other = meet(listener, connection, KEY)
        one.send(1)
        assert other.recv() == 1


def test_only_one_has_a_key(connection):
    """Whoever has one does not take the other's first message for an answer."""
    with connection.Listener(authkey=KEY) as listener:
        client = connection.Client(listener.address)
        accepting = Thread(listener.accept)
        assert client.recv_bytes().startswith(b"#CHALLENGE#")
        client.send_bytes(b"no digest")
        with pytest.raises((AssertionError, connection.AuthenticationError)):
            accepting.result()
        assert client.recv_bytes() == b"#FAILURE#"


def test_challenges_by_hand(mp, connection):
    """As some programs use them, over a pipe."""
    one, other = connection.Pipe()
    answering = Thread(connection.answer_challenge, other, KEY)
    connection.deliver_challenge(one, KEY)
    answering.result()
    answering = Thread(connection.answer_challenge, other, b"wrong")
    with pytest.raises(mp.AuthenticationError, match="^digest received was wrong$"):
        connection.deliver_challenge(one, KEY)
    with pytest.raises(mp.AuthenticationError, match="^digest sent was rejected$"):
        answering.result()
    one.send("usable afterwards")
    assert other.recv() == "usable afterwards"


def test_challenges_between_the_packages():
    import multiprocessing.connection as stdlib

    import mpfast.connection as ours

    for wires in (stdlib, ours):
        for giver, taker in ((stdlib, ours), (ours, stdlib)):
            one, other = wires.Pipe()
            answering = Thread(taker.answer_challenge, other, KEY)
            giver.deliver_challenge(one, KEY)
            answering.result()


def test_one_class_of_errors(connection):
    """An except clause written for multiprocessing catches ours."""
    import multiprocessing

    assert connection.AuthenticationError is multiprocessing.AuthenticationError
    assert connection.BufferTooShort is multiprocessing.BufferTooShort


# Attackers: they have no key ----------------------------------------------------------------------------------------


def attacks():
    """name -> what somebody without a key sends before he closes his end"""
    challenge = b"#CHALLENGE#"
    return {
        "nothing": b"",
        "part of a header": b"\0\0",
        "a header": struct.pack("!i", 16),
        "part of a message": struct.pack("!i", 16) + b"short",
        "garbage": bytes(range(256)) * 4,
        "an empty message": talk.frame(b""),
        "text": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "2 GiB": struct.pack("!i", 0x7FFFFFFF) + bytes(1000),
        "257 bytes": talk.frame(bytes(257)),
        "8 EiB": struct.pack("!iQ", -1, 1 << 63) + bytes(1000),
        "16 EiB": struct.pack("!iQ", -1, (1 << 64) - 1) + bytes(1000),
        "half of a long header": struct.pack("!iI", -1, 0),
        "-2": struct.pack("!iQQ", -2, 1 << 40, 1 << 40) + bytes(1000),
        "-3": struct.pack("!i", -3) + bytes(1000),
        "most negative": struct.pack("!i", -(1 << 31)) + bytes(1000),
        "a wrong digest": talk.frame(bytes(16)),
        "a wrong digest of today": talk.frame(b"{sha256}" + bytes(32)),
        "a digest unheard of": talk.frame(b"{crc32}" + bytes(32)),
        "a challenge": talk.frame(challenge + bytes(40)),
        "a challenge too short": talk.frame(challenge),
        "a welcome": talk.frame(b"#WELCOME#"),
        "a failure": talk.frame(b"#FAILURE#"),
    }


REFUSED = (OSError, EOFError, AssertionError, ValueError, MemoryError)


def hurl(sock, data):
    try:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(1 << 16):
            pass
    except OSError:
        pass  # the other one has had enough
    finally:
        sock.close()


def refused(mp, function):
    before = talk.resident()
    with pytest.raises((*REFUSED, mp.AuthenticationError)):
        function()
    assert talk.resident() - before < 8 << 20


@pytest.mark.parametrize("attack", attacks())
def test_attacks_on_a_listener(mp, connection, family, attack):
    """An error, no memory for what he says that he will send, and the next one is served."""
    with connection.Listener(family=family, authkey=KEY) as listener:
        attacker = Thread(hurl, talk.raw_client(listener.address), attacks()[attack])
        refused(mp, listener.accept)
        gc.collect()
        attacker.result()
        one, other = meet(listener, connection, KEY)
        one.send(1)
        assert other.recv() == 1


@pytest.mark.parametrize("attack", attacks())
def test_attacks_on_a_client(mp, connection, attack):
    server = socket.create_server(("localhost", 0))
    with server:
        attacker = Thread(lambda: hurl(server.accept()[0], attacks()[attack]))
        refused(mp, lambda: connection.Client(server.getsockname(), authkey=KEY))
        gc.collect()
        attacker.result()
