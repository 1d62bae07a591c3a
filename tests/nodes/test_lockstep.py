import time

from geometry_msgs.msg import WrenchStamped
from rclpy.serialization import serialize_message

from palpate_nodes import topics
from palpate_nodes.lockstep import LockstepCell, LockstepConsumer, raw_stamp_ns
from palpate_nodes.node_base import ERROR, PalpateNode

MS = 1_000_000
WRENCH = topics.resolve(topics.WRENCH.name)


def pair(ros, *, required=("eater",), silence=5.0, start=5.0):
    cell = ros.add(PalpateNode("cell", context=ros.context))
    woken = []
    lockstep = LockstepCell(
        cell,
        required=required,
        lead_ns=100 * MS,
        timeout_s=silence,
        start_timeout_s=start,
        wake=lambda: woken.append(1),
    )
    publisher = cell.publisher(topics.WRENCH)
    lockstep.watch(WRENCH, publisher)
    return lockstep, publisher, woken


def eater(ros, *, eat=True):
    node = ros.add(PalpateNode("eater", context=ros.context))
    consumer = LockstepConsumer(node, [topics.WRENCH])
    node.subscription(topics.WRENCH, lambda data: consumer.note(WRENCH, raw_stamp_ns(data)) if eat else None, raw=True)
    return consumer


def wrench(ms):
    message = WrenchStamped()
    message.header.stamp = topics.to_stamp(ms * MS)
    return message


def publish(lockstep, publisher, ms):
    publisher.publish(wrench(ms))
    lockstep.published(WRENCH, ms * MS)


def test_stamp_is_read_from_the_serialised_message():
    message = wrench(1_234_567)
    message.header.stamp.nanosec = 89
    assert raw_stamp_ns(serialize_message(message)) == topics.stamp_ns(message.header.stamp)


def test_time_waits_for_its_consumers_at_the_start(ros):
    lockstep, _, _ = pair(ros)
    assert not lockstep.ready()
    eater(ros)
    ros.spin_until(lockstep.ready)
    assert lockstep._node._status.get("lock-step") is None


def test_a_consumer_that_never_comes_is_reported(ros):
    lockstep, _, _ = pair(ros, start=0.2)
    time.sleep(0.25)
    assert lockstep.ready()
    level, message, _ = lockstep._node._status["lock-step"]
    assert level == ERROR
    assert "started without eater" in message


def test_a_tick_is_acknowledged_only_when_its_messages_arrived(ros):
    lockstep, publisher, _ = pair(ros)
    consumer = eater(ros)
    ros.spin_until(lockstep.ready)
    lockstep.tick(10 * MS)
    ros.spin_until(lambda: consumer.complete_ns == 10 * MS)
    # The tick promises a message that has not been sent.
    lockstep.published(WRENCH, 15 * MS)
    lockstep.tick(20 * MS)
    ros.spin_for(0.3)
    assert consumer.complete_ns == 10 * MS
    publisher.publish(wrench(15))
    ros.spin_until(lambda: consumer.complete_ns == 20 * MS)


def test_time_may_run_ahead_no_further_than_the_lead(ros):
    lockstep, publisher, woken = pair(ros)
    eater(ros)
    ros.spin_until(lockstep.ready)
    now = 0
    while lockstep.may_advance():
        now += 10
        publish(lockstep, publisher, now)
        lockstep.tick(now * MS)
        assert now <= 120
    woken.clear()
    ros.spin_until(lockstep.may_advance)
    assert woken


def test_a_silent_consumer_is_given_up_and_reported(ros):
    lockstep, publisher, _ = pair(ros, silence=0.3)
    eater(ros, eat=False)
    ros.spin_until(lockstep.ready)
    lockstep.tick(MS)
    ros.spin_for(0.2)
    publish(lockstep, publisher, 500)
    lockstep.tick(500 * MS)
    assert not lockstep.may_advance()
    ros.spin_for(0.4)
    assert lockstep.may_advance()
    assert lockstep.given_up == ["/cell/eater"]


def test_a_consumer_that_leaves_is_not_waited_for(ros):
    lockstep, publisher, _ = pair(ros)
    consumer = eater(ros, eat=False)
    ros.spin_until(lockstep.ready)
    lockstep.tick(MS)
    ros.spin_for(0.2)
    publish(lockstep, publisher, 500)
    lockstep.tick(500 * MS)
    assert not lockstep.may_advance()
    consumer.leave()
    ros.spin_until(lockstep.may_advance, 5)
    assert lockstep.given_up == []
