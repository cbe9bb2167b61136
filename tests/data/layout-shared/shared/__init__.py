BUCKET = "receipts"
