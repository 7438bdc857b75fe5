"""`fleet.frames` to `fleet.reads`: a feeder, a pool of reader actors on Ray, an emitter that keeps the order."""
