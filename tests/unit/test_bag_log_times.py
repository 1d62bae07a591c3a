import random

from hypothesis import given
from hypothesis import strategies as st

from palpate_nodes.bag.log_times import LogTimes

MS = 1_000_000


def pairs(timed):
    return [(entry.log_ns // MS, entry.item) for entry in timed]


def test_a_message_is_known_at_the_first_tick_that_covers_it():
    times: LogTimes = LogTimes(["/wrench", "/camera"])
    assert times.tick(10 * MS, [("/wrench", 10 * MS), ("/camera", 0)]) == []
    assert pairs(times.add("/wrench", 11 * MS, 0, 0.0, "a")) == []
    assert pairs(times.add("/camera", 5 * MS, 0, 0.0, "late picture")) == []
    assert pairs(times.tick(20 * MS, [("/wrench", 20 * MS), ("/camera", 0)])) == [(20, "a")]
    assert pairs(times.tick(30 * MS, [("/wrench", 30 * MS), ("/camera", 5 * MS)])) == [(30, "late picture")]


def test_the_tick_may_arrive_before_the_messages_however_late_they_are():
    times: LogTimes = LogTimes(["/wrench"])
    for tick in range(1, 11):
        times.tick(10 * tick * MS, [("/wrench", 10 * tick * MS)])
    found = [pairs(times.add("/wrench", stamp * MS, 500 * MS, 0.0, stamp))[0] for stamp in (3, 10, 11, 25, 100)]
    assert found == [(10, 3), (10, 10), (20, 11), (30, 25), (100, 100)]


def test_topics_that_the_cell_does_not_speak_of_are_known_on_arrival():
    times: LogTimes = LogTimes(["/wrench", "/belief"])
    assert times.add("/belief", 4 * MS, 0, 0.0, "held until the first tick") == []
    assert pairs(times.tick(10 * MS, [("/wrench", 10 * MS)])) == [(10, "held until the first tick")]
    assert pairs(times.add("/belief", 4 * MS, 12 * MS, 0.0, "now")) == [(12, "now")]
    assert pairs(times.add("/belief", 15 * MS, 12 * MS, 0.0, "not before")) == [(15, "not before")]


def test_nobody_waits_for_ticks_that_do_not_come():
    times: LogTimes = LogTimes(["/wrench"], patience_s=1.0)
    times.add("/wrench", 7 * MS, 0, 100.0, "a")
    assert times.overdue(100.9) == []
    assert pairs(times.overdue(101.1)) == [(7, "a")]
    assert pairs(times.add("/wrench", 8 * MS, 9 * MS, 101.2, "b")) == [(9, "b")]


def test_the_rest_comes_out_at_the_end():
    times: LogTimes = LogTimes(["/wrench"])
    times.tick(10 * MS, [("/wrench", 10 * MS)])
    times.add("/wrench", 12 * MS, 0, 0.0, "a")
    assert pairs(times.rest()) == [(12, "a")]
    assert times.rest() == []


@given(st.integers(0, 2**32 - 1))
def test_log_times_do_not_depend_on_how_ticks_and_messages_interleave(seed):
    """Per topic messages, and ticks among themselves, arrive in order; anything else may happen."""
    rng = random.Random(seed)
    topics = ["/wrench", "/camera"]
    # The cell: every tick publishes wrenches, and pictures that were taken up to two ticks earlier.
    published: dict = {topic: [] for topic in topics}
    ticks, last = [], {"/camera": 0}
    for tick in range(1, 30):
        for step in range(10):
            published["/wrench"].append(((tick - 1) * 10 + step + 1, tick * 10))
        last["/wrench"] = tick * 10
        if rng.random() < 0.3:
            stamp = max(last["/camera"] + 1, (tick - rng.randint(0, 2)) * 10 - 5)
            published["/camera"].append((stamp, max(tick * 10, stamp)))
            last["/camera"] = stamp
        ticks.append((tick * 10, list(last.items())))
    times: LogTimes = LogTimes(topics)
    queues = {**{topic: list(messages) for topic, messages in published.items()}, "tick": ticks}
    found: dict = {topic: [] for topic in topics}
    while any(queues.values()):
        which = rng.choice([name for name, queue in queues.items() if queue])
        if which == "tick":
            time, stamps = queues["tick"].pop(0)
            ready = times.tick(time, stamps)
        else:
            stamp, _ = queues[which].pop(0)
            ready = times.add(which, stamp, rng.randint(0, 500), 0.0, (which, stamp))
        for log, (topic, stamp) in ready:
            found[topic].append((stamp, log))
    assert found == published
