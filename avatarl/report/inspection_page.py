"""``avatarl inspect --html``: checkpoints side by side, as one self-contained page."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from avatarl.files import write_atomic
from avatarl.text import printable, visible

_STYLE = """
body { font: 14px system-ui, sans-serif; margin: 1.5em; color: #222; background: #fff; }
main { display: flex; gap: 2.5em; overflow-x: auto; align-items: start; }
section { flex: 0 0 auto; width: 40em; }
h1, h2 { font-size: 1.1em; } h2 small, th { font-weight: normal; color: #666; }
table { border-collapse: collapse; font: 12px ui-monospace, monospace; }
td, th { padding: 0 .6em 0 0; text-align: right; white-space: pre; }
td.bar { min-width: 9em; text-align: left; }
td.bar i { display: block; height: .8em; background: #0072b2; }
tr.text { font-weight: bold; } tr.text i { background: #009e73; }
pre { white-space: pre-wrap; font: 13px/1.6 ui-monospace, monospace; }
"""
_RIGHT, _WRONG = "0,114,178", "213,94,0"
_COLUMNS = ("probability", "logprob", "reference", "reward", "advantage", "push")


def write(title: str, views: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the page, whole or not at all.

    Args:
        title: Of the run.
        views: One a checkpoint: ``step``; ``text`` and ``choices``; ``passage``, ``nats`` and
            ``accuracy``.
        path: The file.
    """
    body = "".join(map(_section, views))
    write_atomic(
        path,
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style>"
        f"<h1>{html.escape(title)}</h1><p>Blue: the policy's choice is the text's; orange: it "
        "isn't. The stronger, the surer. Bold: the text's character.</p>"
        f"<main>{body}</main></html>\n",
    )


def _section(view: Mapping[str, Any]) -> str:
    words = f"nats {view['nats']:.3f}, accuracy {view['accuracy']:.3f}"
    parts = [f"<section><h2>step {view['step']:,} <small>{words}</small></h2>"]
    parts.append(f"<pre>{''.join(map(_character, view['passage']))}</pre>")
    if "choices" in view:
        parts.append(f"<h2><small>after</small> {html.escape(repr(view['text']))}</h2>")
        parts.append(_ranking(view["choices"]))
    return "".join([*parts, "</section>"])


def _character(seen: Any) -> str:
    colour = _RIGHT if seen.choice == seen.character else _WRONG
    told = f"{seen.choice!r} {seen.confidence:.3f}, text's {seen.probability:.3f}"
    return (
        f'<span style="background:rgba({colour},{0.6 * seen.confidence:.2f})" '
        f'title="{html.escape(told)}">{html.escape(printable(seen.character, keep=chr(10)))}</span>'
    )


def _ranking(choices: Sequence[Any]) -> str:
    names = [name for name in _COLUMNS if getattr(choices[0], name) is not None]
    head = "".join(f"<th>{name}</th>" for name in names)
    rows = [f"<tr><th></th><th></th>{head}</tr>"]
    for one in choices:
        shown = visible(one.character)
        cells = "".join(f"<td>{getattr(one, name):.4f}</td>" for name in names)
        mark = ' class="text"' if one.matches else ""
        bar = f'<td class="bar"><i style="width:{100 * one.probability:.1f}%"></i></td>'
        rows.append(f"<tr{mark}><td>{html.escape(shown)}</td>{bar}{cells}</tr>")
    return f"<table>{''.join(rows)}</table>"
