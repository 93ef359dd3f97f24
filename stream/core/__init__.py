"""The heart of the engine: events in, firings and verdicts out, without a clock, a socket or a file.

`fold` turns events into deltas, `windows` keeps them, `machine` evaluates ticks. Live running, replay and simulation
drive this same code; only where the events come from and where the verdicts go differs.
"""
