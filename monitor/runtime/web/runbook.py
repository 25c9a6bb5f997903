"""The runbook as a page, so that the link in an alert opens; its one source is ``config/prometheus/runbook.md``.

Each alert's heading has the anchor ``runbook-`` and the alert's name in lower case. The text is ours, so nothing in it
needs to be trusted; HTML in it is shown, not obeyed.
"""

from functools import cache
from itertools import pairwise

from aiohttp import web

from monitor.runtime.web.api.openapi import Answer, Operation, add_route
from monitor.shipped import shipped

PATH = "/runbook"

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

STYLE = """\
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 0 auto; padding: 1rem; }
h2 { border-top: 1px solid #8886; padding-top: 1rem; overflow-wrap: anywhere; }
h2:target { background: #d9a40040; }
code { font-size: 0.9em; overflow-wrap: anywhere; }
"""


@cache
def runbook_html() -> str:
    """The page; made once.

    Raises:
        OSError: the package lacks the file.
    """
    from markdown_it import MarkdownIt

    markdown = MarkdownIt("commonmark", {"html": False})
    tokens = markdown.parse(shipped("config/prometheus/runbook.md").read_text(encoding="utf-8"))
    for token, title in pairwise(tokens):
        if token.type == "heading_open" and token.tag == "h2":
            token.attrSet("id", f"runbook-{title.content.lower()}")
    body = markdown.renderer.render(tokens, markdown.options, {})
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Runbook · vibration-monitor</title>\n<style>\n{STYLE}</style>\n</head>\n"
        f"<body>\n{body}</body>\n</html>\n"
    )


def add_runbook(app: web.Application) -> None:
    """Add its route."""

    async def runbook(_: web.Request) -> web.Response:
        return web.Response(text=runbook_html(), content_type="text/html", headers=HEADERS)

    page = Answer("A page; the anchor of an alert is `runbook-` and its name in lower case.", "text/html")
    add_route(app, "GET", PATH, runbook, Operation("What each alert means, and what to do.", {200: page}))
