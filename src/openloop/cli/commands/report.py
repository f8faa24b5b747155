"""`openloop report WORKSPACE`: write a report of the latest rounds."""

from __future__ import annotations

import argparse
import sys

from openloop.cli import output
from openloop.core.errors import ExitCode
from openloop.core.text import printable

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from openloop.views.reports.report import RunReport

_FORMATS = ("html", "md", "json", "junit")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=_FORMATS, metavar="FORMAT", help=", ".join(_FORMATS))
    parser.add_argument("--output", metavar="FILE", help="a file instead of standard output")


def run(args: argparse.Namespace) -> int:
    from openloop.views.reports import report

    made = report.collect(args.workspace)
    if (args.format, args.output) == (None, None) and sys.stdout.isatty():
        output.print_lines(_rendered(made, "md").splitlines())
        command = f"openloop report {made.workspace.quoted} --output report.html"
        print(f"for a page with charts and all logs: {command}", file=sys.stderr)
        return ExitCode.OK
    form = args.format or "html"
    document = _rendered(made, form).encode()
    if args.output is None:
        output.write_bytes(document)
    elif report.write(made.workspace, args.output, document):
        print(f"report written to {printable(args.output)} ({form})", file=sys.stderr)
    return ExitCode.OK


def _rendered(made: RunReport, form: str) -> str:
    match form:
        case "md":
            from openloop.views.reports import markdown

            return markdown.render(made)
        case "json":
            import json

            return json.dumps(made.to_json(), indent=2) + "\n"
        case "junit":
            from openloop.views.reports import junit

            return junit.render(made)
    from openloop.views.reports import html_page

    return html_page.render(made)
