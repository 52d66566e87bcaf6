"""``avatarl run`` for a clone that isn't installed: one model, or with -m a sweep of them."""

from avatarl import app

if __name__ == "__main__":
    app.main()
