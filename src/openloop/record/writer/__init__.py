"""The parts of `record.store`, which alone writes a workspace.

`event_log` appends events, `step_files` creates logs and attachments, `tamper_watch` notices edits
during a run, `rebuild` writes lost artifacts again from the record, `progress_file` progress.md.
"""
