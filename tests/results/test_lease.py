"""A lock in an object store: one holder, whatever fails, and whatever the clocks of the machines say."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Iterator

import obstore
import pytest
from obstore.exceptions import GenericError

from fullconv.errors import BadInput
from fullconv.results import lease
from fullconv.results.remote import Remote

KEY = ".fullconv/lock"
_count = itertools.count()


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Remote]:
    monkeypatch.setattr(lease, "FRESH", 0.6)
    monkeypatch.setattr(lease, "RENEWED", 0.1)
    monkeypatch.setattr(lease, "_AGAIN", 0.05)
    yield Remote(f"memory://lease/{next(_count)}")
    assert threading.active_count() < 20


def test_one_holder_that_is_named(place: Remote) -> None:
    with place.lock() as require:
        time.sleep(0.8)  # it is renewed beyond its life
        require()
        with pytest.raises(BadInput, match=r"another process writes it \(process \d+ on .*\)"), place.lock():
            pass
    assert not list(obstore.list(place._store)), "nothing is left"
    with place.lock():
        pass


def test_a_renewal_that_fails_is_tried_again(place: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    put, failed = obstore.put, []

    def failing(store, path, data, **more):
        if path == KEY and isinstance(more.get("mode"), dict) and len(failed) < 3:
            failed.append(path)
            raise GenericError("a gateway that is away")
        return put(store, path, data, **more)

    monkeypatch.setattr(obstore, "put", failing)
    with place.lock() as require:
        time.sleep(1.0)
        require()
        assert len(failed) == 3
        with pytest.raises(BadInput, match="another process writes it"), place.lock():
            pass


def test_a_put_whose_answer_is_lost_is_no_loss(place: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store has it and the holder does not know: the next renewal names a version that is gone."""
    put, lost = obstore.put, []

    def losing(store, path, data, **more):
        done = put(store, path, data, **more)
        if path == KEY and isinstance(more.get("mode"), dict) and not lost:
            lost.append(path)
            raise GenericError("the connection ended")
        return done

    monkeypatch.setattr(obstore, "put", losing)
    with place.lock() as require:
        time.sleep(0.8)
        require()
    assert lost


def test_a_store_that_is_away_too_long_is_a_lost_lock(place: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    put = obstore.put

    def failing(store, path, data, **more):
        if isinstance(more.get("mode"), dict):
            raise GenericError("away")
        return put(store, path, data, **more)

    with place.lock() as require:
        monkeypatch.setattr(obstore, "put", failing)
        time.sleep(1.2)
        with pytest.raises(BadInput, match=r"the lock was lost: the store did not answer .* what is done is kept"):
            require()
        monkeypatch.setattr(obstore, "put", put)
        with place.lock() as other:  # it has expired, and another takes it
            time.sleep(0.2)
            with pytest.raises(BadInput, match="the lock was lost"):
                require()
            other()
            held = json.loads(bytes(obstore.get(place._store, KEY).bytes()))
        assert held["holder"]


def test_a_lock_that_another_took_is_lost_and_left(place: Remote) -> None:
    with place.lock() as require:
        obstore.put(place._store, KEY, b'{"process": 1, "machine": "elsewhere"}')
        time.sleep(0.3)
        with pytest.raises(BadInput, match="the lock was lost: another process took it"):
            require()
    assert bytes(obstore.get(place._store, KEY).bytes()).startswith(b'{"process": 1')


def test_how_old_it_is_says_the_store(place: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    obstore.put(place._store, KEY, b'{"process": 1, "machine": "elsewhere"}')
    for jump in (1e9, -1e9):
        with monkeypatch.context() as patched:
            patched.setattr(time, "time", lambda: 1e9 + jump)  # noqa: B023
            with pytest.raises(BadInput, match=r"another process writes it \(process 1 on elsewhere\)"), place.lock():
                pass
    time.sleep(0.7)
    with place.lock():
        pass


def test_of_two_that_take_an_expired_lock_one_gets_it(place: Remote) -> None:
    obstore.put(place._store, KEY, b"{}")
    time.sleep(0.7)
    results: list[str] = []
    barrier, over = threading.Barrier(8), threading.Event()

    def take() -> None:
        barrier.wait()
        try:
            with place.lock():
                results.append("in")
                over.wait(5)
        except BadInput:
            results.append("out")

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 5
    while len(results) < 8 and time.monotonic() < deadline:
        time.sleep(0.02)
    over.set()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["in"] + ["out"] * 7


def test_a_store_without_conditional_puts(place: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    put = obstore.put

    def plain(store, path, data, **more):
        if more.get("mode") is not None:
            raise NotImplementedError
        return put(store, path, data, **more)

    monkeypatch.setattr(obstore, "put", plain)
    with pytest.raises(BadInput, match="has no conditional puts, without which two runs could mix"), place.lock():
        pass
