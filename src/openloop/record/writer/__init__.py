"""The parts of `record.store`, which alone writes a workspace."""
