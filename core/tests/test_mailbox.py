"""The way from threads into event loops."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

from charonia.mailbox import Mailbox, Mailboxes, Wakeups


class CountingLoop(asyncio.SelectorEventLoop):
    """An event loop that counts how often it is woken from other threads."""

    woken = 0

    def call_soon_threadsafe(self, *args, **options):
        self.woken += 1
        return super().call_soon_threadsafe(*args, **options)


async def test_messages_arrive_in_order_on_the_loops_thread():
    """What a thread posts is received on the loop, in the order of posting."""
    mailbox = Mailbox(asyncio.get_running_loop())
    received, done = [], asyncio.Event()

    def receive(message):
        received.append((message, threading.current_thread() is threading.main_thread()))
        if message == 99:
            done.set()

    thread = threading.Thread(target=lambda: [mailbox.post(receive, number) for number in range(100)])
    thread.start()
    await asyncio.wait_for(done.wait(), 30)
    thread.join()
    assert received == [(number, True) for number in range(100)]


async def test_what_posts_is_not_remembered():
    """The context of a thread that posts, and all that it refers to, is not that of what the loop does with the message or after it."""
    mailbox = Mailbox(asyncio.get_running_loop())
    variable = ContextVar("variable", default=None)
    seen, done = [], asyncio.Event()

    def receive(_):
        seen.append(variable.get())
        done.set()

    def post():
        variable.set("executed here")
        mailbox.post(receive, None)

    await asyncio.to_thread(post)
    await asyncio.wait_for(done.wait(), 30)
    assert seen == [None]


async def test_nothing_is_lost_among_threads():
    """Each message of each thread arrives once, and those of one thread in their order."""
    mailbox = Mailbox(asyncio.get_running_loop())
    received, done = [], asyncio.Event()

    def receive(message):
        received.append(message)
        if len(received) == 4_000:
            done.set()

    def post(thread):
        for number in range(1_000):
            mailbox.post(receive, (thread, number))

    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(post, thread) for thread in range(4)]
        await asyncio.wait_for(done.wait(), 30)
        for future in futures:
            future.result()
    for thread in range(4):
        assert [number for of, number in received if of == thread] == list(range(1_000))


def test_loop_is_woken_once_for_many_messages():
    """Messages that are posted before the loop looks cost one wake-up."""
    with asyncio.Runner(loop_factory=CountingLoop) as runner:
        loop = runner.get_loop()
        mailbox = Mailbox(loop)
        received = []
        for number in range(50):
            mailbox.post(received.append, number)
        assert loop.woken == 1
        runner.run(asyncio.sleep(0))
        assert received == list(range(50))
        mailbox.post(received.append, 50)
        assert loop.woken == 2


def post_three_held(mailbox, received):
    """Post three messages on this thread, which holds its wake-ups back; gives what sends these."""
    wakeups = Wakeups()
    wakeups.held = True
    for number in range(3):
        mailbox.post(received.append, number)
    return wakeups.send


def test_held_wake_ups_are_sent_together():
    """A thread that holds its wake-ups back posts as before, and wakes each loop once when it sends them."""
    with asyncio.Runner(loop_factory=CountingLoop) as runner, ThreadPoolExecutor(1) as pool:
        loop = runner.get_loop()
        mailbox = Mailbox(loop)
        received = []
        mailbox.post(received.append, "before")
        runner.run(asyncio.sleep(0))
        send = pool.submit(post_three_held, mailbox, received).result(30)
        assert loop.woken == 1
        pool.submit(send).result(30)
        assert loop.woken == 2
        runner.run(asyncio.sleep(0))
        assert received == ["before", 0, 1, 2]


def test_a_loop_to_which_nobody_has_posted_lately_is_woken():
    """A wake-up is not held back from a loop that does not look by itself."""
    with asyncio.Runner(loop_factory=CountingLoop) as runner, ThreadPoolExecutor(1) as pool:
        loop = runner.get_loop()
        mailbox = Mailbox(loop)
        received = []
        pool.submit(post_three_held, mailbox, received).result(30)
        assert loop.woken == 1
        runner.run(asyncio.sleep(0))
        assert received == [0, 1, 2]


async def test_what_is_held_back_does_not_wait_for_its_thread():
    """As long as something is posted again and again, the loop finds it although the thread never sends its wake-ups."""
    mailbox = Mailbox(asyncio.get_running_loop())
    with ThreadPoolExecutor(1) as pool:
        for _ in range(20):
            received, done = [], asyncio.Event()

            def post(received, done):
                post_three_held(mailbox, received)
                mailbox.post(lambda _: done.set(), None)

            posting = pool.submit(post, received, done)
            await asyncio.wait_for(done.wait(), 30)
            posting.result(30)
            assert received == [0, 1, 2]


async def test_message_posted_by_a_receiver_arrives():
    """A receiver may post to its own mailbox."""
    mailbox = Mailbox(asyncio.get_running_loop())
    received, done = [], asyncio.Event()

    def receive(number):
        received.append(number)
        if number:
            mailbox.post(receive, number - 1)
        else:
            done.set()

    mailbox.post(receive, 3)
    await asyncio.wait_for(done.wait(), 30)
    assert received == [3, 2, 1, 0]


async def test_stream_of_messages_lets_the_loop_do_other_things():
    """Messages that come as fast as they are read keep the loop from nothing else."""
    mailbox = Mailbox(asyncio.get_running_loop())
    counts = []

    def again(count):
        counts.append(count)
        if count < 1_000:
            mailbox.post(again, count + 1)

    mailbox.post(again, 0)
    for _ in range(3):
        await asyncio.sleep(0)
    assert len(counts) <= 3


async def test_receiver_that_raises_holds_nobody_up():
    """The loop reports what a receiver raised, and the messages behind it still arrive."""
    loop = asyncio.get_running_loop()
    reported = []
    loop.set_exception_handler(lambda _, context: reported.append(context["exception"]))
    mailbox = Mailbox(loop)
    done = asyncio.Event()

    def explode(message):
        raise ValueError(message)

    mailbox.post(explode, "first")
    mailbox.post(explode, "second")
    mailbox.post(lambda _: done.set(), None)
    await asyncio.wait_for(done.wait(), 30)
    assert [str(error) for error in reported] == ["first", "second"]


class Message:
    pass


def test_closed_loop_drops_messages():
    """Posting to a loop that is closed is no error, and nothing is kept."""
    loop = asyncio.new_event_loop()
    mailbox = Mailbox(loop)
    loop.close()
    for _ in range(2):
        message = Message()
        kept = weakref.ref(message)
        mailbox.post(print, message)
        del message
        gc.collect()
        assert kept() is None


def test_loop_that_is_gone_drops_messages():
    """Posting to a loop that was collected is no error either."""
    loop = asyncio.new_event_loop()
    mailbox = Mailbox(loop)
    loop.close()
    del loop
    gc.collect()
    mailbox.post(print, "nobody reads this")


def test_each_loop_has_one_mailbox():
    """The same loop gets the same mailbox, from any thread; another loop another one."""
    mailboxes = Mailboxes()
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: mailboxes.of(first), range(20)))
    assert len(found) == 1
    assert mailboxes.of(second) not in found
    first.close()
    second.close()


def test_mailbox_goes_with_its_loop():
    """Neither the loop nor its mailbox is kept alive by the other."""
    mailboxes = Mailboxes()
    loop = asyncio.new_event_loop()
    mailbox = weakref.ref(mailboxes.of(loop))
    gone = weakref.ref(loop)
    loop.close()
    del loop
    gc.collect()
    assert gone() is None
    assert mailbox() is None


def test_whoever_is_put_off_is_woken_once():
    """Anything that can be woken waits for `send` where its thread holds wake-ups back, and is told that it does not elsewhere."""
    woken = []

    class Sleeper:
        def wake(self):
            woken.append(self)

    def run():
        one, other = Sleeper(), Sleeper()
        assert not Wakeups.later(one)
        wakeups = Wakeups.of_this_thread()
        assert wakeups is Wakeups.of_this_thread()
        assert not Wakeups.later(one)
        wakeups.held = True
        assert all(Wakeups.later(sleeper) for sleeper in (one, other, one))
        assert wakeups.owed
        assert woken == []
        wakeups.send()
        assert sorted(woken, key=id) == sorted([one, other], key=id)
        assert not wakeups.owed

    with ThreadPoolExecutor(1) as pool:
        pool.submit(run).result()
