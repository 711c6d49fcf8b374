"""Recordings: what lies in files, as rows of the tape."""
