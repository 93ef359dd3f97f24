"""The runbook's checks, one file each; `triage.registry` knows their order."""
