"""``python -m avatarl``: the same as ``avatarl``."""

import sys

from avatarl.cli import main

sys.exit(main())
