TABLE = "receipts"
