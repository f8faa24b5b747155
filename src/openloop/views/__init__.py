"""What people and programs read: console, status, logs, audit, reports. Never writes a record.

One module a view, and what the views share.
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
