"""The pure rules: no await, no I/O, no clock, no global random. `now` and `rng` are arguments."""
