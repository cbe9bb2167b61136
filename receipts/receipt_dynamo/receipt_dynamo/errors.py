"""What can go wrong, under one root."""


class ReceiptDynamoError(Exception):
    """Root of all errors of this package."""


class EntityError(ReceiptDynamoError, ValueError):
    """A value that no receipt, word or label can have."""


class NotFoundError(ReceiptDynamoError, LookupError):
    """The table has no such item."""


class AlreadyExistsError(ReceiptDynamoError):
    """The table has this item already and it was not to be replaced."""


class TableError(ReceiptDynamoError):
    """DynamoDB refused a request or could not be reached; the cause is the exception of botocore."""
