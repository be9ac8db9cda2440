"""Run with the SDK's own Python: starts the job of a plan on standard input, and tells what became of it."""

from __future__ import annotations

import json
import sys

import boto3

from birdsod.estimator.sagemaker.requests import ChannelPlan, TrainingPlan
from birdsod.estimator.sagemaker.sdk import from_model_trainer, model_trainer

given = json.load(sys.stdin)
given["channels"] = tuple(
    ChannelPlan(**{**row, "attribute_names": tuple(row["attribute_names"])}) for row in given["channels"]
)
plan = TrainingPlan(**given)
trainer = model_trainer(plan, boto3.Session())
trainer.train(wait=False)
again = from_model_trainer(trainer)
sys.stdout.write(
    json.dumps({"params": again.params.to_request(), "settings": repr(again.settings), "tags": again.tags})
)
