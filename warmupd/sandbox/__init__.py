"""A mail world on loopback: the sandbox mail server and the demo day that runs on it."""
