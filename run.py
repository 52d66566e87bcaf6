"""``avatarl run`` for a clone that isn't installed: one model, or with -m a sweep of them."""

# Hydra's completion for shells looks here for @hydra.main, which is in avatarl/app.py.
from avatarl import app

if __name__ == "__main__":
    app.main()
