"""Early stopping across the runs of a sweep, decided from files alone.

A run is put down at a rung and later promoted, or stays paused. Whoever has a free worker asks a
:class:`~avatarl.search.study.Study` what comes next; the answer follows from the sweep's ledger and
the runs' journals by :mod:`~avatarl.search.rules`, and is written down before it is acted on. There
is no server, and nobody has to be there but who works.
"""
