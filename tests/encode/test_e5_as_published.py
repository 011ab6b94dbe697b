"""e5's real weights through every encoder: three programs that must say the same."""

import numpy as np
import pytest

from mldata.encode import open_encoder
from tests.encode.test_ctranslate2_encoder import opened, original
from tests.encode.test_e5 import OTHER, SAME


@pytest.mark.slow
def test_e5s_real_weights_agree_with_the_embedded_engine(tmp_path, monkeypatch):
    from tests.models import encoders

    texts = [*SAME.values(), *OTHER.values(), "The library is closed. " * 200]
    known = open_encoder("e5-small").encode(texts)
    model = encoders.e5_as_published(tmp_path / "e5")
    full = original(model, prompt="query: ").encode(texts)
    assert (full * known).sum(1).min() > 0.995
    assert np.abs(full @ full.T - known @ known.T).max() < 0.01
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    converted = opened(model, prompt="query: ").encode(texts)
    assert (converted * full).sum(1).min() > 0.995
