"""What setup.cfg can't say: conf/ and sweeps/ travel inside the package, whatever they hold."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithSettings(build_py):
    """Copies the folders of YAML files; an editable install reads them where they are."""

    def run(self) -> None:
        """Build as usual, then add ``avatarl/conf`` and ``avatarl/sweeps``."""
        super().run()
        if not self.editable_mode:
            for name in ("conf", "sweeps"):
                target = Path(self.build_lib, "avatarl", name)
                shutil.rmtree(target, ignore_errors=True)
                shutil.copytree(name, target, ignore=shutil.ignore_patterns("__pycache__"))


setup(cmdclass={"build_py": BuildWithSettings})
