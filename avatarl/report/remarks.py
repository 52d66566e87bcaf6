"""What a reader must know to read the numbers: warnings and footnotes."""

from __future__ import annotations

from collections.abc import Sequence

from avatarl.report.comparison import Comparison, Configuration, Section
from avatarl.report.words import describe_configuration, word


def warnings(sections: Sequence[Section], group_by: Sequence[str]) -> list[str]:
    """Return whatever keeps runs from being compared plainly."""
    warnings = []
    corpora = {section.corpus_sha256 for section in sections}
    tracks = {section.track for section in sections}
    if len(corpora) > 1:
        warnings.append(
            f"these runs learned from {len(corpora)} different corpora: one table for each, "
            "numbers from different tables don't compare"
        )
    if len(tracks) > 1:
        warnings.append(
            "label-revealing and bandit runs are separate tracks: one table for each"
            if tracks == {"label_revealing", "bandit"}
            else f"these runs are on {len(tracks)} tracks: one table for each"
        )
    if len({section.stride for section in sections}) > 1:
        warnings.append(
            "held-out text was cut in different ways (trainer.eval_stride), so that characters "
            "were predicted from less context or more: one table for each"
        )
    for section in sections:
        # Runs that haven't started have no code yet; that is no other version.
        codes = sorted({row.code[:8] for row in section.configurations if row.code})
        if len(codes) > 1:
            warnings.append(
                f"{section.title}: the runs come from {len(codes)} versions of the code "
                f"({', '.join(codes)}), which are kept in rows of their own"
            )
        if section.fallback:
            warnings.append(
                f"{section.corpus} stands in for the corpus asked for: {section.fallback}"
            )
    if group_by and any(row.mixed > 1 for section in sections for row in section.configurations):
        warnings.append(
            f"grouped by {', '.join(group_by)}: means run over whatever else differs, "
            "seeds and configurations alike"
        )
    return warnings


def footnotes(comparison: Comparison) -> list[str]:
    """Return every line that stands below the tables."""
    notes = [f"note: {warning}" for warning in comparison.warnings]
    for section in comparison.sections:
        notes += shared_keys(comparison, section)
        for row in section.configurations:
            notes += [f"{_name(section, row)}: {note}" for note in row.notes()]
    return notes + legend(
        comparison, [row for section in comparison.sections for row in section.configurations]
    )


def failures(comparison: Comparison) -> list[str]:
    """Return those of the footnotes that name a run that failed."""
    return [
        f"{_name(section, row)}: {note}"
        for section in comparison.sections
        for row in section.configurations
        for note in row.failures()
    ]


def legend(comparison: Comparison, rows: Sequence[Configuration]) -> list[str]:
    """Say what the marks and columns of a table with these rows mean."""
    notes = []
    if any(average.low is not None for row in rows for average in row.estimates.values()):
        how = "t" if comparison.interval == "t" else "bootstrap"
        notes.append(f"± is half the 95 % interval of the mean over the n finished seeds ({how})")
    if comparison.baseline:
        notes.append(
            f"Δ and p against {comparison.baseline}: paired t-test over shared seeds, "
            "p adjusted for the number of rows (Holm)"
        )
        if any(row.mixed > 1 for row in rows):
            notes.append("rows over several configurations aren't tested: their seeds don't pair")
    if any(row.is_control for row in rows):
        notes.append("control: ordinary next-character training of the same network")
    return notes


def shared_keys(comparison: Comparison, section: Section) -> list[str]:
    """Say which keys tell this table from the others: the same all over it, so no column."""
    learners = [row for row in section.configurations if not row.is_control]
    shared = []
    for key in comparison.keys:
        values = {word(row, key) for row in learners if key in row.values}
        if key not in section.keys and len(values) == 1:
            shared.append(f"{comparison.headings[key]}={values.pop()}")
    return [f"{section.title}: {' '.join(shared)} throughout"] if shared else []


def _name(section: Section, row: Configuration) -> str:
    name = describe_configuration(row, section.keys)
    if not row.is_control:
        return name
    several = sum(other.is_control for other in section.configurations) > 1
    return f"control {name}" if several else "control"
