# SPDX-License-Identifier: MIT
"""Errors of tasks, and what cannot be pickled. Where each of them is raised, and that the pool goes on."""

import pickle
import traceback

import pooled
import pytest
from abilities import SURVIVES
from harness import PATIENCE

UNPICKLABLE = (AttributeError, TypeError, pickle.PicklingError)

REFUSED = repr(RuntimeError("this one stays here"))


@pytest.fixture
def goes_on(pool):
    """After the test the pool works as before."""
    yield pool
    assert pool.map(pooled.square, range(20)) == [n * n for n in range(20)]
    assert not pool._cache


def all_ways(pool, function, thing):
    """Runs the function in every way that there is."""
    yield lambda: pool.apply(function, (thing,))
    yield lambda: pool.apply_async(function, (thing,)).get(PATIENCE)
    yield lambda: pool.map(function, [thing])
    yield lambda: pool.map(function, [thing], 1)
    yield lambda: pool.starmap(function, [(thing,)])
    yield lambda: pool.map_async(function, [thing]).get(PATIENCE)
    yield lambda: pool.imap(function, [thing]).next(PATIENCE)
    yield lambda: next(pool.imap(function, [thing], 2))
    yield lambda: pool.imap_unordered(function, [thing]).next(PATIENCE)


def test_errors_of_tasks(goes_on):
    for call in all_ways(goes_on, pooled.fail, "text"):
        with pytest.raises(ZeroDivisionError, match="^text$") as raised:
            call()
        assert raised.value.args == ("text",)


def test_the_workers_traceback(pools, goes_on):
    """Is the cause of the error, as text."""
    for call in all_ways(goes_on, pooled.fail_from, "text"):
        with pytest.raises(ValueError, match="^text$") as raised:
            call()
        cause = raised.value.__cause__
        assert type(cause) is pools.RemoteTraceback
        said = str(cause)
        assert said.startswith('\n"""\nTraceback (most recent call last):\n')
        assert said.endswith('ValueError: text\n"""')
        for part in ("in fail_from", "raise KeyError", "the direct cause of the following exception"):
            assert part in said
        printed = "".join(traceback.format_exception(raised.value))
        assert "RemoteTraceback" in printed
        assert "raise KeyError" in printed


@pytest.mark.parametrize(
    "error",
    [KeyError("key"), OSError(2, "No such file", "name"), StopIteration(5), UnicodeDecodeError("x", b"", 0, 1, "r")],
)
def test_errors_keep_their_arguments(goes_on, error):
    with pytest.raises(type(error)) as raised:
        goes_on.apply(pooled.throw, (error,))
    assert raised.value.args == error.args
    assert str(raised.value) == str(error)


def test_an_error_with_notes_and_attributes(goes_on):
    """Keeps what its pickle keeps."""
    error = ValueError("text")
    error.code = 5
    error.add_note("a note")
    with pytest.raises(ValueError, match="text") as raised:
        goes_on.apply(pooled.throw, (error,))
    assert raised.value.code == 5
    assert raised.value.__notes__ == ["a note"]


# What cannot be pickled ----------------------------------------------------------------------------------------------


def test_arguments_that_cannot_be_pickled(goes_on):
    """The error is the call's, or its result's."""
    for call in all_ways(goes_on, pooled.same, pooled.Refuses()):
        with pytest.raises(RuntimeError, match="^this one stays here"):
            call()


def test_functions_that_cannot_be_pickled(goes_on):
    for call in all_ways(goes_on, pooled.Refuses().__reduce__, 1):
        with pytest.raises(RuntimeError, match="^this one stays here"):
            call()


def test_a_function_without_a_name(goes_on):
    """Cannot be sent, as in multiprocessing, unless a pickler for such is there."""

    def inner(x):
        return x

    for function in (lambda x: x, inner):
        try:
            got = goes_on.apply(function, (3,))
        except UNPICKLABLE as error:
            got = ("pickle" in str(error) or "local object" in str(error)) and 3
        assert got == 3


def test_an_asynchronous_call_does_not_raise_what_cannot_be_pickled(goes_on):
    """Its result does, and the callback for errors is told."""
    told = []
    result = goes_on.apply_async(pooled.same, (pooled.Refuses(),), error_callback=told.append)
    many = goes_on.map_async(pooled.same, [1, pooled.Refuses()], 1, error_callback=told.append)
    for one in (result, many):
        one.wait(PATIENCE)
        assert one.successful() is False
        with pytest.raises(RuntimeError, match="^this one stays here"):
            one.get(0)
    assert [str(error) for error in told] == ["this one stays here"] * 2


def test_an_element_that_cannot_be_pickled_has_its_place(goes_on):
    iterator = goes_on.imap(pooled.same, [1, pooled.Refuses(), 3])
    assert next(iterator) == 1
    with pytest.raises(RuntimeError, match="^this one stays here"):
        next(iterator)
    assert list(iterator) == [3]


def test_results_that_cannot_be_pickled(pools, goes_on):
    for call in all_ways(goes_on, pooled.refuse, 1):
        with pytest.raises(pools.MaybeEncodingError) as raised:
            call()
        error = raised.value
        assert REFUSED in error.exc
        assert "<Refuses>" in error.value
        assert str(error) == f"Error sending result: '{error.value}'. Reason: '{error.exc}'"
        assert repr(error) == f"<MaybeEncodingError: {error}>"


def test_the_value_of_a_single_task_that_cannot_be_pickled(pools, goes_on):
    with pytest.raises(pools.MaybeEncodingError) as raised:
        goes_on.apply(pooled.refuse)
    assert raised.value.value.strip("'") == "<Refuses>"
    assert raised.value.exc.strip('"') == REFUSED


def test_a_result_that_cannot_be_pickled_among_others(pools, goes_on):
    iterator = goes_on.imap(pooled.refuse_odd, range(3))
    assert next(iterator) == 0
    with pytest.raises(pools.MaybeEncodingError):
        next(iterator)
    assert list(iterator) == [2]


def test_errors_that_cannot_be_pickled(pools, goes_on):
    for call in all_ways(goes_on, pooled.raise_refused, 1):
        with pytest.raises(pools.MaybeEncodingError) as raised:
            call()
        assert REFUSED in raised.value.exc


@pytest.mark.skipif(not SURVIVES, reason="in multiprocessing they end a thread of the pool or a worker")
class TestWhatCannotBeUnpickled:
    """Comes as an error of its task."""

    @pytest.fixture
    def mp(self):
        import mpfast

        return mpfast

    def test_errors(self, mp, goes_on):
        for call in all_ways(goes_on, pooled.raise_awkward, 1):
            with pytest.raises(mp.RemoteError) as raised:
                call()
            for part in ("Awkward", "1 and 2"):
                assert part in str(raised.value)
            assert "in raise_awkward" in str(raised.value) + str(raised.value.__cause__)

    def test_results(self, goes_on):
        for call in all_ways(goes_on, pooled.give_spoilt, 1):
            with pytest.raises(Exception, match="spoilt on the way"):
                call()

    def test_arguments(self, goes_on):
        for call in all_ways(goes_on, pooled.same, pooled.Spoilt()):
            with pytest.raises(Exception, match="spoilt on the way"):
                call()

    def test_an_element_among_others(self, goes_on):
        iterator = goes_on.imap(pooled.same, [1, pooled.Spoilt(), 3])
        assert next(iterator) == 1
        with pytest.raises(Exception, match="spoilt on the way"):
            next(iterator)
        assert list(iterator) == [3]
