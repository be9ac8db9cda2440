"""A cloud that is not there: SageMaker with S3, logs, IAM, STS and quotas behind one loopback address."""
