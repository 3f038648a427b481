"""What people want and which addresses must not be used.

It owns categories and suppressions; preferences of persons join them here.
"""
