"""The simulation: the real daemon and a real Postgres live through days at once, with modelled mail servers."""
