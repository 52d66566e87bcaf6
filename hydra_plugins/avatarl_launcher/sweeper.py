"""Hydra's grid sweeper for launchers that check every combination themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Private to Hydra: its grid sweeper has no other address, and a copy would be ours to keep up to
# date. tests/sweep/test_launcher.py says what it is relied on for.
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

from hydra_plugins.avatarl_launcher.launcher import AvatarlLauncher


class CheckedOnceSweeper(BasicSweeper):
    """Leaves the checking of combinations to our launchers; for others, does as they do.

    Hydra composes each combination once to see whether it can be composed, some 60 ms each: a
    minute for a thousand runs. Our launchers compose and validate all of them before anything is
    written, so that it would only be done twice. Nor is anything written here before: a sweep that
    is refused has nothing to take back from a folder that another client uses.

    Args:
        control: For launchers of others: launch the matched cross-entropy runs as well.
        max_batch_size: As Hydra's.
        params: As Hydra's.

    Raises:
        ConfigError: One of them can't be used.
    """

    def __init__(
        self, control: bool = False, max_batch_size: int | None = None, params: Any = None
    ) -> None:
        from avatarl.options import read
        from avatarl.sweep.launch import Batches

        own = read(Batches, {"control": control, "max_batch_size": max_batch_size}, "hydra.sweeper")
        super().__init__(own.max_batch_size, params)
        self.control = own.control

    def sweep(self, arguments: list[str]) -> Any:
        """Launch all combinations, once it is certain that they are what was typed.

        Raises:
            ConfigError: A word stands for no value, or for others than Hydra makes of it.
        """
        from hydra.core.override_parser.overrides_parser import OverridesParser

        from avatarl.composition.expansion import check_expansion

        assert self.hydra_context is not None
        loader = self.hydra_context.config_loader
        words = [*self._parse_config(), *arguments]
        check_expansion(words, loader)
        if not isinstance(self.launcher, AvatarlLauncher):
            return super().sweep(arguments)
        self.launcher.keeps_command = True
        overrides = OverridesParser.create(config_loader=loader).parse_overrides(words)
        returned: list[Sequence[Any]] = []
        for batch in self.split_arguments(overrides, self.max_batch_size):
            returned.append(self.launcher.launch(batch, sum(map(len, returned))))
            for job in returned[-1]:
                _ = job.return_value  # raises what a job has raised
        return returned

    def get_job_batch(self) -> Sequence[Sequence[str]]:
        """Return the next combinations for a launcher of others, checked and written down.

        Raises:
            UserError: One of them can't be run.
        """
        from avatarl.composition.others import write_down
        from avatarl.composition.sweep import Composer

        assert self.hydra_context is not None
        assert self.config is not None
        batch = super().get_job_batch()
        composer = Composer(self.hydra_context, self.config)
        directory = Path(str(self.config.hydra.sweep.dir))
        later = self.batch_index > 1
        return write_down(composer, batch, directory, control=self.control, later_batch=later)

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Nothing: :meth:`get_job_batch` has checked more than Hydra would."""
