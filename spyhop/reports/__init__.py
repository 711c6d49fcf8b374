"""What a session came to, after all costs and with its sample size: a report as data, text, JSON and one HTML page."""
