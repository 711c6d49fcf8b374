"""What a sweep maximises: pure functions from arrays and settings to what was earned."""
