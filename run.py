"""``avatarl run`` for a clone that isn't installed: one model, or with -m a sweep of them."""

import sys

from avatarl import run_help

# Hydra's completion for shells looks here for @hydra.main, which is in avatarl/app.py.
if __name__ == "__main__" and not run_help.told(sys.argv[1:]):
    from avatarl import app

    app.main()
