"""Durable jobs: work that is handed in, survives whatever happens, and is done once.

A job has one or more pictures (items). What clients see is in the tables ``jobs`` and
``job_items``; who does an item next is left to DBOS Transact, in the same database, so that
both change in one transaction. See docs/decisions/0009-durable-jobs.md.
"""

from superres.executors.recipe import Recipe, Rules
from superres.jobs.job import FINAL, Item, ItemResult, Job, State
from superres.jobs.request import Callback, FromFile, FromUrl, NewItem, NewJob
from superres.jobs.service import JobService

__all__ = [
    "FINAL",
    "Callback",
    "FromFile",
    "FromUrl",
    "Item",
    "ItemResult",
    "Job",
    "JobService",
    "NewItem",
    "NewJob",
    "Recipe",
    "Rules",
    "State",
]
