"""The command line trains, stops, goes on and explains itself: real processes, a real set, a tiny model."""

import json

from tests.train.commands import one_sentence, run


def test_try(sums_set, talks_set, tiny_model, tmp_path):
    import time
    for data in (sums_set, talks_set):
      for m in ("dpo","orpo"):
        t=time.time()
        done = run(m, "--data", data, "--model", tiny_model, "--out", tmp_path/(m+data.parent.name), "--set", "learning_rate=1e-3", cwd=tmp_path)
        print(time.time()-t, done.code, done.out, done.err)
