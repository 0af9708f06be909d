"""The conversation with mail servers: SMTP, IMAP, composing, sealed credentials. Their libraries live only here."""
