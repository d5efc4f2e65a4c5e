"""`make demo`: the main job, where a newcomer can watch it."""
