from itertools import pairwise

from guard.pause import FIRST_S, LONGEST_S, Pause


def test_after_a_failure_one_tries_when_the_pause_is_over():
    pause = Pause()
    assert pause.over(0.0)
    pause.failed(0.0)
    pause.failed(0.1)  # failed together with the first one
    assert not pause.over(FIRST_S - 0.01)
    assert pause.over(FIRST_S)
    assert not pause.over(FIRST_S)  # the others go on without


def test_pauses_grow_up_to_the_longest_and_end_with_an_answer():
    pause, now_s = Pause(), 0.0
    pause.failed(now_s)
    tried = []
    for _ in range(500):
        now_s += FIRST_S
        if pause.over(now_s):
            tried.append(now_s)
            pause.failed(now_s)
    gaps = [later - earlier for earlier, later in pairwise(tried)]
    assert gaps == sorted(gaps)
    assert (gaps[0], gaps[-1]) == (2 * FIRST_S, LONGEST_S)
    pause.answered()
    assert pause.over(now_s)
    assert pause.over(now_s)
