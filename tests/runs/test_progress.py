from __future__ import annotations

import json
import math

from avatarl.runs.progress import Progress


def test_numbers_that_are_not_finite_are_written_as_unknown() -> None:
    """A run that was rolled back tells its progress before the next loss is known."""
    moment = Progress(step=12, steps=24, rate=1.0, loss=math.nan, nats=math.inf)
    written = json.dumps(moment.to_json(), allow_nan=False)
    again = Progress.from_json(json.loads(written))
    assert (again.step, again.loss, again.nats) == (12, None, None)
