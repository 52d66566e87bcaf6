from tests.config.conftest import raw
from tests.report.conftest import demo_sweep, outputs

__all__ = ["demo_sweep", "outputs", "raw"]
