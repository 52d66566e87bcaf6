"""Train one character model by reward alone, or with -m a sweep of them. Try --help."""

import hydra
from omegaconf import DictConfig

from avatarl import app


@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def main(config: DictConfig) -> float:
    """Run what was composed; returns held-out nats, so that a sweeper can minimise them."""
    return app.run(config)


if __name__ == "__main__":
    app.guarded(main)
