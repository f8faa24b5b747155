"""What people and programs read: console, status, logs, audit, reports. Never writes a record.

One module a subcommand: `status`, `logs`, `changes` (`openloop diff`), `audit`, `reports.report`.
`console` shows a live run; `history` and `discovery` are what the views share.
"""

MAY_IMPORT = ("core", "config", "loop", "fs", "record")
DOORS = (
    "console",
    "github",
    "status",
    "status_watch",
    "logs",
    "changes",
    "audit",
    "reports.report",
    "reports.html_page",
    "reports.markdown",
    "reports.junit",
    "junit_xml",
    "history",
    "discovery",
)
