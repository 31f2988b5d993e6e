"""Which metrics there are: what AWS' documentation lists of its own, and what a worker's line makes.

tests/worker/test_metrics.py holds the second table against lines of a worker, test_metric_names.py holds what template
and scheduler ask for against both.
"""

from __future__ import annotations

__all__ = ["AWS_METRICS", "WORKER_METRICS"]

# By namespace: names, and the dimensions that identify one. From "Using CloudWatch metrics with Lambda", "Amazon EC2
# Auto Scaling metrics" and "Metrics and dimensions" of Amazon S3 in AWS' documentation.
AWS_METRICS: dict[str, tuple[set[str], frozenset[str]]] = {
    "AWS/Lambda": (
        {
            "Invocations", "Errors", "DeadLetterErrors", "DestinationDeliveryFailures", "Throttles", "Duration",
            "ConcurrentExecutions", "AsyncEventsReceived", "AsyncEventAge", "AsyncEventsDropped",
        },
        frozenset({"FunctionName"}),
    ),
    "AWS/AutoScaling": (
        {
            "GroupMinSize", "GroupMaxSize", "GroupDesiredCapacity", "GroupInServiceInstances", "GroupPendingInstances",
            "GroupStandbyInstances", "GroupTerminatingInstances", "GroupTotalInstances",
        },
        frozenset({"AutoScalingGroupName"}),
    ),
    "AWS/S3": ({"BucketSizeBytes", "NumberOfObjects"}, frozenset({"BucketName", "StorageType"})),
}  # fmt: skip
_TOTALS = {"TaskSeconds", "TaskRows", "TaskFailures", "StoreRequests", "StoreRetries", "StoreThrottled"}
# By their dimensions, of the namespace "terality".
WORKER_METRICS: dict[str | tuple[str, ...], set[str]] = {
    "Deployment": _TOTALS,
    ("Deployment", "Kind"): _TOTALS | {"TaskBytesRead", "TaskBytesWritten", "StoreErrors"},
}
