"""Computes one run in a process of its own: ``python …/recompute.py REQUEST``.

:mod:`avatarl.sweep.reproduce` starts this file by its path, with the run's frozen source on
``PYTHONPATH``: that is the ``avatarl`` it imports, whichever version this file belongs to.
"""

import json
import sys
from pathlib import Path


def main(request_file: str) -> None:
    """Execute what ``request_file`` holds: ``config``, ``corpus`` and ``threads``, each or null."""
    request = json.loads(Path(request_file).read_text(encoding="utf-8"))
    if request["threads"] is not None:
        import torch

        torch.set_num_threads(request["threads"])
    from avatarl.training import execute_raw

    corpus = request["corpus"]
    execute_raw(request["config"], prepared_corpus=Path(corpus) if corpus else None)


if __name__ == "__main__":
    del sys.path[0]  # the folder of this file, in which there is nothing to import
    main(sys.argv[1])
