from __future__ import annotations

import argparse
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarl.cli import references as command
from avatarl.errors import ConfigError
from avatarl.reference.survey import calibration_error, plan, survey

IDS = np.cumsum(np.random.default_rng(0).integers(0, 3, 5000) ** 2) % 9


def test_every_reference_is_measured_on_held_out_text():
    started = []
    rows = list(survey(IDS[:4000], IDS[4000:], 9, [1, 3], lambda *entry: started.append(entry)))
    assert [(row.reference, order) for row, (_, order) in zip(rows, started, strict=True)] == plan(
        [1, 3], 4000
    )
    for row in rows:
        assert row.perplexity == pytest.approx(math.exp(row.nats))
        assert 0 <= row.ece <= 1
        assert 0 < row.accuracy <= 1
        assert row.size_mib > 0
        assert row.build_s > 0
    # One of three steps, equally likely: nobody can know more, and counting gets close.
    limit = math.log(3)
    best = {row.reference: row.nats for row in rows if row.order > 1}
    assert all(limit - 0.03 < nats < limit + 0.1 for nats in best.values()), best
    unigram = next(row for row in rows if row.order == 1)
    assert unigram.nats == pytest.approx(math.log(9), abs=0.03)


def test_calibration_error_of_known_cases():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.2, 1, 200_000)
    hit = (rng.uniform(size=len(confidence)) < confidence).astype(float)
    assert calibration_error(confidence, hit) < 0.01
    assert calibration_error(np.full(100, 0.9), np.ones(100)) == pytest.approx(0.1)
    # Too sure by 0.2 in one half, too modest by 0.2 in the other: errors don't cancel.
    halves, hit = np.repeat([0.4, 0.8], 7500), np.tile([1, 1, 1, 0, 0], 3000)
    assert calibration_error(halves, hit, bins=2) == pytest.approx(0.2)
    assert calibration_error(halves, hit, bins=1) == pytest.approx(0.0)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_calibration_error_is_a_share(pairs):
    confidence, hit = np.array([p[0] for p in pairs]), np.array([float(p[1]) for p in pairs])
    assert 0 <= calibration_error(confidence, hit) <= 1


@pytest.mark.parametrize(
    ("text", "orders"), [("2-4", [2, 3, 4]), ("7", [7]), ("2,4,3-5", [2, 3, 4, 5])]
)
def test_orders_are_read(text, orders):
    assert command.parse_orders(text) == orders


@pytest.mark.parametrize("text", ["", "0", "4-2", "13", "2-", "x", "-3", "1-99"])
def test_impossible_orders_are_refused(text):
    with pytest.raises(ConfigError, match="orders from 1 to 12"):
        command.parse_orders(text)


def test_a_text_that_is_neither_option_nor_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"--data='foliio'.*did you mean 'folio'"):
        command.load("foliio")
    with pytest.raises(ConfigError, match="path of a UTF-8 file"):
        command.load(str(tmp_path))


@pytest.mark.parametrize("as_json", [False, True])
def test_the_command_prints_a_row_per_reference(tmp_path, capsys, as_json):
    path = tmp_path / "text.txt"
    path.write_text("to be or not to be, that is the question. " * 60, encoding="utf-8")
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    flags = ["--json"] if as_json else []
    asked = parser.parse_args(["--data", str(path), "--orders", "2-3", *flags])
    assert command.main(asked) == 0
    printed = capsys.readouterr().out
    if as_json:
        rows = json.loads(printed)["references"]
        assert len(rows) == 10
        assert rows[0].keys() >= {"reference", "order", "nats", "perplexity", "accuracy", "ece"}
    else:
        for name in ("add_alpha", "witten_bell", "interpolated", "kneser_ney", "infinigram"):
            assert name in printed


def test_the_figure_is_a_whole_png_or_an_error(tmp_path, capsys):
    path = tmp_path / "text.txt"
    path.write_text("to be or not to be, that is the question. " * 40, encoding="utf-8")
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    picture = tmp_path / "figures" / "references.png"
    plain = ["--data", str(path), "--orders", "1-2", "--plot"]
    assert command.main(parser.parse_args([*plain, str(picture)])) == 0
    written = picture.read_bytes()
    assert written[:8] == b"\x89PNG\r\n\x1a\n"
    assert written[-8:-4] == b"IEND"
    with pytest.raises(ConfigError, match="a path to write to"):
        command.main(parser.parse_args([*plain, str(path / "x.png")]))
