"""A mail world of real servers: Dovecot and Postfix of this machine, on free loopback ports, for tests and the demo."""
