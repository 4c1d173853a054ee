"""S3 and the weights cache: the only importer of boto3 in the project."""
