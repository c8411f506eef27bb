"""What follows the features in a build: stages that look at all portraits together and add columns or files.

A stage sees a `Draft` and returns its columns in the order of the draft's rows. It runs after the features and before
the portraits are published, so what it adds is of the same moment T.
"""

from __future__ import annotations

from portraits.behaviour_files import write_behaviour
from portraits.draft import Draft, Stage
from portraits.personas.stage import find_personas
from portraits.predictions.stage import predict

STAGES: tuple[Stage, ...] = (write_behaviour, predict, find_personas)
"""In the order of the portrait's columns."""

__all__ = ["STAGES", "Draft", "Stage"]
