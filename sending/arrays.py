"""Arrays for PostgreSQL, as they are written below."""

from subscribers.arrays import ids, literal, words

__all__ = ["ids", "literal", "words"]
