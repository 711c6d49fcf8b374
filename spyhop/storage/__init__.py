"""What outlives a process: the lake of recordings, the session journal, the ledger database, the records."""
