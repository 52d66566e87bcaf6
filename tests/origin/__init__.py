"""Traps of the first experiments' code, each a part of its own that can be switched on.

``conf/trap/NAME.yaml`` switches one on in a run (``+trap=NAME``), ``conf/trap/none.yaml`` none:

    python run.py -m hydra.searchpath=[file://tests/origin/conf] +experiment=seed_b_small +trap=none,own_position

They serve to show what a trap does to a curve, and nothing else.
"""  # noqa: E501
