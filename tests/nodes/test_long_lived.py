"""What is there at set-up is out of the collector's rounds; what is made later is not."""

import gc
import weakref

from palpate_nodes.long_lived import freeze_long_lived


class Knot:
    pass


def knot():
    one = Knot()
    one.self = one
    return one


def test_what_stays_is_not_looked_at_again():
    kept = knot()
    try:
        freeze_long_lived()
        assert gc.get_freeze_count() > 1000
        assert not any(thing is kept for thing in gc.get_objects())
        later = weakref.ref(knot())
        gc.collect()
        assert later() is None
    finally:
        gc.unfreeze()
