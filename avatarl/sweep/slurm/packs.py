"""Packs: ordered lists of runs, each worked through by one SLURM job."""

from __future__ import annotations

from collections.abc import Sequence

from avatarl.sweep.plan.planned import PlannedRun


def make_packs(
    runs: Sequence[PlannedRun], runs_per_job: int, shared: bool = False, more: int = 0
) -> list[list[PlannedRun]]:
    """Split runs into packs of one structure each, so that a warm process can reuse its program.

    Args:
        runs: In the order asked for; the order within a structure is kept.
        runs_per_job: Most runs in a pack.
        shared: They are the runs of a search, and each job takes whichever is next: as many packs
            as their number asks for, with all of them in each.
        more: How many will be proposed beside them.

    Returns:
        Packs, those of the structure asked for first coming first.
    """
    if shared:
        return [list(runs)] * -(-(len(runs) + more) // runs_per_job)
    by_structure: dict[str, list[PlannedRun]] = {}
    for run in runs:
        by_structure.setdefault(run.structure_key, []).append(run)
    packs = []
    for group in by_structure.values():
        # Even packs finish together: 9 runs by 8 are 5 and 4, not 8 and 1.
        count = -(-len(group) // runs_per_job)
        base, larger = divmod(len(group), count)
        at = 0
        for number in range(count):
            size = base + (number < larger)
            packs.append(group[at : at + size])
            at += size
    return packs
