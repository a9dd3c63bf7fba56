"""Benchmarks of the training speed of this project, a bare loop and other projects."""
