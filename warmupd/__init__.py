"""warmupd, the e-mail warmup daemon. The map of the package, in the order in which imports may point:

`errors` and `clock` stand at the bottom; `core` holds the pure rules; `store` is every SQL statement and the embedded
Postgres; `mail` is SMTP, IMAP, composing and sealed credentials; `daemon` is the running thing; `http` and `cli` are
its faces; `sandbox` is the mail server and the days that demo, simulation and bench run on. The one path from a
mailbox row to a settled job is `daemon/shard.py`, read top to bottom.
"""

__version__ = "0.1.0"
