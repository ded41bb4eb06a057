"""Writes that are put off: a durable queue takes what would be refused; see ``docs/jobs.md``."""

from guard.jobs.jobs import Jobs, jobs
from guard.jobs.queue import Job, JobQueue, Phase, Unsure

__all__ = ["Job", "JobQueue", "Jobs", "Phase", "Unsure", "jobs"]
