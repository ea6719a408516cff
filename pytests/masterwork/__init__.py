"""Masterwork's director: stages stories on servers and says which guarantees hold.

A story (scenarios/stories) is staged on a target (scenarios/targets); witnesses write a history;
the judge reads it. This package starts and stops all of them and adds up what they say.
"""

__version__ = "0.1.0"
