"""The conversation with mail servers: SMTP, IMAP, composing, sealed credentials. aiosmtplib and aioimaplib live only here."""
