"""Reports as one HTML file that fetches nothing when it is opened."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

_STYLE: Final = """
:root{color-scheme:light dark;--ink:#1c2330;--soft:#667085;--line:#d9dee7;--card:#fff;--back:#f5f6f9;
--c0:#2563c9;--c1:#c2410c;--c2:#0f8a5f;--c3:#8b3fc0;--good:#0f8a5f;--bad:#c22f2f}
@media(prefers-color-scheme:dark){:root{--ink:#e7eaf0;--soft:#98a2b3;--line:#333b4a;--card:#1b212c;--back:#12161e;
--c0:#7aa7f7;--c1:#f59a5b;--c2:#4cc99a;--c3:#c79bf0;--good:#4cc99a;--bad:#f28b82}}
body{margin:0 auto;padding:1.5rem;max-width:60rem;background:var(--back);color:var(--ink);
font:15px/1.5 system-ui,sans-serif}
h1{font-size:1.4rem;margin:0 0 .2rem}h2{font-size:1.1rem;margin:2rem 0 .5rem}
p{margin:.3rem 0}.soft,.none,figcaption{color:var(--soft)}
.verdict{font-weight:600}.good{color:var(--good)}.bad{color:var(--bad)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:.6rem;margin:1rem 0;padding:0}
.tiles li{list-style:none;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.5rem .7rem}
.tiles b{display:block;font-size:1.25rem;font-variant-numeric:tabular-nums}
figure{margin:1rem 0;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.7rem}
svg{display:block;width:100%;height:auto}.grid{stroke:var(--line);stroke-width:1}
.axis,.mark{stroke:var(--soft);stroke-width:1}
.tick,.label{fill:var(--soft);font-size:12px}.l{fill:none;stroke:currentColor;stroke-width:2;stroke-linejoin:round}
.dots circle{fill:currentColor;opacity:0}.dots circle:hover,.lone circle{opacity:1}
.c0{color:var(--c0)}.c1{color:var(--c1)}.c2{color:var(--c2)}.c3{color:var(--c3)}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;margin:.3rem 0 0;padding:0;list-style:none}
.legend i{display:inline-block;width:1.4rem;border-top:3px solid currentColor;vertical-align:middle;margin-right:.4rem}
.legend i.dashed{border-top-style:dashed}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .6rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
th:first-child,td:first-child{text-align:left}th{color:var(--soft);font-weight:600}
details summary{cursor:pointer;margin:1.5rem 0 .5rem}
"""


def document(title: str, parts: Sequence[str]) -> str:
    """The whole file; `parts` are HTML."""
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>"
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n{"".join(parts)}\n</body></html>\n'


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The first column is text, the others are numbers."""
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
