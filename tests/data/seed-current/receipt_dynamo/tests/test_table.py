from receipt_dynamo import TABLE


def test_table():
    assert TABLE
