"""`openloop report WORKSPACE`: write a report of the latest rounds."""

from __future__ import annotations

import argparse

from openloop.cli import output
from openloop.core.errors import ExitCode

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from openloop.views.reports.report import RunReport

_FORMATS = ("html", "md", "json", "junit")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--format", choices=_FORMATS, default="html", metavar="FORMAT", help=", ".join(_FORMATS)
    )
    parser.add_argument("--output", metavar="FILE", help="a file instead of standard output")


def run(args: argparse.Namespace) -> int:
    from openloop.views.reports import report

    made = report.collect(args.workspace)
    document = _rendered(made, args.format).encode()
    if args.output is None:
        output.give(document)
    else:
        report.write(made.place, args.output, document)
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
