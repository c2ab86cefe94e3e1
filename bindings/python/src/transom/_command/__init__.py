"""The command `transom`, also `python -m transom`: it serves an application in several processes."""
