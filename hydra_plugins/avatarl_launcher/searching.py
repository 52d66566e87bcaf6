"""``hydra/sweeper=search``: proposes one run after the other, as workers are free."""

from __future__ import annotations

from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.avatarl_launcher.launcher import AvatarlLauncher


class SearchSweeper(Sweeper):
    """Searches a space in Hydra's words; conf/hydra/sweeper/search.yaml says what is set.

    Args:
        params: Keys and their spaces; the command line's take their places.
        settings: See :class:`avatarl.search.proposals.Settings`.

    Raises:
        ConfigError: One of them can't be used.
    """

    def __init__(self, params: Any = None, **settings: Any) -> None:
        from avatarl.options import read
        from avatarl.search.proposals import Settings

        plain = {
            key: OmegaConf.to_container(one, resolve=True) if OmegaConf.is_config(one) else one
            for key, one in settings.items()
        }
        self._settings = read(Settings, plain, "hydra.sweeper")
        self._params: Any = (
            OmegaConf.to_container(params) if OmegaConf.is_config(params) else params
        )

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Make the launcher.

        Raises:
            ConfigError: It isn't one of ours, which alone take runs one by one, or won't wait.
        """
        from hydra.core.plugins import Plugins

        from avatarl.errors import ConfigError

        self._context = hydra_context
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )
        if not isinstance(launcher, AvatarlLauncher):
            kind = type(launcher).__name__
            valid = "local or slurm; or one of the published sweepers"
            raise ConfigError("hydra/launcher", kind, valid, "hydra/sweeper=search feeds those")
        if launcher.settings.get("wait") is False:
            why = "hydra/sweeper=search proposes as runs end, and has to be there"
            raise ConfigError("hydra.launcher.wait", False, "true", why)
        self._launcher = launcher

    def sweep(self, arguments: list[str]) -> Any:
        """Search until there are as many runs as were asked for.

        Raises:
            ConfigError: The space can't be used, or is another one than before.
        """
        from avatarl.composition.space import read_space

        fixed, space = read_space(arguments, self._params, self._context.config_loader)
        self._launcher.keeps_command = True
        return self._launcher.search(fixed, space, self._settings)
