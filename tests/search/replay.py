"""The rules of a study once more, written from the papers and not from the code, to check ledgers.

Only the order in which runs came to their rungs is taken from ``decisions.jsonl``; what they had
there is read from their journals.
"""

from __future__ import annotations

import json
import math
from pathlib import Path


def check_sweep(sweep: Path, kind_of=lambda config: None) -> int:
    """Check every decision of a sweep; returns how many there are.

    Args:
        kind_of: Of which kind the jobs are that a configuration is for.
    """
    plan = json.loads((sweep / "plan.json").read_text())
    outputs = Path(plan["runs"][0]["config"]["output_dir"])
    runs = {run["id"]: run for run in plan["runs"] if run["rungs"]}
    rules = plan["search"]

    def value_of(run, rung):
        journal = outputs / runs[run]["directory"].removeprefix("./") / "metrics.jsonl"
        found = None
        for line in journal.read_text().splitlines():
            record = json.loads(line)
            if record.get("event") == "final" and rung == rules["rungs"]:
                return record.get(rules["metric"], found)  # of all the text
            is_by_then = record.get("step", math.inf) <= runs[run]["rungs"][rung]
            if "event" not in record and rules["metric"] in record and is_by_then:
                found = record[rules["metric"]]
        return found

    events = [json.loads(line) for line in (sweep / "decisions.jsonl").read_text().splitlines()]
    for event in events:
        if "step" in event:
            assert event["step"] == runs[event["run"]]["rungs"][event["rung"]], event
    return check(list(runs), rules, events, value_of, lambda run: kind_of(runs[run]["config"]))


def check(order, rules, events, value_of, kind_of=lambda run: None) -> int:
    """Check events against the rules.

    Args:
        order: Run ids as planned.
        rules: ``eta``, ``rungs``, ``brackets``, ``synchronous``, ``minimise``.
        events: As in the ledger.
        value_of: Of a run at a rung, None where it has no finite number.
        kind_of: Who asks takes runs of one kind only.
    """
    eta, rungs, sign = rules["eta"], rules["rungs"], 1 if rules["minimise"] else -1
    bracket_of, at, came, out = {}, {}, {}, set()  # came: (bracket, rung) -> {run: value}
    proposed = {event["run"]: event["entry"] for event in events if event["event"] == "propose"}
    decisions = 0

    def rank(bracket, rung, run):
        mine = came[bracket, rung][run]
        before = 1
        for other, theirs in came[bracket, rung].items():
            if theirs is None or other == run:
                continue
            if sign * theirs < sign * mine or (
                theirs == mine and order.index(other) < order.index(run)
            ):
                before += 1
        return before

    def places(bracket, rung):
        count = math.floor(len(came.get((bracket, rung), {})) / eta)
        if not rules["synchronous"]:
            return count
        # All that will ever come must be there; of those below, that is as many as went on.
        if len(bracket_of) < len(order):
            return 0
        expected = sum(where == bracket for where in bracket_of.values())
        for below in range(bracket, rung):
            finite = sum(v is not None for v in came.get((bracket, below), {}).values())
            expected = min(max(1, math.floor(expected / eta)), finite)
        return max(1, count) if len(came.get((bracket, rung), {})) == expected else 0

    def best_promotable(kind):
        for rung in range(rungs - 1, -1, -1):
            for bracket in range(rules["brackets"]):
                free = [
                    (rank(bracket, rung, run), run)
                    for run, value in came.get((bracket, rung), {}).items()
                    if value is not None and at[run] == rung and kind_of(run) == kind
                ]
                free = [pair for pair in free if pair[0] <= places(bracket, rung)]
                if free:
                    return min(free)[1], rung + 1
        return None

    def last_resort():
        if out or any(v is not None for (_, r), there in came.items() if r == rungs
                      for v in there.values()):  # fmt: skip
            return None
        for rung in range(rungs - 1, -1, -1):
            free = [
                (sign * value, order.index(run), run)
                for (_, there), values in came.items()
                if there == rung
                for run, value in values.items()
                if value is not None and at[run] == rung
            ]
            if free:
                return min(free)[2], rung + 1
        return None

    def next_bracket():
        highest = rules["brackets"] - 1
        weights = [eta ** (highest - b) / (highest - b + 1) for b in range(highest + 1)]
        dealt = list(bracket_of.values())
        owed = [w / sum(weights) * (len(dealt) + 1) - dealt.count(b) for b, w in enumerate(weights)]
        return next(b for b in range(highest + 1) if owed[b] >= max(owed) - 1e-8)

    for event in events:
        run, what, rung = event["run"], event["event"], event.get("rung")
        kind = kind_of(run) if run else None
        if what == "report":
            assert run in out, f"{run} wasn't out: {event}"
            out.discard(run)
            assert rung == at[run], event
            value = None if event["state"] == "failed" else value_of(run, rung)
            assert event["value"] == value, (event, value)
            came.setdefault((bracket_of[run], rung), {})[run] = value
        elif what == "again":
            del came[bracket_of[run], rung][run]
            out.add(run)
        elif what == "promote":
            decisions += 1
            unbegun = len(order) - len(bracket_of)
            expected = best_promotable(kind) or (None if unbegun else last_resort())
            assert (run, rung) == expected, (event, expected)
            at[run] = rung
            out.add(run)
        elif what == "start":
            decisions += 1
            assert best_promotable(kind) is None, (event, best_promotable(kind))
            mine = [one for one in order if kind_of(one) == kind]
            assert run == next(one for one in mine if one not in bracket_of), event
            assert run not in proposed or proposed.pop(run) < event["entry"], event
            assert event["bracket"] == next_bracket() == rung, event
            bracket_of[run], at[run] = rung, rung
            out.add(run)
        elif what == "continue":
            decisions += 1
            assert run in out and at[run] == rung, event
        elif what == "leave":
            assert run in out, event
        else:
            assert what in ("drop", "propose", "close"), event
    if not out and len(bracket_of) == len(order):  # came to its end
        assert not any(best_promotable(kind) for kind in {*map(kind_of, order)})
        assert last_resort() is None
    return decisions
